import Kernels
import TensorCore

/// Arcee Fusion: take over the deltas that matter most, as mergekit 0.1.5 defines it.
///
/// With p and q the softmax of θ₁ and θ₀ over each row (the last axis), each plus 1e-8, κ = Σ p·ln(p/q) and the
/// importance I = |δ|·κ, θ = θ₀ + δ where I ≥ Q(½) + 1.5·(Q(¾) − Q(¼)), θ₀ elsewhere. Q(x) is the element at the place
/// ⌊x·(n − 1)⌋ of the sorted importances of the tensor; exact whatever its size, while mergekit samples tensors of more
/// than a million elements at random. Four or five passes.
public struct ArceeFusion: FusionMethod {
  /// None.
  public static let description = MethodDescription(
    name: "arcee-fusion", summary: "take over the deltas of outstanding importance",
    reference: "mergekit 0.1.5", mergeSpace: .deltas, models: 1...1, parameters: [])

  /// The method.
  public init(_ options: MethodOptions) {}

  /// Each row's greatest values, sums of exponentials and divergence; quartiles of the importance.
  public func stages(for tensor: TensorContext) -> [Stage] {
    [
      Stage(over: .row, .maxima(2)), Stage(over: .row, .sums(2)), Stage(over: .rows, .sums(1)),
      Stage(over: .tensor, .ranks(channels: 1)),
    ]
  }

  /// The quartiles.
  public func ranks(stage: Int, elementCount n: Int, in tensor: TensorContext, known: Known) -> [[Rank]] {
    n == 0 ? [[]] : [[0.25, 0.5, 0.75].map { .place(Int($0 * Double(n - 1))) }]
  }

  /// Adds base and model of a row, in this order.
  public func accumulate(
    stage: Int, _ tile: Tile, of inputs: Span<Double>, known: Known, in tensor: TensorContext,
    to lanes: inout MutableSpan<Double>, scratch: inout [Double]
  ) {
    if scratch.count < 2 * tile.count { scratch = Array(repeating: 0, count: 2 * tile.count) }
    let starts = [tile.firstOfBase, tile.first(ofModel: 0)]
    switch stage {
    case 0:
      for (s, start) in starts.enumerated() {
        for i in 0..<tile.count {
          let lane = s * laneCount + i % laneCount
          lanes[lane] = max(lanes[lane], inputs[start + i])
        }
      }
    case 1:
      var span = scratch.mutableSpan
      for (s, start) in starts.enumerated() {
        exponentials(of: inputs, from: start, count: tile.count, shift: known[0][s], into: &span, at: 0)
        for i in 0..<tile.count { lanes[s * laneCount + i % laneCount] += span[i] }
      }
    default:
      var span = scratch.mutableSpan
      for (place, s) in [1, 0].enumerated() {
        exponentials(
          of: inputs, from: starts[s], count: tile.count, shift: known[0][s], factor: 1 / known[1][s],
          offset: 1e-8, into: &span, at: place * tile.count)
      }
      divergences(&span, count: tile.count)
      for i in 0..<tile.count { lanes[i % laneCount] += span[i] }
    }
  }

  /// The importance of each element.
  public func writeKeys(
    stage: Int, channel: Int, _ tile: Tile, of inputs: Span<Double>, known: Known, in tensor: TensorContext,
    to keys: inout MutableSpan<Double>
  ) {
    let rows = known[2]
    let rowLength = tensor.grid.rowLength
    var i = 0
    while i < tile.count {
      let row = (tile.start + i) / rowLength
      let end = min(tile.count, (row + 1) * rowLength - tile.start)
      let divergence = rows[row]
      while i < end {
        let delta = inputs[tile.first(ofModel: 0) + i] - inputs[tile.firstOfBase + i]
        keys[i] = delta.magnitude * divergence
        i += 1
      }
    }
  }

  /// The threshold in place of the quartiles.
  public func conclude(stage: Int, results: [Double], in tensor: TensorContext, known: Known) -> [Double] {
    guard stage == 3, !results.isEmpty else { return results }
    let quartiles = (0..<3).map { Boundary(results, at: $0).key }
    return [quartiles[1] + 1.5 * (quartiles[2] - quartiles[0])]
  }

  /// Writes the model's values where they matter, the base's elsewhere.
  public func fuse(
    _ tile: Tile, of inputs: Span<Double>, known: Known, in tensor: TensorContext,
    into target: inout MutableSpan<Double>, tally: inout WeightTally, scratch: inout [Double]
  ) {
    if scratch.count < tile.count { scratch = Array(repeating: 0, count: tile.count) }
    var keys = scratch.mutableSpan
    writeKeys(stage: 3, channel: 0, tile, of: inputs, known: known, in: tensor, to: &keys)
    let threshold = known[3][0]
    var taken = 0.0
    for i in 0..<tile.count {
      let isTaken = keys[i] >= threshold
      taken += isTaken ? 1 : 0
      target[tile.firstOfBase + i] = inputs[(isTaken ? tile.first(ofModel: 0) : tile.firstOfBase) + i]
    }
    tally.add(sums: [taken], elementCount: tile.count)
  }
}
