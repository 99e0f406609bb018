import Kernels
import TensorCore

/// The tile at hand: all inputs' elements widened, and room for what a method makes of them.
struct TileBuffers {
  /// The most elements that are widened at once: with a few inputs they stay in the second-level cache.
  static let tileLength = 4096

  /// What to do about NaN and infinity.
  let policy: NonFinitePolicy
  /// The most elements of a tile of the block at hand.
  private var length = Self.tileLength
  /// Input j's values start at `j * length`.
  var wide: [Double] = []
  /// The fused values, or keys.
  var fused = Array(repeating: 0.0, count: Self.tileLength)
  /// The method's own room.
  var scratch: [Double] = []

  init(policy: NonFinitePolicy) {
    self.policy = policy
  }

  /// Visits a block in tiles, each with what is known for it before `stage`.
  ///
  /// Where there are stages over single rows, no tile crosses a row: the row's results are taken first, from tiles
  /// that stay in the cache where a row fits into one. `byRow` keeps tiles within rows in any case. A method that wants
  /// whole rows gets tiles of some, where the grid doesn't split them.
  mutating func walk(
    _ block: FusionBlock, bytes: [[UInt8]], method: any FusionMethod, before stage: Int, known: Known,
    byRow: Bool = false, visit: (inout TileBuffers, Tile, Known) throws(EmbedFuseError) -> Void
  ) throws(EmbedFuseError) {
    let rowStages = Self.rowStages(method.stages(for: block.tensor), before: stage)
    let rowLength = block.tensor.grid.rowLength
    let wholeRows = method.wantsWholeRows && !block.tensor.grid.splitsRows
    length = wholeRows ? max(Self.tileLength, rowLength) : Self.tileLength
    if fused.count < length { fused = Array(repeating: 0, count: length) }
    if (rowStages.isEmpty && !byRow) || block.tensor.grid.splitsRows {
      let step = wholeRows ? length / rowLength * rowLength : length
      for piece in Self.pieces(of: block.range, length: step) {
        try visit(&self, try widenTile(piece, of: block, bytes), known)
      }
    } else if rowLength <= length {
      for piece in Self.pieces(of: block.range, length: length / rowLength * rowLength) {
        let tile = try widenTile(piece, of: block, bytes)
        for start in stride(from: 0, to: piece.count, by: rowLength) {
          let row = tile.over(start..<start + rowLength)
          var known = known
          for (index, stage) in rowStages {
            var lanes = stage.emptyLanes
            accumulate(index, row, method: method, known: known, in: block.tensor, to: &lanes)
            known[index] = method.conclude(
              stage: index, results: stage.reduce(lanes), in: block.tensor, known: known)
          }
          try visit(&self, row, known)
        }
      }
    } else {
      for row in Self.pieces(of: block.range, length: rowLength) {
        let pieces = Self.pieces(of: row, length: length)
        var known = known
        for (index, stage) in rowStages {
          var lanes = stage.emptyLanes
          for piece in pieces {
            let tile = try widenTile(piece, of: block, bytes)
            accumulate(index, tile, method: method, known: known, in: block.tensor, to: &lanes)
          }
          known[index] = method.conclude(
            stage: index, results: stage.reduce(lanes), in: block.tensor, known: known)
        }
        for piece in pieces { try visit(&self, try widenTile(piece, of: block, bytes), known) }
      }
    }
  }

  /// The stages over single rows whose results are at hand before `stage`.
  static func rowStages(_ stages: [Stage], before stage: Int) -> [(index: Int, stage: Stage)] {
    let first = stages[..<stage].lastIndex { $0.scope == .rows }.map { $0 + 1 } ?? 0
    return (first..<max(first, stage)).filter { stages[$0].scope == .row }.map { ($0, stages[$0]) }
  }

  /// Adds a tile to the lanes of a stage.
  mutating func accumulate(
    _ stage: Int, _ tile: Tile, method: any FusionMethod, known: Known, in tensor: TensorContext,
    to lanes: inout [Double]
  ) {
    let wide = wide
    var span = lanes.mutableSpan
    if case .deltaSums(_, let kinds) = method.stages(for: tensor)[stage].measure {
      return addDeltaSums(of: wide.span, tile.layout, kinds, to: &span)
    }
    method.accumulate(
      stage: stage, tile, of: wide.span, known: known, in: tensor, to: &span, scratch: &scratch)
  }

  /// Rounds fused values to a type.
  mutating func round(_ elements: Range<Int>, to type: ElementType) {
    var bytes = Array(repeating: UInt8(0), count: type.byteCount(ofElements: elements.count))
    var span = bytes.mutableSpan
    narrow(fused.span.extracting(elements), to: type, into: &span, at: 0)
    var target = fused.mutableSpan
    _ = widen(bytes.span, as: type, into: &target, at: elements.lowerBound)
  }

  /// The range in pieces of `length`, the last one shorter.
  static func pieces(of range: Range<Int>, length: Int) -> [Range<Int>] {
    stride(from: range.lowerBound, to: range.upperBound, by: length).map {
      $0..<min($0 + length, range.upperBound)
    }
  }
}

extension Stage {
  /// How many of the results are sums; those that follow are greatest values.
  private var sumCount: Int {
    switch measure {
    case .sums, .deltaSums: resultCount
    case .sumsAndMaxima(let sums, _): sums
    case .maxima, .ranks: 0
    }
  }

  /// The lanes of sums or maxima over nothing.
  var emptyLanes: [Double] {
    Array(repeating: 0, count: sumCount * laneCount)
      + Array(repeating: -.infinity, count: (resultCount - sumCount) * laneCount)
  }

  /// The sums or maxima of lanes.
  func reduce(_ lanes: [Double]) -> [Double] {
    let sums = reduceLanes(lanes.span.extracting(0..<sumCount * laneCount))
    guard sumCount < resultCount else { return sums }
    return sums
      + (sumCount..<resultCount).map { c in
        lanes[c * laneCount..<(c + 1) * laneCount].reduce(-.infinity) { Swift.max($0, $1) }
      }
  }

  /// The results of two parts of a row or tensor, taken together.
  public func combine(_ first: inout [Double], _ second: some Collection<Double>) {
    for (index, value) in second.enumerated() {
      if index < sumCount { first[index] += value } else { first[index] = Swift.max(first[index], value) }
    }
  }

  /// The results over nothing.
  public var emptyResults: [Double] {
    Array(repeating: 0, count: sumCount) + Array(repeating: -.infinity, count: resultCount - sumCount)
  }
}

// MARK: - Widening

extension TileBuffers {
  /// Widens `piece` of every input and applies the policy on values that aren't finite.
  private mutating func widenTile(
    _ piece: Range<Int>, of block: FusionBlock, _ bytes: [[UInt8]]
  ) throws(EmbedFuseError) -> Tile {
    let length = length
    let needed = block.inputs.count * length
    if wide.count < needed { wide = Array(repeating: 0, count: needed) }
    for (j, input) in block.inputs.enumerated() {
      let width = input.elementType.bitWidth / 8
      let first = (piece.lowerBound - block.range.lowerBound) * width
      let stored = bytes[j]
      var span = wide.mutableSpan
      let found = widen(
        stored.span.extracting(first..<first + piece.count * width), as: input.elementType, into: &span,
        at: j * length)
      if found && policy != .allow { try settleNonFinite(j, piece, of: block) }
    }
    return Tile(
      layout: TileLayout(
        stride: length, inputCount: block.inputs.count, elements: 0..<piece.count),
      hasBase: block.hasBase, modelCount: block.tensor.modelCount, start: piece.lowerBound)
  }

  /// Replaces what isn't finite in input j by the base's values, or stops.
  private mutating func settleNonFinite(
    _ j: Int, _ piece: Range<Int>, of block: FusionBlock
  ) throws(EmbedFuseError) {
    let start = j * length
    let isModel = j >= 1 && j <= block.tensor.modelCount
    if policy == .base && block.hasBase && isModel {
      for i in 0..<piece.count where !wide[start + i].isFinite { wide[start + i] = wide[i] }
      return
    }
    guard let i = (0..<piece.count).first(where: { !wide[start + $0].isFinite }) else { return }
    let input = block.inputs[j]
    let value = wide[start + i].isNaN ? "NaN" : wide[start + i] > 0 ? "infinity" : "-infinity"
    throw EmbedFuseError(
      .badData, "element \(piece.lowerBound + i) is \(value); every value must be finite",
      path: input.path, tensor: input.tensor,
      remedy: block.hasBase && isModel
        ? "leave this checkpoint out, or use --nonfinite base to take the base's values there"
        : "leave this checkpoint out or mend it, or use --nonfinite allow to compute with such values")
  }
}
