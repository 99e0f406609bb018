import Kernels
import TensorCore

/// SCE: select the elements that vary most between the models, calculate a coefficient for each model, erase what goes
/// against the majority (Wan et al., FuseChat 3.0, arXiv 2408.07990), as mergekit 0.1.5 defines it.
///
/// With select_topk < 1 the ⌊select_topk·#{σ² ≠ 0}⌋ elements with the largest variance σ² of δ over the models are kept,
/// the same for all; of equal ones those with the lowest flat index. With c_k = mean(δ_k²)/Σ_j mean(δ_j²) of what is
/// kept and g = sign(Σ δ_k), plus where the sum is 0, θ = θ₀ + Σ_{sign(δ_k) = g} c_k·δ_k / Σ_{sign(δ_k) = g} c_k. Free of
/// scale: coefficients are uniform only where all deltas are 0; mergekit makes them so where the sum of the mean squares
/// is below 1e-6, as it is for many light fine-tunes. Two passes, three or four where elements are selected.
public struct SCE: FusionMethod {
  /// `select_topk`.
  public static let description = MethodDescription(
    name: "sce", summary: "weights from squared deltas, minority signs erased",
    reference: "Wan et al., FuseChat, arXiv 2408.07990; mergekit 0.1.5", mergeSpace: .deltas,
    parameters: [
      Parameter(
        "select_topk", .tensor, .number(0...1), standard: "1", "share of the varying elements that is kept"),
      Parameter(
        "int8_mask", .tensor, .flag, standard: "false", "taken for mergekit's sake; changes nothing here"),
    ])

  private let followsMergekit: Bool

  /// SCE.
  public init(_ options: MethodOptions) {
    followsMergekit = options.followsMergekit
  }

  private func selects(_ tensor: TensorContext) -> Bool { tensor.value("select_topk") < 1 }

  /// The boundary of what is kept, and squares.
  public func stages(for tensor: TensorContext) -> [Stage] {
    let squares = Stage(over: .tensor, .sums(2 * tensor.modelCount))
    guard selects(tensor) else { return [squares] }
    return [Stage(over: .tensor, .ranks(channels: 1, of: .deltaVariances)), squares]
  }

  /// The first of the elements that are kept.
  public func ranks(stage: Int, elementCount: Int, in tensor: TensorContext, known: Known) -> [[Rank]] {
    [[.greatest(share: tensor.value("select_topk"))]]
  }

  /// The variance of the deltas.
  public func writeKeys(
    stage: Int, channel: Int, _ tile: Tile, of inputs: Span<Double>, known: Known, in tensor: TensorContext,
    to keys: inout MutableSpan<Double>
  ) {
    deltaVariances(of: inputs, tile.layout, count: tile.modelCount, into: &keys)
  }

  /// Adds the squares of what is kept.
  public func accumulate(
    stage: Int, _ tile: Tile, of inputs: Span<Double>, known: Known, in tensor: TensorContext,
    to lanes: inout MutableSpan<Double>, scratch: inout [Double]
  ) {
    select(tile, of: inputs, known: known, in: tensor, into: &scratch)
    for k in 0..<tile.modelCount {
      addMagnitudes(of: scratch.span, from: k * tile.count, count: tile.count, to: &lanes, sum: 2 * k)
    }
  }

  /// The coefficients in place of the squares.
  public func conclude(stage: Int, results: [Double], in tensor: TensorContext, known: Known) -> [Double] {
    guard stage == stages(for: tensor).count - 1 else { return results }
    let means = (0..<tensor.modelCount).map { results[2 * $0 + 1] / Double(tensor.shape.elementCount) }
    let total = means.reduce(0, +)
    return followsMergekit && total < 1e-6 || total == 0
      ? means.map { _ in 1 / Double(means.count) } : means.map { $0 / total }
  }

  /// Writes the base plus the weighted deltas of the majority.
  public func fuse(
    _ tile: Tile, of inputs: Span<Double>, known: Known, in tensor: TensorContext,
    into target: inout MutableSpan<Double>, tally: inout WeightTally, scratch: inout [Double]
  ) {
    select(tile, of: inputs, known: known, in: tensor, into: &scratch)
    let weights = known[selects(tensor) ? 1 : 0]
    combineSelected(
      of: inputs, tile.layout, deltas: scratch.span, weights: weights, votes: weights.map { _ in 1 },
      by: Consensus(elects: true, normalize: true), into: &target)
    tally.add(weights: weights, elementCount: tile.count)
  }

  /// The deltas of the elements that are kept, 0 elsewhere.
  private func select(
    _ tile: Tile, of inputs: Span<Double>, known: Known, in tensor: TensorContext,
    into scratch: inout [Double]
  ) {
    let needed = tile.modelCount * tile.count
    if scratch.count < needed { scratch = Array(repeating: 0, count: needed) }
    var deltas = scratch.mutableSpan
    for k in 0..<tile.modelCount {
      selectDeltas(
        of: inputs, tile.layout, input: k + 1, sizes: 0...Double.infinity, into: &deltas, at: k * tile.count)
    }
    guard selects(tensor) else { return }
    let boundary = Boundary(known[0], at: 0)
    var keys = Array(repeating: 0.0, count: tile.count)
    var span = keys.mutableSpan
    writeKeys(stage: 0, channel: 0, tile, of: inputs, known: known, in: tensor, to: &span)
    for piece in tile.pieces(endingAfter: [boundary.index]) {
      let first = piece.start - tile.start
      for k in 0..<tile.modelCount {
        keepAbove(
          &deltas, at: k * tile.count + first, keys: keys.span.extracting(first..<first + piece.count),
          least: boundary.least(for: piece.indices))
      }
    }
  }
}

extension SCE: SelectingMethod {
  /// Where equal variances are divided.
  public func cuts(known: Known, in tensor: TensorContext) -> [Int] {
    selects(tensor) ? [Boundary(known[0], at: 0).index] : []
  }

  /// Weighted deltas of the majority, where the variance is large enough.
  public func consensus(
    over elements: Range<Int>, known: Known, in tensor: TensorContext
  ) -> SelectiveConsensus? {
    let weights = known[selects(tensor) ? 1 : 0]
    var consensus = SelectiveConsensus(
      kept: weights.map { _ in KeptDeltas() }, weights: weights, by: Consensus(elects: true, normalize: true))
    consensus.votes = weights.map { _ in 1 }
    if selects(tensor) { consensus.leastVariance = Boundary(known[0], at: 0).least(for: elements) }
    return consensus
  }

  /// The squares, where elements are selected.
  public func boundaryOfVariances(
    summedBy stage: Int, known: Known, in tensor: TensorContext
  ) -> Boundary? {
    stage == 1 && selects(tensor) ? Boundary(known[0], at: 0) : nil
  }
}
