import Kernels
import TensorCore

/// What to do about NaN and infinity in an input.
public enum NonFinitePolicy: String, Sendable, CaseIterable {
  /// Stop, naming the tensor and the element.
  case error
  /// Take the base's value in its place.
  case base
  /// Compute with it.
  case allow
}

/// An input that the runner reads: who it is, and the type of its elements in the tensor at hand.
public struct BlockInput: Sendable {
  /// The input's name in messages: its path as the user gave it.
  public let path: String
  /// The tensor's name in that input.
  public let tensor: String
  /// The stored type of its elements.
  public let elementType: ElementType

  /// An input's tensor.
  public init(path: String, tensor: String, elementType: ElementType) {
    self.path = path
    self.tensor = tensor
    self.elementType = elementType
  }
}

/// Takes a method over one block at a time: widens tiles of all inputs to binary64, lets the method sum them up
/// or fuse them, and rounds the result once.
///
/// One runner serves one worker; its memory is a few tiles, whatever the size of a block. Tiles are cut by the
/// tensor's shape alone, so sums don't depend on who computes them.
public final class BlockRunner {
  /// The most elements that are widened at once: with a few inputs they stay in the second-level cache.
  static let tileLength = 4096

  /// A block of one tensor with the stored bytes of all its inputs.
  public struct Block {
    /// The tensor's place and settings.
    public let tensor: TensorContext
    /// The elements that the bytes hold: whole blocks of the tensor's grid.
    public let range: Range<Int>
    /// The inputs, the base first if `hasBase`.
    public let inputs: [BlockInput]
    /// True if input 0 is the base.
    public let hasBase: Bool

    /// The number of models.
    var modelCount: Int { hasBase ? inputs.count - 1 : inputs.count }

    /// A block over `range` of `tensor`.
    public init(tensor: TensorContext, range: Range<Int>, inputs: [BlockInput], hasBase: Bool) {
      self.tensor = tensor
      self.range = range
      self.inputs = inputs
      self.hasBase = hasBase
    }
  }

  private let method: any FusionMethod
  private let policy: NonFinitePolicy
  /// The tile at hand: input j's values start at `j * tileLength`.
  private var wide: [Double] = []
  private var fused: [Double]

  /// A runner for a method.
  public init(_ method: any FusionMethod, nonFinite policy: NonFinitePolicy) {
    self.method = method
    self.policy = policy
    fused = Array(repeating: 0, count: Self.tileLength)
  }

  /// The sums of a stage over one block of the grid.
  ///
  /// `bytes[j]` starts with input j's elements of `block.range`. `rowSums` is needed where the grid splits
  /// rows: the sums of the earlier row stages over the row of which the block is a piece.
  public func sums(
    of stage: Int, over block: Block, bytes: [[UInt8]], rowSums: [Double] = []
  ) throws(EmbedFuseError) -> [Double] {
    let stages = method.stages(modelCount: block.modelCount)
    var lanes = Array(repeating: 0.0, count: stages[stage].sumCount * laneCount)
    try walk(block, bytes: bytes, before: stage, stages: stages, rowSums: rowSums) { tile, _, rowSums in
      var span = lanes.mutableSpan
      method.accumulate(
        stage: stage, tile, of: wide.span, rowSums: rowSums.span, in: block.tensor, to: &span)
    }
    return reduceLanes(lanes.span)
  }

  /// Fuses one block of the grid and rounds it to `type`, into `output` from byte `offset` on.
  ///
  /// `bytes` and `rowSums` as for `sums`, here with the sums of all row stages.
  public func fuse(
    _ block: Block, bytes: [[UInt8]], rowSums: [Double] = [], as type: ElementType,
    into output: inout [UInt8], at offset: Int, tally: inout WeightTally
  ) throws(EmbedFuseError) {
    let stages = method.stages(modelCount: block.modelCount)
    let width = type.bitWidth / 8
    try walk(block, bytes: bytes, before: stages.count, stages: stages, rowSums: rowSums) { tile, start, rowSums in
      var target = fused.mutableSpan
      method.fuse(
        tile, of: wide.span, rowSums: rowSums.span, in: block.tensor, into: &target, tally: &tally)
      let first = offset + (start - block.range.lowerBound) * width
      var span = output.mutableSpan
      var bytes = span.mutableBytes
      var part = bytes.extracting(first..<first + tile.elements.count * width)
      narrow(fused.span.extracting(tile.elements), to: type, into: &part)
    }
  }
}

extension BlockRunner {
  /// Visits the block in tiles, each with its first element in the tensor and the sums of the row stages before
  /// `stage` for its row.
  private func walk(
    _ block: Block, bytes: [[UInt8]], before stage: Int, stages: [Stage], rowSums: [Double],
    visit: (Tile, Int, [Double]) throws(EmbedFuseError) -> Void
  ) throws(EmbedFuseError) {
    let rowStages = (0..<stage).filter { stages[$0].scope == .row }
    let rowLength = block.tensor.grid.rowLength
    let wholeRows = !block.tensor.grid.splitsRows
    if rowStages.isEmpty || !wholeRows {
      for piece in Self.pieces(of: block.range, length: Self.tileLength) {
        try visit(try widenTile(piece, of: block, bytes), piece.lowerBound, rowSums)
      }
    } else if rowLength <= Self.tileLength {
      let rowsPerTile = Self.tileLength / rowLength * rowLength
      for piece in Self.pieces(of: block.range, length: rowsPerTile) {
        let tile = try widenTile(piece, of: block, bytes)
        for start in stride(from: 0, to: piece.count, by: rowLength) {
          let row = tile.over(start..<start + rowLength)
          var sums: [Double] = []
          for stage in rowStages {
            var lanes = Array(repeating: 0.0, count: stages[stage].sumCount * laneCount)
            accumulate(stage, row, rowSums: sums, in: block.tensor, to: &lanes)
            sums += reduceLanes(lanes.span)
          }
          try visit(row, piece.lowerBound + start, sums)
        }
      }
    } else {
      for row in Self.pieces(of: block.range, length: rowLength) {
        let tiles = Self.pieces(of: row, length: Self.tileLength)
        var sums: [Double] = []
        for stage in rowStages {
          var lanes = Array(repeating: 0.0, count: stages[stage].sumCount * laneCount)
          for piece in tiles {
            accumulate(stage, try widenTile(piece, of: block, bytes), rowSums: sums, in: block.tensor, to: &lanes)
          }
          sums += reduceLanes(lanes.span)
        }
        for piece in tiles {
          try visit(try widenTile(piece, of: block, bytes), piece.lowerBound, sums)
        }
      }
    }
  }

  private func accumulate(
    _ stage: Int, _ tile: Tile, rowSums: [Double], in tensor: TensorContext, to lanes: inout [Double]
  ) {
    var span = lanes.mutableSpan
    method.accumulate(
      stage: stage, tile, of: wide.span, rowSums: rowSums.span, in: tensor, to: &span)
  }

  /// The range in pieces of `length`, the last one shorter.
  private static func pieces(of range: Range<Int>, length: Int) -> [Range<Int>] {
    stride(from: range.lowerBound, to: range.upperBound, by: length).map {
      $0..<min($0 + length, range.upperBound)
    }
  }

  /// Widens `piece` of every input and applies the policy on values that aren't finite.
  private func widenTile(
    _ piece: Range<Int>, of block: Block, _ bytes: [[UInt8]]
  ) throws(EmbedFuseError) -> Tile {
    let needed = block.inputs.count * Self.tileLength
    if wide.count < needed { wide = Array(repeating: 0, count: needed) }
    for (j, input) in block.inputs.enumerated() {
      let width = input.elementType.bitWidth / 8
      let first = (piece.lowerBound - block.range.lowerBound) * width
      var span = wide.mutableSpan
      var target = span.extracting(j * Self.tileLength..<j * Self.tileLength + piece.count)
      let stored = bytes[j].span.bytes.extracting(first..<first + piece.count * width)
      if widen(stored, as: input.elementType, into: &target), policy != .allow {
        try settleNonFinite(j, piece, of: block)
      }
    }
    return Tile(
      stride: Self.tileLength, inputCount: block.inputs.count, hasBase: block.hasBase, elements: 0..<piece.count)
  }

  /// Replaces what isn't finite in input j by the base's values, or stops.
  private func settleNonFinite(
    _ j: Int, _ piece: Range<Int>, of block: Block
  ) throws(EmbedFuseError) {
    let start = j * Self.tileLength
    if policy == .base && block.hasBase && j > 0 {
      for i in 0..<piece.count where !wide[start + i].isFinite { wide[start + i] = wide[i] }
      return
    }
    guard let i = (0..<piece.count).first(where: { !wide[start + $0].isFinite }) else { return }
    let input = block.inputs[j]
    let value = wide[start + i].isNaN ? "NaN" : wide[start + i] > 0 ? "infinity" : "-infinity"
    let isBase = block.hasBase && j == 0
    throw EmbedFuseError(
      .badData, "element \(piece.lowerBound + i) is \(value); every value must be finite",
      path: input.path, tensor: input.tensor,
      remedy: isBase
        ? "mend the base, or use --nonfinite allow to compute with such values"
        : "leave this checkpoint out, or use --nonfinite base to take the base's values there")
  }
}
