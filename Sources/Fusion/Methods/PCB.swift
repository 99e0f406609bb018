import Kernels
import TensorCore

/// PCB-Merging: elements compete within each model and between the models (Du et al., arXiv 2410.02396), tensor by
/// tensor.
///
/// With a_k = |δ_k| limited to the sizes at 0.01 % and 99.99 % of the tensor and brought to 0 … 1, the score is
/// exp(K·a_k²)·tanh(δ_k·Σ_j δ_j). The ⌊ratio·n⌋ elements with the highest score are kept and their scores brought to
/// 0 … 1, s_k (1 where all that are kept are equal and not 0); θ = θ₀ + λ·Σ s_k·δ_k / max(Σ s_k, 1e-12). The authors' code takes the model for one vector; here each
/// tensor is one. Up to seven passes.
public struct PCB: FusionMethod {
  /// `ratio` and `lambda`.
  public static let description = MethodDescription(
    name: "pcb", summary: "elements compete within and between the models",
    reference: "Du et al., Parameter Competition Balancing, arXiv 2410.02396", mergeSpace: .deltas,
    parameters: [
      Parameter("ratio", .model, .number(0...1), standard: "0.1", "share of the elements that is kept"),
      .lambda,
    ])

  /// The method.
  public init(_ options: MethodOptions) {}

  /// The limits of the sizes, then the least and the greatest score that are kept.
  public func stages(for tensor: TensorContext) -> [Stage] {
    [
      Stage(over: .tensor, .ranks(channels: tensor.modelCount, of: .deltaSizes)),
      Stage(over: .tensor, .ranks(channels: tensor.modelCount, of: .writtenAnywhere)),
    ]
  }

  /// 0.01 % and 99.99 %; the first score that is kept and the last.
  public func ranks(stage: Int, elementCount n: Int, in tensor: TensorContext, known: Known) -> [[Rank]] {
    tensor.values("ratio").map { ratio in
      guard n > 0 else { return [] }
      if stage == 0 {
        return [.place(Int(Double(n) * 0.0001)), .place(max(0, Int(Double(n) * 0.9999 - 1)))]
      }
      return [.place(n - max(1, Int((ratio * Double(n)).rounded(.down)))), .place(n - 1)]
    }
  }

  /// The sizes, then the scores.
  public func writeKeys(
    stage: Int, channel: Int, _ tile: Tile, of inputs: Span<Double>, known: Known, in tensor: TensorContext,
    to keys: inout MutableSpan<Double>
  ) {
    guard stage == 1 else {
      deltaSizes(of: inputs, tile.layout, input: channel + 1, into: &keys)
      return
    }
    let least = Boundary(known[0], at: 2 * channel).key
    let greatest = Boundary(known[0], at: 2 * channel + 1).key
    let scale = greatest > least ? 1 / (greatest - least) : 0
    let (count, models) = (tile.count, Double(tile.modelCount))
    // Twice the argument of tanh, then the exponent of the size.
    var exponents = Array(repeating: 0.0, count: 2 * count)
    var own = exponents.mutableSpan
    let (base, model) = (tile.firstOfBase, tile.first(ofModel: channel))
    for k in 0..<tile.modelCount {
      let other = tile.first(ofModel: k)
      for i in 0..<count { own[i] += inputs[other + i] - inputs[base + i] }
    }
    for i in 0..<count {
      let delta = inputs[model + i] - inputs[base + i]
      let place = (max(least, min(greatest, delta.magnitude)) - least) * scale
      own[i] = 2 * max(-20, min(20, delta * own[i]))
      own[count + i] = models * place * place
    }
    var powers = Array(repeating: 0.0, count: 2 * count)
    var span = powers.mutableSpan
    exponentials(of: exponents.span, from: 0, count: 2 * count, shift: 0, into: &span, at: 0)
    for i in 0..<count {
      // tanh x = (e^2x − 1)/(e^2x + 1), by its series where that cancels.
      let x = exponents[i] / 2
      let tanh = x.magnitude < 1e-4 ? x - x * x * x / 3 : (powers[i] - 1) / (powers[i] + 1)
      // A score of -0 is one of 0.
      keys[i] = powers[count + i] * tanh + 0
    }
  }

  /// Writes the base plus the weighted deltas.
  public func fuse(
    _ tile: Tile, of inputs: Span<Double>, known: Known, in tensor: TensorContext,
    into target: inout MutableSpan<Double>, tally: inout WeightTally, scratch: inout [Double]
  ) {
    let count = tile.count
    if scratch.count < 3 * count { scratch = Array(repeating: 0, count: 3 * count) }
    for i in 0..<2 * count { scratch[i] = 0 }
    var keys = Array(repeating: 0.0, count: count)
    var shares = Array(repeating: 0.0, count: tile.modelCount)
    for k in 0..<tile.modelCount {
      var span = keys.mutableSpan
      writeKeys(stage: 1, channel: k, tile, of: inputs, known: known, in: tensor, to: &span)
      let from = Boundary(known[1], at: 2 * k)
      let greatest = Boundary(known[1], at: 2 * k + 1).key
      for i in 0..<count {
        guard keys[i] > from.key || (keys[i] == from.key && tile.start + i <= from.index) else { continue }
        let s = greatest > from.key ? (keys[i] - from.key) / (greatest - from.key) : keys[i] > 0 ? 1 : 0
        scratch[i] += s * (inputs[tile.first(ofModel: k) + i] - inputs[tile.firstOfBase + i])
        scratch[count + i] += s
        shares[k] += s
      }
    }
    let lambda = tensor.value("lambda")
    for i in 0..<count {
      let base = inputs[tile.firstOfBase + i]
      target[tile.firstOfBase + i] =
        scratch[i] == 0 ? base : base + lambda * scratch[i] / max(scratch[count + i], 1e-12)
    }
    tally.add(sums: shares, elementCount: count)
  }
}
