import Kernels
import TensorCore

/// What a method combines: whole weights, or deltas to a base.
public enum MergeSpace: Sendable {
  /// The models' weights themselves; no base is needed.
  case weights
  /// Each model's difference to the base, θ_k − θ₀.
  case deltas
}

/// A pass over the inputs that sums something up before blocks can be fused.
public struct Stage: Sendable, Hashable {
  /// What a sum is taken over.
  public enum Scope: Sendable {
    /// One row: the sums are known when the row is fused.
    case row
    /// One tensor: the sums of all tensors are known before any block is fused.
    case tensor
  }

  /// What one sum covers.
  public let scope: Scope
  /// How many binary64 sums there are for each row or tensor.
  public let sumCount: Int

  /// A stage of `sumCount` sums over each row or tensor.
  public init(over scope: Scope, sumCount: Int) {
    self.scope = scope
    self.sumCount = sumCount
  }
}

/// A run of elements of all inputs, widened to binary64: where they lie, and whether input 0 is the base.
///
/// The models follow the base in their order.
public struct Tile: Sendable, Hashable {
  /// Where the inputs' elements lie in the span that comes with the tile.
  public let layout: TileLayout
  /// True if input 0 is the base.
  public let hasBase: Bool

  /// The number of models.
  public var modelCount: Int { layout.inputCount - (hasBase ? 1 : 0) }

  /// The number of elements.
  public var count: Int { layout.elements.count }

  /// The same inputs over other elements.
  func over(_ elements: Range<Int>) -> Tile {
    Tile(
      layout: TileLayout(stride: layout.stride, inputCount: layout.inputCount, elements: elements),
      hasBase: hasBase)
  }
}

/// A way to fuse: pure mathematics over tiles, which never sees a file.
///
/// Work proceeds in passes over the inputs. First every stage in order: its sums are gathered tile by tile, and
/// given to `learn` if they cover tensors, or to the later calls for that row if they cover rows. Then every tile
/// is fused. A stage may use what the earlier ones found. All arithmetic is binary64; the runner rounds once.
public protocol FusionMethod: Sendable {
  /// What it combines.
  var mergeSpace: MergeSpace { get }

  /// The passes that it needs before it can fuse, for this number of models.
  func stages(modelCount: Int) -> [Stage]

  /// Adds a tile to the sums of a stage: sum s, lane l is `lanes[s * laneCount + l]`.
  ///
  /// `rowSums` holds the sums of the earlier row stages for the tile's row, one stage after the other. `scratch`
  /// is room that may be grown and used; its contents mean nothing.
  func accumulate(
    stage: Int, _ tile: Tile, of inputs: Span<Double>, rowSums: [Double], in tensor: TensorContext,
    to lanes: inout MutableSpan<Double>, scratch: inout [Double])

  /// Takes in the sums of a tensor stage: `sums[t]` are those of tensor `tensors[t]`.
  mutating func learn(stage: Int, sums: [[Double]], of tensors: [TensorContext])

  /// Writes the fused values of a tile to `target` at the tile's elements and tallies the weights that it gave.
  ///
  /// `rowSums` holds the sums of all row stages for the tile's row.
  func fuse(
    _ tile: Tile, of inputs: Span<Double>, rowSums: [Double], in tensor: TensorContext,
    into target: inout MutableSpan<Double>, tally: inout WeightTally, scratch: inout [Double])

  /// The magnitudes from which the weights of this tensor's group were derived, one a model, or empty if there
  /// is no such group as large as a tensor.
  func magnitudes(of tensor: TensorContext) -> [Double]
}

extension FusionMethod {
  /// No passes.
  public func stages(modelCount: Int) -> [Stage] { [] }

  /// Nothing to sum.
  public func accumulate(
    stage: Int, _ tile: Tile, of inputs: Span<Double>, rowSums: [Double], in tensor: TensorContext,
    to lanes: inout MutableSpan<Double>, scratch: inout [Double]
  ) {}

  /// Nothing to learn.
  public mutating func learn(stage: Int, sums: [[Double]], of tensors: [TensorContext]) {}

  /// None.
  public func magnitudes(of tensor: TensorContext) -> [Double] { [] }
}
