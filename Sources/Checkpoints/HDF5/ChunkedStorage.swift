import CHDF5
import TensorCore

/// The storage of a tensor in compressed chunks, which are decoded as they are asked for, by any number of workers.
struct ChunkedStorage: TensorStorage {
  /// Bytes of a chunk at most, so that a small damaged file can't ask for much memory.
  static let chunkByteLimit = 256 << 20

  private let file: HDF5File
  private let dataset: HDF5Dataset
  private let number: Int
  private let grid: ChunkGrid
  /// By the numbers of the grid.
  private let chunks: [HDF5Dataset.Chunk]
  private let type: ElementType
  private let width: Int
  private let cache: ChunkCache
  private let decoders: FreeList<ChunkDecoder>

  /// - Parameter number: tells the dataset's chunks from those of others in the cache.
  init(
    _ dataset: HDF5Dataset, extents: [UInt64], chunks: [HDF5Dataset.Chunk], type: ElementType, number: Int,
    in file: HDF5File, cache: ChunkCache, decoders: FreeList<ChunkDecoder>
  ) throws(EmbedFuseError) {
    let width = dataset.type.byteCount
    func refuse(_ problem: String) -> EmbedFuseError {
      EmbedFuseError(.badData, problem, path: file.path, tensor: dataset.path)
    }
    guard let grid = ChunkGrid(dimensions: dataset.dimensions, chunk: extents) else {
      throw refuse("chunks of \(extents) don't fit its extents \(dataset.dimensions)")
    }
    guard grid.chunkLength <= Self.chunkByteLimit / width else {
      throw refuse("its chunks have more than \(Self.chunkByteLimit) bytes")
    }
    guard chunks.count == grid.count else {
      throw refuse("\(chunks.count) of its \(grid.count) chunks were written")
    }
    var placed: [HDF5Dataset.Chunk?] = Array(repeating: nil, count: grid.count)
    for chunk in chunks {
      guard let index = grid.index(ofCorner: chunk.corner), placed[index] == nil else {
        throw refuse("it has a chunk at \(chunk.corner), where none starts or two do")
      }
      placed[index] = chunk
    }
    self.file = file
    self.dataset = dataset
    self.number = number
    self.grid = grid
    self.chunks = placed.compactMap { $0 }
    self.type = type
    self.width = width
    self.cache = cache
    self.decoders = decoders
  }

  /// Decodes whole chunks straight into `bytes`; of others it copies, and keeps them for the next call.
  func read(_ range: Range<Int>, into bytes: inout MutableSpan<UInt8>) throws(EmbedFuseError) {
    // Elements of a packed type are stored as bytes.
    let wanted =
      type.byteCount(ofElements: range.lowerBound) / width..<type.byteCount(ofElements: range.upperBound)
      / width
    guard !wanted.isEmpty else { return }
    for index in grid.chunks(over: wanted) {
      if let held = grid.contiguousRange(of: index), held.count == grid.chunkLength,
        wanted.lowerBound <= held.lowerBound, held.upperBound <= wanted.upperBound
      {
        let start = (held.lowerBound - wanted.lowerBound) * width
        try unsafe bytes.withUnsafeMutableBufferPointer { bytes throws(EmbedFuseError) in
          let part = unsafe UnsafeMutableBufferPointer(rebasing: bytes[start..<start + held.count * width])
          var target = unsafe part.mutableSpan
          try decode(index, into: &target)
        }
      } else {
        copy(try chunk(index), index, wanted, into: &bytes)
      }
    }
  }

  /// Copies what `wanted` asks for of chunk `index`.
  private func copy(
    _ chunk: [UInt8], _ index: Int, _ wanted: Range<Int>, into bytes: inout MutableSpan<UInt8>
  ) {
    unsafe bytes.withUnsafeMutableBytes { target in
      unsafe chunk.withUnsafeBytes { source in
        grid.forEachRow(of: index, in: wanted) { offset, elements in
          let start = (elements.lowerBound - wanted.lowerBound) * width
          unsafe UnsafeMutableRawBufferPointer(rebasing: target[start..<start + elements.count * width])
            .copyMemory(
              from: UnsafeRawBufferPointer(
                rebasing: source[offset * width..<(offset + elements.count) * width]))
        }
      }
    }
  }

  /// The values of a whole chunk, padding included.
  private func chunk(_ index: Int) throws(EmbedFuseError) -> [UInt8] {
    let key = ChunkCache.Key(dataset: number, chunk: index)
    if let kept = cache[key] { return kept }
    var values = [UInt8](repeating: 0, count: grid.chunkLength * width)
    try decode(index, filling: &values)
    cache.insert(values, for: key)
    return values
  }

  private func decode(_ index: Int, filling values: inout [UInt8]) throws(EmbedFuseError) {
    var span = values.mutableSpan
    try decode(index, into: &span)
  }

  private func decode(_ index: Int, into values: inout MutableSpan<UInt8>) throws(EmbedFuseError) {
    guard let filters = dataset.filters else { return try decodeByLibrary(index, into: &values) }
    let chunk = chunks[index]
    let stored = try file.input.bytes(chunk.offset..<chunk.offset + chunk.byteCount)
    let decoder = try decoders.take()
    defer { decoders.put(decoder) }
    do throws(EmbedFuseError) {
      try decoder.decode(stored.span, filters: filters, mask: chunk.mask, into: &values)
    } catch {
      var error = error
      (error.path, error.tensor, error.offset) = (file.path, dataset.path, chunk.offset)
      error.problem = "the chunk at \(chunk.corner): \(error.problem)"
      throw error
    }
  }

  /// Lets the library undo filters that only it knows.
  private func decodeByLibrary(_ index: Int, into values: inout MutableSpan<UInt8>) throws(EmbedFuseError) {
    let corner = grid.corner(of: index)
    let extents = grid.clippedExtents(at: corner)
    try unsafe values.withUnsafeMutableBytes { target throws(EmbedFuseError) in
      try HDF5Library.locked { () throws(EmbedFuseError) in
        let id = unsafe H5Dopen2(file.id, dataset.path, 0)
        defer { H5Dclose(id) }
        try HDF5Library.check(
          unsafe ef_h5_read(
            id, Int32(corner.count), corner.map { hsize_t($0) }, extents.map { hsize_t($0) },
            grid.chunk.map { hsize_t($0) }, target.baseAddress), .badData,
          "the chunk at \(corner) can't be read", path: file.path, tensor: dataset.path)
      }
    }
  }
}
