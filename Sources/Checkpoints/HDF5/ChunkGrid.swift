import TensorCore

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

  /// The chunks that hold elements of a range that isn't empty, in ascending order.
  func chunks(over range: Range<Int>) -> [Int] {
    let (low, high) = (coordinates(range.lowerBound), coordinates(range.upperBound - 1))
    let last = dimensions.count - 1
    // The axis along which the range goes beyond one step.
    guard let axis = dimensions.indices.first(where: { low[$0] != high[$0] }) else {
      return [index(ofChunkHolding: low)]
    }
    var result: Set<Int> = []
    if axis == last {
      insert(low[axis]..<high[axis] + 1, at: axis, of: low, into: &result)
    } else {
      insert(low[axis] + 1..<high[axis], at: axis, of: low, into: &result)
    }
    // From the first element to the end of its step, axis by axis; likewise from the start of the last one's.
    for inner in axis + 1..<max(axis + 1, dimensions.count) {
      insert(low[inner] + (inner == last ? 0 : 1)..<dimensions[inner], at: inner, of: low, into: &result)
      insert(0..<high[inner] + (inner == last ? 1 : 0), at: inner, of: high, into: &result)
    }
    return result.sorted()
  }

  /// Adds the chunks that hold elements whose coordinate along `axis` is one of `places`, those before it as in
  /// `corner`, and those after it any. On the last axis nothing follows.
  private func insert(
    _ places: Range<Int>, at axis: Int, of corner: [Int], into result: inout Set<Int>
  ) {
    guard let first = places.first, let last = places.last else { return }
    var indices = [corner[..<axis].indices.reduce(0) { $0 * counts[$1] + corner[$1] / chunk[$1] }]
    for inner in axis..<dimensions.count {
      let steps =
        inner == axis
        ? first / chunk[inner]...last / chunk[inner] : 0...counts[inner] - 1
      indices = indices.flatMap { outer in steps.map { outer * counts[inner] + $0 } }
    }
    result.formUnion(indices)
  }

  private func index(ofChunkHolding coordinates: [Int]) -> Int {
    dimensions.indices.reduce(0) { $0 * counts[$1] + coordinates[$1] / chunk[$1] }
  }

  /// How many chunks some blocks of a `BlockGrid`, one after the other, touch at most, about.
  func chunksTouched(byBlocks blocks: Int) -> Int {
    let (row, length) = (dimensions[dimensions.count - 1], BlockGrid.blockLength)
    let block = row > length ? length : length / row * row
    if let held = contiguousRange(of: 0)?.count, held % block == 0 {
      // A block lies within one chunk.
      return min(count, ((blocks - 1) * block + held - 1) / held + 1)
    }
    return chunksTouched(byRangeOf: blocks * length)
  }

  /// How many chunks a range of `length` elements touches at most, about, wherever it starts.
  private func chunksTouched(byRangeOf length: Int) -> Int {
    var inner = 1
    var chunks = 1
    for axis in dimensions.indices.reversed() {
      let (wider, overflow) = inner.multipliedReportingOverflow(by: dimensions[axis])
      if overflow || wider > length {
        // The range takes some steps along this axis, each with all that lies within.
        return min(count, chunks * min(counts[axis], (length / inner + chunk[axis] - 1) / chunk[axis] + 1))
      }
      inner = wider
      chunks *= counts[axis]
    }
    return chunks
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
    place[0] = last == 0 ? 0 : max(0, coordinates(range.lowerBound)[0] - corner[0])
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
