import Kernels
import TensorCore

/// A way to fuse: pure mathematics over tiles, which never sees a file.
///
/// Work proceeds in passes over the inputs. First every stage in order finds something out; then every tile is
/// fused. A stage may use what the earlier ones found. All arithmetic is binary64; the runner rounds once.
///
/// A method is a value type. What differs from tensor to tensor (weights, densities, λ) comes with the tensor's
/// context; what shapes the passes (a granularity) is given to `init`.
public protocol FusionMethod: Sendable {
  /// Its name, parameters and source.
  static var description: MethodDescription { get }

  /// The method with these options.
  ///
  /// - Throws: `EmbedFuseError` (usage) if they don't go together.
  init(_ options: MethodOptions) throws(EmbedFuseError)

  /// True if there must be a base.
  var needsBase: Bool { get }

  /// True if a tile must be made of whole rows, as long as a row fits into a block.
  var wantsWholeRows: Bool { get }

  /// True if in this tensor only the ratios of the models' weights count: multiplying all of them by a constant changes
  /// nothing. Very large or small ones are then scaled before the method sees them.
  func weighsByRatios(_ tensor: TensorContext) -> Bool

  /// Checks the settings of one tensor beyond the ranges of the parameters.
  ///
  /// - Throws: `EmbedFuseError` (usage) saying what is wrong and what to do.
  func validate(_ tensor: TensorContext) throws(EmbedFuseError)

  /// Checks the settings of all tensors together.
  ///
  /// - Throws: `EmbedFuseError` (usage) where they don't go together.
  func validate(all tensors: [TensorContext]) throws(EmbedFuseError)

  /// The passes that it needs before it can fuse this tensor. Stages over `model` are the same for all tensors and
  /// come first.
  func stages(for tensor: TensorContext) -> [Stage]

  /// Adds a tile to the sums or maxima of a stage: number s, lane l is `lanes[s * laneCount + l]`.
  ///
  /// Over columns, `lanes[s * tile.count + i]` is sum s of the column of the tile's element i.
  func accumulate(
    stage: Int, _ tile: Tile, of inputs: Span<Double>, known: Known, in tensor: TensorContext,
    to lanes: inout MutableSpan<Double>, scratch: inout [Double])

  /// Writes the keys by which a stage over ranks orders the elements: `keys[i]` for element i of the tile.
  func writeKeys(
    stage: Int, channel: Int, _ tile: Tile, of inputs: Span<Double>, known: Known, in tensor: TensorContext,
    to keys: inout MutableSpan<Double>)

  /// The ranks that a stage asks for among `elementCount` keys, by channel. Results are two numbers for
  /// each rank, as `Boundary` reads them.
  func ranks(stage: Int, elementCount: Int, in tensor: TensorContext, known: Known) -> [[Rank]]

  /// What is made of the results of a stage, once for every row, table, or tensor: later calls see this.
  func conclude(stage: Int, results: [Double], in tensor: TensorContext, known: Known) -> [Double]

  /// Takes in the results of a stage over the model: `results[t]` are those of tensor `tensors[t]`. For ranks they
  /// are the same for all.
  mutating func learn(stage: Int, results: [[Double]], of tensors: [TensorContext])

  /// Writes the fused values of a tile to `target` at the tile's elements and tallies the weights that it gave.
  func fuse(
    _ tile: Tile, of inputs: Span<Double>, known: Known, in tensor: TensorContext,
    into target: inout MutableSpan<Double>, tally: inout WeightTally, scratch: inout [Double])

  /// The magnitudes from which the weights of this tensor's group were derived, one a model, or empty if there
  /// is no such group as large as a tensor.
  func magnitudes(of tensor: TensorContext, known: Known) -> [Double]
}

extension FusionMethod {
  /// True for a method that combines deltas.
  public var needsBase: Bool { Self.description.mergeSpace == .deltas }

  /// False.
  public var wantsWholeRows: Bool { false }

  /// False: the weights are taken as they are.
  public func weighsByRatios(_ tensor: TensorContext) -> Bool { false }

  /// Nothing to check.
  public func validate(_ tensor: TensorContext) throws(EmbedFuseError) {}

  /// Nothing to check.
  public func validate(all tensors: [TensorContext]) throws(EmbedFuseError) {}

  /// No passes.
  public func stages(for tensor: TensorContext) -> [Stage] { [] }

  /// Nothing to sum.
  public func accumulate(
    stage: Int, _ tile: Tile, of inputs: Span<Double>, known: Known, in tensor: TensorContext,
    to lanes: inout MutableSpan<Double>, scratch: inout [Double]
  ) {}

  /// The sizes of the deltas |δ_k|, channel k.
  public func writeKeys(
    stage: Int, channel: Int, _ tile: Tile, of inputs: Span<Double>, known: Known, in tensor: TensorContext,
    to keys: inout MutableSpan<Double>
  ) {
    deltaSizes(of: inputs, tile.layout, input: channel + (tile.hasBase ? 1 : 0), into: &keys)
  }

  /// None.
  public func ranks(stage: Int, elementCount: Int, in tensor: TensorContext, known: Known) -> [[Rank]] { [] }

  /// The results themselves.
  public func conclude(stage: Int, results: [Double], in tensor: TensorContext, known: Known) -> [Double] {
    results
  }

  /// Nothing to learn.
  public mutating func learn(stage: Int, results: [[Double]], of tensors: [TensorContext]) {}

  /// None.
  public func magnitudes(of tensor: TensorContext, known: Known) -> [Double] { [] }
}
