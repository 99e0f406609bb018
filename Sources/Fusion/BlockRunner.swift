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
}

/// Takes a method over one block at a time: widens tiles of all inputs to binary64, lets the method find out or
/// fuse, and rounds the result once.
///
/// One runner serves one worker; its memory is a few tiles, whatever the size of a block. Tiles are cut by the
/// tensor's shape alone, so sums don't depend on who computes them.
public struct BlockRunner: Sendable {
  /// The method, with what it has learned.
  public var method: any FusionMethod
  private var tiles: TileBuffers
  /// Scratch of searches for ranks.
  var searchRoom: [UInt64] = []
  /// What to do about NaN and infinity.
  var policy: NonFinitePolicy { tiles.policy }

  /// A runner for a method.
  public init(_ method: any FusionMethod, nonFinite policy: NonFinitePolicy) {
    self.method = method
    tiles = TileBuffers(policy: policy)
  }

  /// The sums or maxima of a stage over one block: one set of results; over `rows` one for each row, and over
  /// `columns` one for each column, where the grid doesn't split rows.
  ///
  /// `bytes[j]` starts with input j's elements of `block.range`. `known` holds the results of earlier stages, of row
  /// stages only where the grid splits rows.
  public mutating func results(
    of index: Int, over block: FusionBlock, bytes: [[UInt8]], known: Known
  ) throws(EmbedFuseError) -> [Double] {
    let method = method
    let stage = method.stages(for: block.tensor)[index]
    switch stage.scope {
    case .columns:
      var sums = Array(repeating: 0.0, count: block.tensor.columnCount * stage.resultCount)
      try addColumnSums(of: index, over: block, bytes: bytes, known: known, to: &sums)
      return sums
    case .rows where !block.tensor.grid.splitsRows:
      return try rowResults(of: index, stage, over: block, bytes: bytes, known: known)
    default:
      let takesRows = !TileBuffers.rowStages(method.stages(for: block.tensor), before: index).isEmpty
      if !takesRows && !method.wantsWholeRows,
        let sums = storedDeltaSums(stage, over: block, bytes: bytes)
          ?? storedKeptSums(index, stage, over: block, bytes: bytes, known: known)
      {
        return sums
      }
      var lanes = stage.emptyLanes
      try tiles.walk(block, bytes: bytes, method: method, before: index, known: known) { tiles, tile, known in
        tiles.accumulate(index, tile, method: method, known: known, in: block.tensor, to: &lanes)
      }
      return stage.reduce(lanes)
    }
  }

  /// The results of every row of a block of whole rows.
  private mutating func rowResults(
    of index: Int, _ stage: Stage, over block: FusionBlock, bytes: [[UInt8]], known: Known
  ) throws(EmbedFuseError) -> [Double] {
    let method = method
    let rowLength = block.tensor.grid.rowLength
    var results: [Double] = []
    var lanes = stage.emptyLanes
    try tiles.walk(block, bytes: bytes, method: method, before: index, known: known, byRow: true) {
      tiles, tile, known in
      tiles.accumulate(index, tile, method: method, known: known, in: block.tensor, to: &lanes)
      if (tile.start + tile.count) % rowLength == 0 {
        results += stage.reduce(lanes)
        lanes = stage.emptyLanes
      }
    }
    return results
  }

  /// Adds the sums of a stage over columns over one block: to sum s of column c at `s * columnCount + c`.
  public mutating func addColumnSums(
    of index: Int, over block: FusionBlock, bytes: [[UInt8]], known: Known, to sums: inout [Double]
  ) throws(EmbedFuseError) {
    let method = method
    let stage = method.stages(for: block.tensor)[index]
    let (columns, count) = (block.tensor.columnCount, stage.resultCount)
    try tiles.walk(block, bytes: bytes, method: method, before: index, known: known) { tiles, tile, known in
      var begin = 0
      while begin < tile.count {
        let column = (tile.start + begin) % columns
        let end = min(tile.count, begin + columns - column)
        var lanes = Array(repeating: 0.0, count: count * (end - begin))
        tiles.accumulate(
          index, tile.over(begin..<end), method: method, known: known, in: block.tensor, to: &lanes)
        for s in 0..<count {
          for i in 0..<end - begin { sums[s * columns + column + i] += lanes[s * (end - begin) + i] }
        }
        begin = end
      }
    }
  }

  /// Visits the keys of a stage over ranks: for every tile and channel its keys and the flat index of the first.
  public mutating func keys(
    of index: Int, over block: FusionBlock, bytes: [[UInt8]], known: Known, channels: Int,
    visit: (Int, Span<Double>, Int) -> Void
  ) throws(EmbedFuseError) {
    let method = method
    try tiles.walk(block, bytes: bytes, method: method, before: index, known: known) { tiles, tile, known in
      let wide = tiles.wide
      for channel in 0..<channels {
        var keys = tiles.fused.mutableSpan
        method.writeKeys(
          stage: index, channel: channel, tile, of: wide.span, known: known, in: block.tensor, to: &keys)
        visit(channel, tiles.fused.span.extracting(0..<tile.count), tile.start)
      }
    }
  }

  /// Fuses one block and rounds it to `type`, at the front of `output`; if there is an `intermediate` type,
  /// to that first.
  ///
  /// `bytes` and `known` as for `results`, here with all stages.
  public mutating func fuse(
    _ block: FusionBlock, bytes: [[UInt8]], known: Known, as type: ElementType,
    by intermediate: ElementType? = nil, into output: inout [UInt8], tally: inout BlockTally
  ) throws(EmbedFuseError) {
    if intermediate == nil || intermediate == type,
      fuseStored(block, bytes: bytes, known: known, as: type, into: &output, tally: &tally)
        || fuseSelected(block, bytes: bytes, known: known, as: type, into: &output, tally: &tally)
    {
      return
    }
    let method = method
    let stageCount = method.stages(for: block.tensor).count
    try tiles.walk(block, bytes: bytes, method: method, before: stageCount, known: known) {
      tiles, tile, known in
      // Taken out, since a span of one array keeps the whole of `tiles` from being changed.
      let wide = tiles.wide
      var scratch: [Double] = []
      swap(&scratch, &tiles.scratch)
      var target = tiles.fused.mutableSpan
      method.fuse(
        tile, of: wide.span, known: known, in: block.tensor, into: &target, tally: &tally.weights,
        scratch: &scratch)
      swap(&scratch, &tiles.scratch)
      tiles.narrowFused(
        tile, of: block, bytes: bytes, as: type, by: intermediate, into: &output,
        at: type.byteCount(ofElements: tile.start - block.range.lowerBound),
        rounding: &tally.rounding)
    }
  }
}
