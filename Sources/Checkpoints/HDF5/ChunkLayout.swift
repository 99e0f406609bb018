import TensorCore

/// How one tensor is laid out as a dataset: its extents, and the chunks that are compressed one by one.
///
/// A chunk is always one contiguous range of the tensor's elements: extents of 1, then some of one axis, then whole
/// axes. Where the runs that a `BlockGrid` gives are such ranges (matrices and vectors always), chunk and run are
/// the same; elsewhere the writer puts chunks together from runs.
struct ChunkLayout: Sendable, Hashable {
  /// Bytes of a chunk that are aimed at.
  static let targetBytes = 1 << 20
  /// Chunks of a dataset at most, since HDF5 takes time in the square of their number to list them.
  static let maximumCount = 1500
  /// Tensors below this many bytes are stored as they are.
  static let smallestBytes = 512
  /// Axes that HDF5 allows.
  static let maximumRank = 32

  /// The dataset's extents: the tensor's, unless `isReshaped`.
  let dimensions: [UInt64]
  /// The extents of a chunk, or nil for a dataset in one piece.
  let chunkDimensions: [UInt64]?
  /// Bytes of one stored element.
  let width: Int
  /// Elements of the tensor that the writer takes at a time.
  let runLength: Int
  /// True if the dataset's extents aren't the tensor's, which then are recorded beside it.
  let isReshaped: Bool

  /// Stored elements of the dataset and of a full chunk.
  private let elementCount: Int
  private let chunkLength: Int
  /// Stored elements after which the sequence of chunks starts over.
  private let period: Int

  /// The layout of a tensor.
  init(_ info: TensorInfo) {
    let stored = Self.storedDimensions(of: info)
    dimensions = stored.map(UInt64.init)
    width = info.elementType.byteWidth ?? 1
    isReshaped = stored != info.shape.dimensions
    elementCount = info.byteCount / width
    let grid = BlockGrid(info)
    var target = Self.targetBytes * 8 / info.elementType.bitWidth
    guard info.byteCount >= Self.smallestBytes else {
      (chunkDimensions, chunkLength, period) = (nil, max(1, elementCount), max(1, elementCount))
      runLength = max(1, grid.elementCount, grid.runLength(target: target))
      return
    }
    let extents = stored.map { Int($0) }
    while Cut(extents, of: info, target: target).count > Self.maximumCount { target *= 2 }
    // Chunks of up to one and a half times the size, if they leave less padding at the edge: a matrix that is a little
    // larger than a chunk would otherwise be mostly zeros.
    let cuts = stride(from: target, through: target / 2 * 3, by: max(1, target / 8)).map {
      Cut(extents, of: info, target: $0)
    }
    let cut = cuts.min { $0.costs < $1.costs }!
    chunkDimensions = cut.dimensions.map(UInt64.init)
    chunkLength = cut.dimensions.reduce(1, *)
    period = cut.period
    runLength = grid.runLength(target: cut.target)
  }

  /// Bytes of a full chunk.
  var chunkByteCount: Int { chunkLength * width }

  private var chunksPerPeriod: Int { (period + chunkLength - 1) / chunkLength }

  /// The number of chunks; 1 for a dataset in one piece and 0 for an empty one.
  var count: Int { elementCount / period * chunksPerPeriod }

  /// The bytes of the tensor that chunk `index` holds: fewer than `chunkByteCount` at an edge.
  func byteRange(of index: Int) -> Range<Int> {
    let (outer, inner) = index.quotientAndRemainder(dividingBy: chunksPerPeriod)
    let start = outer * period + inner * chunkLength
    return start * width..<min(start + chunkLength, (outer + 1) * period) * width
  }

  /// The chunk that holds the tensor's byte at `offset`.
  func index(ofByte offset: Int) -> Int {
    let (outer, inner) = (offset / width).quotientAndRemainder(dividingBy: period)
    return outer * chunksPerPeriod + inner / chunkLength
  }

  /// The coordinates of the first element of chunk `index`.
  func corner(of index: Int) -> [UInt64] {
    var rest = UInt64(byteRange(of: index).lowerBound / width)
    var result = dimensions
    for axis in dimensions.indices.reversed() {
      (rest, result[axis]) = rest.quotientAndRemainder(dividingBy: dimensions[axis])
    }
    return result
  }

  /// The bytes of the tensor that a run of its elements takes.
  static func byteRange(of run: Range<Int>, in info: TensorInfo) -> Range<Int> {
    let type = info.elementType
    return type.byteCount(ofElements: run.lowerBound)..<type.byteCount(ofElements: run.upperBound)
  }

  /// Packed elements are stored as a row of bytes; what HDF5 can't express becomes one row.
  private static func storedDimensions(of info: TensorInfo) -> [UInt] {
    guard let width = info.elementType.byteWidth else { return [UInt(info.byteCount)] }
    let dimensions = info.shape.dimensions
    let fits = dimensions.count <= maximumRank && dimensions.allSatisfy { $0 <= Int.max }
    return fits ? dimensions : [UInt(info.byteCount / width)]
  }
}

extension ChunkLayout {
  /// One way to cut a dataset into contiguous chunks of about `target` elements of the tensor at most.
  private struct Cut {
    /// The extents of a chunk.
    var dimensions: [Int]
    /// True if the chunks are the runs of the tensor's grid.
    var followsGrid: Bool
    /// Stored elements after which the sequence of chunks starts over.
    var period: Int
    /// The number of chunks.
    var count: Int
    /// The tensor's elements that were aimed at.
    var target: Int

    /// What makes it worse than another: chunks put together from runs; elements that are stored, padding included; size.
    var costs: (Int, Int, Int) { (followsGrid ? 0 : 1, dimensions.reduce(count, *), target) }

    init(_ extents: [Int], of info: TensorInfo, target: Int) {
      // Runs and rows in stored elements, which for a packed type are bytes.
      self.target = target
      let grid = BlockGrid(info)
      let width = info.elementType.byteWidth ?? 1
      let stored = { info.elementType.byteCount(ofElements: $0) / width }
      let (run, rowLength, target) = (
        stored(grid.runLength(target: target)), stored(grid.rowLength), stored(target)
      )
      // The outermost axis of which a single step fits into a chunk.
      var step = 1
      var axis = extents.count - 1
      while axis > 0, step * extents[axis] <= target {
        step *= extents[axis]
        axis -= 1
      }
      let extent = extents[axis]
      let leading = extents[..<axis].reduce(1, *)
      period = extent * step
      // Runs shorter than a row start over with each row; longer ones go on through the whole tensor.
      followsGrid = run % step == 0 && period == (run < rowLength ? rowLength : period * leading)
      dimensions = [Int](repeating: 1, count: axis) + extents[axis...]
      if followsGrid {
        dimensions[axis] = min(run / step, extent)
      } else {
        // Pieces of equal size, so that the last is not mostly padding.
        let pieces = (period + target - 1) / target
        dimensions[axis] = (extent + pieces - 1) / pieces
      }
      count = leading * ((extent + dimensions[axis] - 1) / dimensions[axis])
    }
  }
}
