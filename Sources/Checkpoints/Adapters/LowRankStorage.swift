import Kernels
import TensorCore

/// The storage of a weight with an adapter merged in: W + scale·B·A, and for DoRA each row of that scaled to its
/// magnitude. Only what is asked for is ever computed.
///
/// Values are computed in binary64 from the stored ones and rounded once. The result doesn't depend on the ranges in
/// which it is read.
struct LowRankStorage: TensorStorage {
  /// The elements that are computed at a time, unless a row is longer: rows of them stay in a near cache.
  private static let pieceLength = 16_384

  /// The weight without the adapter.
  let base: StoredTensor
  /// What is added.
  let update: LowRankUpdate
  /// The type of the merged weight, at least as wide as the base's.
  let elementType: ElementType
  /// Where the right factor is kept.
  let cache: FactorCache
  /// The right factor's key there.
  let key: Int

  /// The left factor's values that are read at a time, unless those of one row are more.
  private static let leftLength = 65_536

  /// The base's block, rows of the left factor as they stand and widened, and a piece of the result.
  var workerBytes: Int {
    base.storage.workerBytes + 8 * (BlockGrid.blockLength + 2 * Self.leftLength + Self.pieceLength)
  }

  /// Some columns of some rows: whole rows, or a part of one.
  private struct Piece {
    let rows: Range<Int>
    let columns: Range<Int>

    var count: Int { rows.count * columns.count }
  }

  func read(_ range: Range<Int>, into bytes: inout MutableSpan<UInt8>) throws(EmbedFuseError) {
    guard !range.isEmpty else { return }
    // Elements of the result's width are replaced where they stand; others wait beside.
    let width = base.info.elementType.bitWidth / 8
    var narrower: [UInt8] = []
    if width == elementType.bitWidth / 8 {
      try base.storage.read(range, into: &bytes)
    } else {
      narrower = Array(repeating: 0, count: range.count * width)
      var room = narrower.mutableSpan
      try base.storage.read(range, into: &room)
    }
    let columns = update.columnCount
    let right = try cache.factor(of: key) { () throws(EmbedFuseError) in try update.right() }.values
    let length = min(range.count, max(Self.pieceLength, min(columns, BlockGrid.blockLength)))
    var values = Array(repeating: 0.0, count: length)
    var start = range.lowerBound
    while start < range.upperBound {
      let first = start / columns
      let rows =
        first..<min(first + max(1, Self.leftLength / update.rank), (range.upperBound - 1) / columns + 1)
      let left = try update.left(rows)
      let end = min(range.upperBound, rows.upperBound * columns)
      while start < end {
        let piece = piece(from: start, to: end, length: length)
        let place = start - range.lowerBound
        widen(piece, at: place, bytes.span, narrower.span, into: &values)
        var target = values.mutableSpan
        merge(piece, left: left.span, firstRow: first, right: right.span, into: &target)
        try scaleRows(piece, left: left.span, firstRow: first, right: right.span, in: &target)
        narrow(
          values.span.extracting(0..<piece.count), to: elementType, into: &bytes,
          at: elementType.byteCount(ofElements: place))
        start += piece.count
      }
    }
  }

  /// Widens the base's elements of a piece, which stand at `place` among those that were read: in `bytes` if they are
  /// of the result's width, else in `narrower`.
  private func widen(
    _ piece: Piece, at place: Int, _ bytes: Span<UInt8>, _ narrower: Span<UInt8>, into values: inout [Double]
  ) {
    let type = base.info.elementType
    let stored = type.byteCount(ofElements: place)..<type.byteCount(ofElements: place + piece.count)
    var target = values.mutableSpan
    let source = type.bitWidth == elementType.bitWidth ? bytes : narrower
    _ = Kernels.widen(source.extracting(stored), as: type, into: &target)
  }

  /// The piece that starts at an element.
  private func piece(from start: Int, to end: Int, length: Int) -> Piece {
    let columns = update.columnCount
    let (row, column) = start.quotientAndRemainder(dividingBy: columns)
    let whole = min(length, end - start) / columns
    guard column == 0, whole > 0 else {
      let count = min(length, end - start, columns - column)
      return Piece(rows: row..<row + 1, columns: column..<column + count)
    }
    return Piece(rows: row..<row + whole, columns: 0..<columns)
  }

  /// Adds the update to the base's values of a piece.
  private func merge(
    _ piece: Piece, left: Span<Double>, firstRow: Int, right: Span<Double>,
    into values: inout MutableSpan<Double>
  ) {
    addProduct(
      left, right, rank: update.rank, stride: update.columnCount, columns: piece.columns, scale: update.scale,
      to: &values, at: 0, rows: piece.rows.lowerBound - firstRow..<piece.rows.upperBound - firstRow)
  }
}

// MARK: DoRA

extension LowRankStorage {
  /// Scales the rows of a piece to their magnitudes, if there are any.
  private func scaleRows(
    _ piece: Piece, left: Span<Double>, firstRow: Int, right: Span<Double>,
    in values: inout MutableSpan<Double>
  ) throws(EmbedFuseError) {
    guard let magnitudes = update.magnitudes else { return }
    let magnitude = try magnitudes.widened(piece.rows)
    for (place, row) in piece.rows.enumerated() {
      let first = place * piece.columns.count
      var lanes = Array(repeating: 0.0, count: laneCount)
      if piece.columns.count == update.columnCount {
        Self.addSquares(of: values.span, first..<first + piece.columns.count, to: &lanes)
      } else {
        try addSquares(ofRow: row, left: left, firstRow: firstRow, right: right, to: &lanes)
      }
      let factor = magnitude[place] / reduceLanes(lanes.span)[0].squareRoot()
      for i in first..<first + piece.columns.count { values[i] *= factor }
    }
  }

  /// Adds the squares of a row of which only a part was asked for.
  private func addSquares(
    ofRow row: Int, left: Span<Double>, firstRow: Int, right: Span<Double>, to lanes: inout [Double]
  ) throws(EmbedFuseError) {
    let columns = update.columnCount
    for start in stride(from: 0, to: columns, by: BlockGrid.blockLength) {
      let part = start..<min(start + BlockGrid.blockLength, columns)
      var values = try base.widened(row * columns + part.lowerBound..<row * columns + part.upperBound)
      var target = values.mutableSpan
      merge(
        Piece(rows: row..<row + 1, columns: part), left: left, firstRow: firstRow, right: right, into: &target
      )
      Self.addSquares(of: values.span, 0..<part.count, to: &lanes)
    }
  }

  private static func addSquares(of values: Span<Double>, _ range: Range<Int>, to lanes: inout [Double]) {
    var sums = lanes.mutableSpan
    addProducts(
      of: values, TileLayout(stride: values.count, inputCount: 1, elements: range), from: 0, count: 1,
      subtractsBase: false, to: &sums)
  }
}
