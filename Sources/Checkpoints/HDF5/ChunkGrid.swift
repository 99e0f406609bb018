/// The grid of chunks over a dataset, and which elements each holds. Elements are counted row-major.
struct ChunkGrid: Sendable, Hashable {
  /// The dataset's extents and a chunk's; at least one axis, none of them 0.
  let dimensions: [Int]
  let chunk: [Int]
  /// Chunks along each axis.
  let counts: [Int]

  /// A grid, or nil where the extents don't fit each other or their products leave `Int`.
  init?(dimensions: [UInt64], chunk: [UInt64]) {
    guard !dimensions.isEmpty, dimensions.count == chunk.count else { return nil }
    var (elements, chunkElements, chunks) = (1, 1, 1)
    var counts: [Int] = []
    for (extent, piece) in zip(dimensions, chunk) {
      guard let extent = Int(exactly: extent), let piece = Int(exactly: piece), extent > 0, piece > 0 else {
        return nil
      }
      let count = (extent - 1) / piece + 1
      counts.append(count)
      for (total, factor) in [(elements, extent), (chunkElements, piece), (chunks, count)]
      where total.multipliedReportingOverflow(by: factor).overflow { return nil }
      elements *= extent
      chunkElements *= piece
      chunks *= count
    }
    self.dimensions = dimensions.map { Int($0) }
    self.chunk = chunk.map { Int($0) }
    self.counts = counts
  }

  /// Elements of a full chunk.
  var chunkLength: Int { chunk.reduce(1, *) }
  /// The number of chunks.
  var count: Int { counts.reduce(1, *) }

  /// The number of the chunk whose first element is at `corner`, or nil where no chunk starts.
  func index(ofCorner corner: [UInt64]) -> Int? {
    var index = 0
    for axis in dimensions.indices {
      guard let position = Int(exactly: corner[axis]), position < dimensions[axis],
        position % chunk[axis] == 0
      else { return nil }
      index = index * counts[axis] + position / chunk[axis]
    }
    return index
  }

  /// The coordinates of the first element of chunk `index`.
  func corner(of index: Int) -> [Int] {
    var rest = index
    var corner = dimensions
    for axis in dimensions.indices.reversed() {
      let (quotient, place) = rest.quotientAndRemainder(dividingBy: counts[axis])
      corner[axis] = place * chunk[axis]
      rest = quotient
    }
    return corner
  }

  /// The elements of chunk `index`, if they are all one contiguous range of the dataset's.
  func contiguousRange(of index: Int) -> Range<Int>? {
    let corner = corner(of: index)
    let extents = clippedExtents(at: corner)
    // Extents of 1, then any extent, then whole axes.
    let first = extents.firstIndex { $0 > 1 } ?? extents.count
    for axis in extents.indices.dropFirst(first + 1)
    where extents[axis] != dimensions[axis] || chunk[axis] != dimensions[axis] { return nil }
    let start = flatIndex(corner)
    return start..<start + extents.reduce(1, *)
  }

  /// What of the chunk at `corner` lies within the dataset.
  func clippedExtents(at corner: [Int]) -> [Int] {
    dimensions.indices.map { min(chunk[$0], dimensions[$0] - corner[$0]) }
  }

  /// The chunks that hold elements of a range that isn't empty.
  func chunks(over range: Range<Int>) -> [Int] {
    let (low, high) = (coordinates(range.lowerBound), coordinates(range.upperBound - 1))
    var result = [0]
    var isFree = false
    for axis in dimensions.indices {
      let places = isFree ? 0...(counts[axis] - 1) : (low[axis] / chunk[axis])...(high[axis] / chunk[axis])
      result = result.flatMap { prefix in places.map { prefix * counts[axis] + $0 } }
      if low[axis] != high[axis] { isFree = true }
    }
    return result
  }

  /// Calls `body` with the place in the chunk and the range of elements of each part of `range` that lies within one
  /// row of chunk `index`.
  func forEachRow(
    of index: Int, in range: Range<Int>, _ body: (_ offset: Int, _ elements: Range<Int>) -> Void
  ) {
    let corner = corner(of: index)
    let extents = clippedExtents(at: corner)
    let last = dimensions.count - 1
    var place = [Int](repeating: 0, count: dimensions.count)
    while true {
      let start = flatIndex(zip(corner, place).map { $0 + $1 })
      if start >= range.upperBound { return }
      let row = (start..<start + extents[last]).clamped(to: range)
      if !row.isEmpty {
        let offset = zip(place, chunk).reduce(0) { $0 * $1.1 + $1.0 }
        body(offset + row.lowerBound - start, row)
      }
      var axis = last - 1
      while axis >= 0 {
        place[axis] += 1
        if place[axis] < extents[axis] { break }
        place[axis] = 0
        axis -= 1
      }
      if axis < 0 { return }
    }
  }

  private func flatIndex(_ coordinates: [Int]) -> Int {
    zip(coordinates, dimensions).reduce(0) { $0 * $1.1 + $1.0 }
  }

  private func coordinates(_ element: Int) -> [Int] {
    var rest = element
    var result = dimensions
    for axis in dimensions.indices.reversed() {
      (rest, result[axis]) = rest.quotientAndRemainder(dividingBy: dimensions[axis])
    }
    return result
  }
}
