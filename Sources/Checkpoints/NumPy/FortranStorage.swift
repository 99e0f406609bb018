import TensorCore

/// Reads an array row-major whose elements stand column-major: the first axis varies fastest.
struct FortranStorage: TensorStorage {
  /// Elements read at once to pick some out of them.
  private static let slabLength = 65_536
  /// Pieces are picked out of whole columns while no more than this many times their elements are read.
  private static let overreadLimit = 64

  /// The elements in the order in which they stand.
  let stored: any TensorStorage
  /// The bytes of an element.
  private let width: Int
  private let type: ElementType
  /// The extents without the first, in row-major order.
  private let inner: [Int]
  /// The extent of the first axis, and elements of the others together.
  private let height: Int
  private let columns: Int

  var residentBytes: Int { stored.residentBytes }
  var workerBytes: Int { stored.workerBytes + Self.slabLength * width }

  /// An array of at least one element of whole bytes.
  init(_ stored: any TensorStorage, shape: Shape, type: ElementType) {
    self.stored = stored
    self.type = type
    width = type.byteWidth!
    inner = shape.dimensions.dropFirst().map { Int($0) }
    height = Int(shape.dimensions[0])
    columns = shape.elementCount / height
  }

  func read(_ range: Range<Int>, into bytes: inout MutableSpan<UInt8>) throws(EmbedFuseError) {
    guard !range.isEmpty else { return }
    let rows = range.lowerBound / columns..<(range.upperBound - 1) / columns + 1
    // The columns that the range could touch. Of a matrix, whose columns stand in the order of a row, a piece of a row
    // touches just its own.
    let touched =
      rows.count == 1 && inner.count == 1
      ? range.lowerBound % columns..<(range.upperBound - 1) % columns + 1 : 0..<columns
    if height <= Self.overreadLimit * rows.count {
      let step = max(1, Self.slabLength / height)
      var column = touched.lowerBound
      while column < touched.upperBound {
        let end = min(column + step, touched.upperBound)
        try readSlab(column..<end, range: range, rows: rows, into: &bytes)
        column = end
      }
    } else {
      for column in touched {
        let place = rowMajorIndex(ofColumn: column)
        let needed = self.rows(of: range, at: place)
        guard !needed.isEmpty else { continue }
        let start = column * height + needed.lowerBound
        let piece = try elements(start..<start + needed.count)
        scatter(piece, from: 0, rows: needed, place: place, range: range, into: &bytes)
      }
    }
  }

  /// Reads whole columns and takes the wanted rows out of each.
  private func readSlab(
    _ slab: Range<Int>, range: Range<Int>, rows: Range<Int>, into bytes: inout MutableSpan<UInt8>
  ) throws(EmbedFuseError) {
    let start = slab.lowerBound * height + rows.lowerBound
    let end = (slab.upperBound - 1) * height + rows.upperBound
    let piece = try elements(start..<end)
    for column in slab {
      let place = rowMajorIndex(ofColumn: column)
      let needed = self.rows(of: range, at: place)
      guard !needed.isEmpty else { continue }
      scatter(
        piece, from: column * height + needed.lowerBound - start, rows: needed, place: place, range: range,
        into: &bytes)
    }
  }

  private func elements(_ range: Range<Int>) throws(EmbedFuseError) -> [UInt8] {
    var piece = [UInt8](repeating: 0, count: range.count * width)
    var span = piece.mutableSpan
    try stored.read(range, into: &span)
    return piece
  }

  /// The rows of which `range` has the element at `place` within the row.
  private func rows(of range: Range<Int>, at place: Int) -> Range<Int> {
    let lower = range.lowerBound <= place ? 0 : (range.lowerBound - place + columns - 1) / columns
    let upper = range.upperBound <= place ? 0 : (range.upperBound - place + columns - 1) / columns
    return lower..<max(lower, upper)
  }

  /// Where a column, counted as columns stand, comes within a row.
  private func rowMajorIndex(ofColumn column: Int) -> Int {
    guard inner.count > 1 else { return column }
    var (rest, index, stride) = (column, 0, columns)
    // The second axis varies fastest among the columns and slowest within a row.
    for extent in inner {
      stride /= extent
      let (quotient, coordinate) = rest.quotientAndRemainder(dividingBy: extent)
      index += coordinate * stride
      rest = quotient
    }
    return index
  }

  private func scatter(
    _ piece: [UInt8], from first: Int, rows: Range<Int>, place: Int, range: Range<Int>,
    into bytes: inout MutableSpan<UInt8>
  ) {
    var source = first * width
    for row in rows {
      let target = (row * columns + place - range.lowerBound) * width
      for byte in 0..<width { bytes[target + byte] = piece[source + byte] }
      source += width
    }
  }
}
