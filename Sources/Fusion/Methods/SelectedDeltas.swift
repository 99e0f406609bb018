import Kernels
import TensorCore

/// How a method thins the deltas out before they are combined.
public protocol DeltaSelection: Sendable {
  /// The method's name, parameters and source.
  static var description: MethodDescription { get }
  /// True if a sign is elected and only the deltas that have it are merged.
  static var elects: Bool { get }

  /// The selection with these options.
  init(_ options: MethodOptions) throws(EmbedFuseError)
  /// Checks the settings of a tensor beyond the ranges of the parameters.
  func validate(_ tensor: TensorContext) throws(EmbedFuseError)
  /// Checks the settings of all tensors together.
  func validate(all tensors: [TensorContext]) throws(EmbedFuseError)
  /// The passes that it takes to know what to keep.
  func stages(for tensor: TensorContext) -> [Stage]
  /// The ranks that a stage over ranks asks for; its keys are the sizes |δ_k|, channel k.
  func ranks(elementCount: Int, in tensor: TensorContext) -> [[Rank]]
  /// Adds a tile to a stage of sums.
  func accumulate(
    stage: Int, _ tile: Tile, of inputs: Span<Double>, known: Known, in tensor: TensorContext,
    to lanes: inout MutableSpan<Double>, scratch: inout [Double])
  /// Takes in the results of a stage over the model.
  mutating func learn(stage: Int, results: [[Double]], of tensors: [TensorContext])
  /// The flat indices after which a tile must be cut, so that one rule holds for all of its elements.
  func cuts(known: Known, in tensor: TensorContext) -> [Int]
  /// What is kept of each model's delta among some elements, none of which but the last is at a cut; nil if it takes
  /// more than sizes and numbers of a generator to say so.
  func kept(of elements: Range<Int>, known: Known, in tensor: TensorContext) -> [KeptDeltas]?
  /// Writes s_k, what is kept of δ_k and 0 elsewhere, to `deltas`, s_k[i] at `k * tile.count + i`.
  func select(
    _ tile: Tile, of inputs: Span<Double>, known: Known, in tensor: TensorContext,
    into deltas: inout MutableSpan<Double>)
  /// The sign that is elected where the deltas sum to 0: 1, -1, or 0 for none.
  var zeroSign: Double { get }
  /// True if a tile must be made of whole rows, as long as a row fits into a block.
  var wantsWholeRows: Bool { get }
  /// What model k's kept deltas are multiplied by if they are not rescaled by what is known of them.
  func factor(ofModel k: Int, in tensor: TensorContext) -> Double
}

extension DeltaSelection {
  /// Nothing to check.
  public func validate(_ tensor: TensorContext) throws(EmbedFuseError) {}
  /// Nothing to check.
  public func validate(all tensors: [TensorContext]) throws(EmbedFuseError) {}
  /// No passes.
  public func stages(for tensor: TensorContext) -> [Stage] { [] }
  /// None.
  public func ranks(elementCount: Int, in tensor: TensorContext) -> [[Rank]] { [] }
  /// Nothing to sum.
  public func accumulate(
    stage: Int, _ tile: Tile, of inputs: Span<Double>, known: Known, in tensor: TensorContext,
    to lanes: inout MutableSpan<Double>, scratch: inout [Double]
  ) {}
  /// Nothing to learn.
  public mutating func learn(stage: Int, results: [[Double]], of tensors: [TensorContext]) {}
  /// None.
  public func cuts(known: Known, in tensor: TensorContext) -> [Int] { [] }
  /// Nothing that could be said so.
  public func kept(of elements: Range<Int>, known: Known, in tensor: TensorContext) -> [KeptDeltas]? { nil }
  /// What `kept` says.
  public func select(
    _ tile: Tile, of inputs: Span<Double>, known: Known, in tensor: TensorContext,
    into deltas: inout MutableSpan<Double>
  ) {
    for (k, kept) in kept(of: tile.indices, known: known, in: tensor)!.enumerated() {
      guard let sizes = kept.sizes else {
        selectNothing(tile, ofModel: k, into: &deltas)
        continue
      }
      selectDeltas(of: inputs, tile.layout, input: k + 1, sizes: sizes, into: &deltas, at: k * tile.count)
      guard kept.probability < 1 else { continue }
      keepRandomly(
        &deltas, at: k * tile.count, count: tile.count, key: kept.key, start: tile.start,
        probability: kept.probability)
    }
  }
  /// False.
  public var wantsWholeRows: Bool { false }
  /// Plus, as mergekit has it.
  public var zeroSign: Double { 1 }
  /// 1.
  public func factor(ofModel k: Int, in tensor: TensorContext) -> Double { 1 }
}

/// The methods that thin the deltas out before they combine them: TIES, DARE, DELLA, breadcrumbs.
///
/// With δ_k = θ_k − θ₀ and s_k the part of δ_k that is kept, times Σ|δ_k| / Σ|s_k| if it is rescaled, d_k = c_k·s_k.
/// Elected is g = sign(Σ d_k), plus where the sum is 0, and
///
///     θ = θ₀ + λ·Σ_{sign(d_k) = g} d_k      divided, if normalised, by Σ_{sign(d_k) = g} c_k
///
/// Without election all d_k are summed, and divided, if normalised, by Σ c_k. As mergekit 0.1.5 defines them; where it
/// doesn't rescale sums below 1e-7, and doesn't divide by weights below 1e-8, these go by whether they are 0.
public struct SelectedDeltas<Selection: DeltaSelection>: FusionMethod {
  /// The selection's.
  public static var description: MethodDescription { Selection.description }

  private var selection: Selection
  private let followsMergekit: Bool

  /// The method.
  public init(_ options: MethodOptions) throws(EmbedFuseError) {
    selection = try Selection(options)
    followsMergekit = options.followsMergekit
  }

  /// The selection's.
  public var wantsWholeRows: Bool { selection.wantsWholeRows }

  /// True if what is summed is divided, but mergekit treats very small weights in its own way.
  public func weighsByRatios(_ tensor: TensorContext) -> Bool {
    tensor.flag("normalize") && (!followsMergekit || tensor.hasLargePriors)
  }

  /// What the selection checks.
  public func validate(_ tensor: TensorContext) throws(EmbedFuseError) { try selection.validate(tensor) }

  /// What the selection checks.
  public func validate(all tensors: [TensorContext]) throws(EmbedFuseError) {
    try selection.validate(all: tensors)
  }

  /// The selection's, then sizes to rescale by.
  public func stages(for tensor: TensorContext) -> [Stage] {
    selection.stages(for: tensor)
      + (rescales(tensor) ? [Stage(over: .tensor, .sums(4 * tensor.modelCount))] : [])
  }

  /// The selection's.
  public func ranks(stage: Int, elementCount: Int, in tensor: TensorContext, known: Known) -> [[Rank]] {
    selection.ranks(elementCount: elementCount, in: tensor)
  }

  /// The selection's sums, or those of |δ_k|, δ_k², |s_k| and s_k² of every model in turn.
  public func accumulate(
    stage: Int, _ tile: Tile, of inputs: Span<Double>, known: Known, in tensor: TensorContext,
    to lanes: inout MutableSpan<Double>, scratch: inout [Double]
  ) {
    guard stage == selection.stages(for: tensor).count else {
      selection.accumulate(
        stage: stage, tile, of: inputs, known: known, in: tensor, to: &lanes, scratch: &scratch)
      return
    }
    // Whole sizes first, then what is kept. Both are taken over the uncut tile, so that the lanes are the same wherever
    // it is cut.
    let count = tile.count
    var sizes = Array(repeating: 0.0, count: count)
    var kept = Array(repeating: 0.0, count: tile.modelCount * count)
    for piece in tile.pieces(endingAfter: selection.cuts(known: known, in: tensor)) {
      select(piece, of: inputs, known: known, in: tensor, into: &scratch)
      let first = piece.start - tile.start
      for k in 0..<tile.modelCount {
        kept.replaceSubrange(
          k * count + first..<k * count + first + piece.count,
          with: scratch[k * piece.count..<(k + 1) * piece.count])
      }
    }
    for k in 0..<tile.modelCount {
      var span = sizes.mutableSpan
      deltaSizes(of: inputs, tile.layout, input: k + 1, into: &span)
      addMagnitudes(of: sizes.span, from: 0, count: count, to: &lanes, sum: 4 * k)
      addMagnitudes(of: kept.span, from: k * count, count: count, to: &lanes, sum: 4 * k + 2)
    }
  }

  /// The factor of every model in place of its two sums.
  public func conclude(stage: Int, results: [Double], in tensor: TensorContext, known: Known) -> [Double] {
    guard stage == selection.stages(for: tensor).count else { return results }
    let least = followsMergekit ? 1e-7 : .leastNonzeroMagnitude
    let densities = tensor.values("density")
    return (0..<tensor.modelCount).map { k in
      let (whole, kept) = (results[4 * k], results[4 * k + 2])
      return densities[k] >= 1 || whole < least || kept < least ? 1 : whole / kept
    }
  }

  /// What the selection learns.
  public mutating func learn(stage: Int, results: [[Double]], of tensors: [TensorContext]) {
    selection.learn(stage: stage, results: results, of: tensors)
  }

  /// Writes the base plus what the kept deltas come to.
  public func fuse(
    _ tile: Tile, of inputs: Span<Double>, known: Known, in tensor: TensorContext,
    into target: inout MutableSpan<Double>, tally: inout WeightTally, scratch: inout [Double]
  ) {
    let factors = factors(known, in: tensor)
    let consensus = consensus(in: tensor)
    for piece in tile.pieces(endingAfter: selection.cuts(known: known, in: tensor)) {
      select(piece, of: inputs, known: known, in: tensor, into: &scratch)
      for (k, factor) in factors.enumerated() where factor != 1 {
        for i in k * piece.count..<(k + 1) * piece.count { scratch[i] *= factor }
      }
      combineSelected(
        of: inputs, piece.layout, deltas: scratch.span, weights: tensor.priors, by: consensus, into: &target)
    }
    tally.add(weights: tensor.priors, elementCount: tile.count)
  }

  /// What each model's kept deltas are multiplied by.
  private func factors(_ known: Known, in tensor: TensorContext) -> [Double] {
    rescales(tensor)
      ? known[selection.stages(for: tensor).count]
      : (0..<tensor.modelCount).map { selection.factor(ofModel: $0, in: tensor) }
  }

  private func consensus(in tensor: TensorContext) -> Consensus {
    let total = tensor.priors.reduce(0, +)
    let divides =
      tensor.flag("normalize") && (Selection.elects || total.magnitude >= (followsMergekit ? 1e-8 : 0))
    return Consensus(
      elects: Selection.elects, zeroSign: selection.zeroSign, normalize: divides,
      scale: tensor.value("lambda"))
  }

  /// True if what is kept is brought to the size of the whole. Where all is kept there is nothing to do.
  private func rescales(_ tensor: TensorContext) -> Bool {
    tensor.flag("rescale") && tensor.values("density").contains { $0 < 1 }
  }

  private func select(
    _ tile: Tile, of inputs: Span<Double>, known: Known, in tensor: TensorContext,
    into scratch: inout [Double]
  ) {
    let needed = tile.modelCount * tile.count
    if scratch.count < needed { scratch = Array(repeating: 0, count: needed) }
    var span = scratch.mutableSpan
    selection.select(tile, of: inputs, known: known, in: tensor, into: &span)
  }
}

extension SelectedDeltas: SelectingMethod {
  /// The selection's.
  public func cuts(known: Known, in tensor: TensorContext) -> [Int] {
    selection.cuts(known: known, in: tensor)
  }

  /// What the selection keeps and what becomes of it; nil if that takes whole rows.
  public func consensus(
    over elements: Range<Int>, known: Known, in tensor: TensorContext
  ) -> SelectiveConsensus? {
    guard var kept = selection.kept(of: elements, known: known, in: tensor) else { return nil }
    for (k, factor) in factors(known, in: tensor).enumerated() { kept[k].factor = factor }
    return SelectiveConsensus(kept: kept, weights: tensor.priors, by: consensus(in: tensor))
  }
}

extension DeltaSelection {
  /// The parameters of all selections, with the defaults of each.
  static func parameters(
    normalize: Bool, rescale: Bool, _ others: [Parameter] = []
  ) -> [Parameter] {
    [
      .weight,
      Parameter("density", .model, .number(0...1), standard: "1", "share of the elements that is kept"),
    ] + others + [
      .lambda,
      Parameter(
        "normalize", .tensor, .flag, standard: String(normalize), "divide by the weights that took part"),
      Parameter(
        "rescale", .tensor, .flag, standard: String(rescale), "scale what is kept to the size of the whole"),
      Parameter(
        "int8_mask", .tensor, .flag, standard: "false", "taken for mergekit's sake; changes nothing here"),
    ]
  }

  /// Writes zeros for model k.
  func selectNothing(_ tile: Tile, ofModel k: Int, into deltas: inout MutableSpan<Double>) {
    for i in 0..<tile.count { deltas[k * tile.count + i] = 0 }
  }
}
