import Kernels
import TensorCore

/// The tile at hand: all inputs' elements widened, and room for what a method makes of them.
struct TileBuffers {
  /// The most elements that are widened at once: with a few inputs they stay in the second-level cache.
  static let tileLength = 4096

  /// What to do about NaN and infinity.
  let policy: NonFinitePolicy
  /// Input j's values start at `j * tileLength`.
  var wide: [Double] = []
  /// The fused values.
  var fused = Array(repeating: 0.0, count: Self.tileLength)
  /// The method's own room.
  var scratch: [Double] = []

  init(policy: NonFinitePolicy) {
    self.policy = policy
  }

  /// Visits a block in tiles, each with its first element in the tensor and the sums of the row stages before
  /// `stage` for its row.
  ///
  /// Where there are row stages, no tile crosses a row: the row's sums are taken first, from tiles that stay in
  /// the cache where a row fits into one.
  mutating func walk(
    _ block: FusionBlock, bytes: [[UInt8]], method: any FusionMethod, before stage: Int, rowSums: [Double],
    visit: (inout TileBuffers, Tile, Int, [Double]) throws(EmbedFuseError) -> Void
  ) throws(EmbedFuseError) {
    let stages = method.stages(modelCount: block.modelCount)
    let rowStages = (0..<stage).filter { stages[$0].scope == .row }
    let rowLength = block.tensor.grid.rowLength
    if rowStages.isEmpty || block.tensor.grid.splitsRows {
      for piece in Self.pieces(of: block.range, length: Self.tileLength) {
        try visit(&self, try widenTile(piece, of: block, bytes), piece.lowerBound, rowSums)
      }
    } else if rowLength <= Self.tileLength {
      for piece in Self.pieces(of: block.range, length: Self.tileLength / rowLength * rowLength) {
        let tile = try widenTile(piece, of: block, bytes)
        for start in stride(from: 0, to: piece.count, by: rowLength) {
          let row = tile.over(start..<start + rowLength)
          var sums: [Double] = []
          for stage in rowStages {
            var lanes = Array(repeating: 0.0, count: stages[stage].sumCount * laneCount)
            accumulate(stage, row, method: method, rowSums: sums, in: block.tensor, to: &lanes)
            sums += reduceLanes(lanes.span)
          }
          try visit(&self, row, piece.lowerBound + start, sums)
        }
      }
    } else {
      for row in Self.pieces(of: block.range, length: rowLength) {
        let pieces = Self.pieces(of: row, length: Self.tileLength)
        var sums: [Double] = []
        for stage in rowStages {
          var lanes = Array(repeating: 0.0, count: stages[stage].sumCount * laneCount)
          for piece in pieces {
            let tile = try widenTile(piece, of: block, bytes)
            accumulate(stage, tile, method: method, rowSums: sums, in: block.tensor, to: &lanes)
          }
          sums += reduceLanes(lanes.span)
        }
        for piece in pieces {
          try visit(&self, try widenTile(piece, of: block, bytes), piece.lowerBound, sums)
        }
      }
    }
  }

  /// Adds a tile to the lanes of a stage.
  mutating func accumulate(
    _ stage: Int, _ tile: Tile, method: any FusionMethod, rowSums: [Double], in tensor: TensorContext,
    to lanes: inout [Double]
  ) {
    let wide = wide
    var span = lanes.mutableSpan
    method.accumulate(
      stage: stage, tile, of: wide.span, rowSums: rowSums, in: tensor, to: &span, scratch: &scratch)
  }

  /// The range in pieces of `length`, the last one shorter.
  private static func pieces(of range: Range<Int>, length: Int) -> [Range<Int>] {
    stride(from: range.lowerBound, to: range.upperBound, by: length).map {
      $0..<min($0 + length, range.upperBound)
    }
  }
}

// MARK: - Widening

extension TileBuffers {
  /// Widens `piece` of every input and applies the policy on values that aren't finite.
  private mutating func widenTile(
    _ piece: Range<Int>, of block: FusionBlock, _ bytes: [[UInt8]]
  ) throws(EmbedFuseError) -> Tile {
    let needed = block.inputs.count * Self.tileLength
    if wide.count < needed { wide = Array(repeating: 0, count: needed) }
    for (j, input) in block.inputs.enumerated() {
      let width = input.elementType.bitWidth / 8
      let first = (piece.lowerBound - block.range.lowerBound) * width
      let stored = bytes[j]
      var span = wide.mutableSpan
      let found = widen(
        stored.span.extracting(first..<first + piece.count * width), as: input.elementType, into: &span,
        at: j * Self.tileLength)
      if found && policy != .allow { try settleNonFinite(j, piece, of: block) }
    }
    return Tile(
      layout: TileLayout(
        stride: Self.tileLength, inputCount: block.inputs.count, elements: 0..<piece.count),
      hasBase: block.hasBase)
  }

  /// Replaces what isn't finite in input j by the base's values, or stops.
  private mutating func settleNonFinite(
    _ j: Int, _ piece: Range<Int>, of block: FusionBlock
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
      remedy: isBase || !block.hasBase
        ? "leave this checkpoint out or mend it, or use --nonfinite allow to compute with such values"
        : "leave this checkpoint out, or use --nonfinite base to take the base's values there")
  }
}
