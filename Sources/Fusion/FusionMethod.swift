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

/// A run of elements of all inputs, widened to binary64.
///
/// Input j's values are `inputs[j * stride + i]` for `i` in `elements`. Where there is a base it is input 0, and
/// the models follow in their order.
public struct Tile: Sendable {
  /// Doubles from one input to the next.
  public let stride: Int
  /// The number of inputs, the base included.
  public let inputCount: Int
  /// True if input 0 is the base.
  public let hasBase: Bool
  /// The elements concerned, counted within the widened run.
  public let elements: Range<Int>

  /// The number of models.
  public var modelCount: Int { hasBase ? inputCount - 1 : inputCount }

  /// The same inputs over other elements.
  func over(_ elements: Range<Int>) -> Tile {
    Tile(stride: stride, inputCount: inputCount, hasBase: hasBase, elements: elements)
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
  /// `rowSums` holds the sums of the earlier row stages for the tile's row, one stage after the other.
  func accumulate(
    stage: Int, _ tile: Tile, of inputs: Span<Double>, rowSums: Span<Double>, in tensor: TensorContext,
    to lanes: inout MutableSpan<Double>)

  /// Takes in the sums of a tensor stage: `sums[t]` are those of tensor `tensors[t]`.
  mutating func learn(stage: Int, sums: [[Double]], of tensors: [TensorContext])

  /// Writes the fused values of a tile to `target[tile.elements]` and tallies the weights that it gave.
  ///
  /// `rowSums` holds the sums of all row stages for the tile's row.
  func fuse(
    _ tile: Tile, of inputs: Span<Double>, rowSums: Span<Double>, in tensor: TensorContext,
    into target: inout MutableSpan<Double>, tally: inout WeightTally)

  /// The magnitudes from which the weights of this tensor's group were derived, one a model, or empty if there
  /// is no such group as large as a tensor.
  func magnitudes(of tensor: TensorContext) -> [Double]
}

extension FusionMethod {
  /// No passes.
  public func stages(modelCount: Int) -> [Stage] { [] }

  /// Nothing to sum.
  public func accumulate(
    stage: Int, _ tile: Tile, of inputs: Span<Double>, rowSums: Span<Double>, in tensor: TensorContext,
    to lanes: inout MutableSpan<Double>
  ) {}

  /// Nothing to learn.
  public mutating func learn(stage: Int, sums: [[Double]], of tensors: [TensorContext]) {}

  /// None.
  public func magnitudes(of tensor: TensorContext) -> [Double] { [] }
}
