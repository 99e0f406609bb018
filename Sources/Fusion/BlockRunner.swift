import Kernels
import TensorCore

/// A block of one tensor, whose stored bytes are at hand for all inputs.
public struct FusionBlock: Sendable {
  /// The tensor's place and settings.
  public let tensor: TensorContext
  /// The elements that the bytes hold: a block of the tensor's grid.
  public let range: Range<Int>
  /// The inputs, the base first if there is one.
  public let inputs: [BlockInput]
  /// True if input 0 is the base.
  public let hasBase: Bool

  /// A block over `range` of `tensor`.
  public init(tensor: TensorContext, range: Range<Int>, inputs: [BlockInput], hasBase: Bool) {
    self.tensor = tensor
    self.range = range
    self.inputs = inputs
    self.hasBase = hasBase
  }

  /// The number of models.
  var modelCount: Int { hasBase ? inputs.count - 1 : inputs.count }
}

/// Takes a method over one block at a time: widens tiles of all inputs to binary64, lets the method sum them up
/// or fuse them, and rounds the result once.
///
/// One runner serves one worker; its memory is a few tiles, whatever the size of a block. Tiles are cut by the
/// tensor's shape alone, so sums don't depend on who computes them.
public struct BlockRunner {
  private let method: any FusionMethod
  private var tiles: TileBuffers

  /// A runner for a method.
  public init(_ method: any FusionMethod, nonFinite policy: NonFinitePolicy) {
    self.method = method
    tiles = TileBuffers(policy: policy)
  }

  /// The sums of a stage over one block.
  ///
  /// `bytes[j]` starts with input j's elements of `block.range`. `rowSums` is needed where the grid splits
  /// rows: the sums of the earlier row stages over the row of which the block is a piece.
  public mutating func sums(
    of stage: Int, over block: FusionBlock, bytes: [[UInt8]], rowSums: [Double] = []
  ) throws(EmbedFuseError) -> [Double] {
    let method = method
    let stages = method.stages(modelCount: block.modelCount)
    var lanes = Array(repeating: 0.0, count: stages[stage].sumCount * laneCount)
    try tiles.walk(block, bytes: bytes, method: method, before: stage, rowSums: rowSums) {
      tiles, tile, _, rowSums in
      tiles.accumulate(stage, tile, method: method, rowSums: rowSums, in: block.tensor, to: &lanes)
    }
    return reduceLanes(lanes.span)
  }

  /// Fuses one block and rounds it to `type`, into `output` from byte `offset` on.
  ///
  /// `bytes` and `rowSums` as for `sums`, here with the sums of all row stages.
  public mutating func fuse(
    _ block: FusionBlock, bytes: [[UInt8]], rowSums: [Double] = [], as type: ElementType,
    into output: inout [UInt8], at offset: Int, tally: inout WeightTally
  ) throws(EmbedFuseError) {
    let method = method
    let stageCount = method.stages(modelCount: block.modelCount).count
    try tiles.walk(block, bytes: bytes, method: method, before: stageCount, rowSums: rowSums) {
      tiles, tile, start, rowSums in
      // Taken out, since a span of one array keeps the whole of `tiles` from being changed.
      let wide = tiles.wide
      var scratch: [Double] = []
      swap(&scratch, &tiles.scratch)
      var target = tiles.fused.mutableSpan
      method.fuse(
        tile, of: wide.span, rowSums: rowSums, in: block.tensor, into: &target, tally: &tally,
        scratch: &scratch)
      swap(&scratch, &tiles.scratch)
      var span = output.mutableSpan
      narrow(
        tiles.fused.span.extracting(tile.layout.elements), to: type, into: &span,
        at: offset + type.byteCount(ofElements: start - block.range.lowerBound))
    }
  }
}
