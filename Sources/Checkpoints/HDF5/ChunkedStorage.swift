import CHDF5
import TensorCore

/// The storage of a tensor in chunks, which are decoded as they are asked for, by any number of workers.
struct ChunkedStorage: TensorStorage {
  /// What the tensors of one file share.
  struct Shared: Sendable {
    let file: HDF5File
    let cache: ChunkCache
    /// What reading the file takes.
    let memory: ChunkMemory
  }

  /// Where the chunks stand, by the numbers of the grid.
  private enum Places: Sendable {
    case listed([Int: HDF5Dataset.Chunk])
    case onDemand
  }

  private let shared: Shared
  private let dataset: HDF5Dataset
  private let number: Int
  private let grid: ChunkGrid
  private let places: Places
  private let type: ElementType
  private let width: Int

  var residentBytes: Int { shared.memory.residentBytes }
  var workerBytes: Int { shared.memory.workerBytes }

  /// - Parameter number: tells the dataset's chunks from those of others in the cache.
  init(
    _ dataset: HDF5Dataset, grid: ChunkGrid, chunks: HDF5Dataset.ChunkPlaces, type: ElementType, number: Int,
    shared: Shared
  ) throws(EmbedFuseError) {
    self.shared = shared
    self.dataset = dataset
    self.number = number
    self.grid = grid
    self.type = type
    width = dataset.type.byteCount
    func refuse(_ problem: String) -> EmbedFuseError {
      EmbedFuseError(.badData, problem, path: shared.file.path, tensor: dataset.path)
    }
    let count: Int
    switch chunks {
    case .listed(let chunks):
      var placed: [Int: HDF5Dataset.Chunk] = [:]
      for chunk in chunks {
        guard let index = grid.index(ofCorner: chunk.corner),
          placed.updateValue(chunk, forKey: index) == nil
        else { throw refuse("it has a chunk at \(chunk.corner), where none starts or two do") }
      }
      (places, count) = (.listed(placed), placed.count)
    case .onDemand(let written):
      (places, count) = (.onDemand, written)
    }
    guard count == grid.count || dataset.fillValue != nil else {
      throw refuse("\(count) of its \(grid.count) chunks were written")
    }
  }

  /// Decodes whole chunks straight into `bytes`; of others it copies, and keeps them for the next call.
  func read(_ range: Range<Int>, into bytes: inout MutableSpan<UInt8>) throws(EmbedFuseError) {
    // Elements of a packed type are stored as bytes.
    let wanted =
      type.byteCount(ofElements: range.lowerBound) / width..<type.byteCount(ofElements: range.upperBound)
      / width
    guard !wanted.isEmpty else { return }
    for index in grid.chunks(over: wanted) {
      let held = grid.contiguousRange(of: index)
      if let held, held.count == grid.chunkLength, wanted.lowerBound <= held.lowerBound,
        held.upperBound <= wanted.upperBound
      {
        let start = (held.lowerBound - wanted.lowerBound) * width
        try unsafe bytes.withUnsafeMutableBufferPointer { bytes throws(EmbedFuseError) in
          let part = unsafe UnsafeMutableBufferPointer(rebasing: bytes[start..<start + held.count * width])
          var target = unsafe part.mutableSpan
          try decode(index, into: &target)
        }
      } else {
        copy(try chunk(index).bytes, index, held, wanted, into: &bytes)
      }
    }
  }

  /// Copies what `wanted` asks for of chunk `index`, which holds the elements `held` if they are one range.
  private func copy(
    _ chunk: [UInt8], _ index: Int, _ held: Range<Int>?, _ wanted: Range<Int>,
    into bytes: inout MutableSpan<UInt8>
  ) {
    unsafe bytes.withUnsafeMutableBytes { target in
      unsafe chunk.withUnsafeBytes { source in
        func move(_ offset: Int, _ elements: Range<Int>) {
          let start = (elements.lowerBound - wanted.lowerBound) * width
          unsafe UnsafeMutableRawBufferPointer(rebasing: target[start..<start + elements.count * width])
            .copyMemory(
              from: UnsafeRawBufferPointer(
                rebasing: source[offset * width..<(offset + elements.count) * width]))
        }
        if let held {
          let part = held.clamped(to: wanted)
          move(part.lowerBound - held.lowerBound, part)
        } else {
          grid.forEachRow(of: index, in: wanted, move)
        }
      }
    }
  }

  /// The values of a whole chunk, padding included.
  private func chunk(_ index: Int) throws(EmbedFuseError) -> DecodedChunk {
    try shared.cache.values(
      of: ChunkCache.Key(dataset: number, chunk: index), byteCount: grid.chunkLength * width
    ) { values throws(EmbedFuseError) in try decode(index, into: &values) }
  }
}

// MARK: - Decoding

extension ChunkedStorage {
  private func decode(_ index: Int, into values: inout MutableSpan<UInt8>) throws(EmbedFuseError) {
    let corner = grid.corner(of: index)
    do throws(EmbedFuseError) {
      switch places {
      case .listed(let chunks):
        guard let chunk = chunks[index] else { return try fill(&values) }
        try decode(chunk, into: &values)
      case .onDemand:
        guard let filters = dataset.filters else { return try decodeByLibrary(corner, into: &values) }
        guard let (stored, mask) = try storedByLibrary(corner) else { return try fill(&values) }
        try decode(stored, filters, mask: mask, into: &values)
      }
    } catch {
      var error = error
      (error.path, error.tensor) = (shared.file.path, dataset.path)
      if case .listed(let chunks) = places { error.offset = chunks[index]?.offset }
      error.problem = "the chunk at \(corner): \(error.problem)"
      throw error.advisingNewCopy
    }
  }

  private func decode(_ chunk: HDF5Dataset.Chunk, into values: inout MutableSpan<UInt8>)
    throws(EmbedFuseError)
  {
    let input = shared.file.input
    let stored = chunk.offset..<chunk.offset + chunk.byteCount
    let filters = dataset.filters ?? []
    let applied = try ChunkFilter.applied(filters, mask: chunk.mask)
    if applied.isEmpty, chunk.byteCount == values.count {
      return try input.read(chunk.byteCount, at: chunk.offset, into: &values)
    }
    let decoder = try ChunkDecoder.shared.take()
    defer { ChunkDecoder.shared.put(decoder) }
    if values.count > ChunkDecoder.streamingBytes, ChunkDecoder.streams(applied) {
      try decoder.stream(stored, of: input, applied: applied, into: &values)
    } else {
      try decoder.decode(stored, of: input, filters: filters, mask: chunk.mask, into: &values)
    }
  }

  private func decode(
    _ stored: [UInt8], _ filters: [ChunkFilter], mask: UInt32, into values: inout MutableSpan<UInt8>
  ) throws(EmbedFuseError) {
    let decoder = try ChunkDecoder.shared.take()
    defer { ChunkDecoder.shared.put(decoder) }
    try decoder.decode(stored.span, filters: filters, mask: mask, into: &values)
  }

  /// The values of a chunk that was never written.
  private func fill(_ values: inout MutableSpan<UInt8>) throws(EmbedFuseError) {
    guard let element = dataset.fillValue else {
      throw EmbedFuseError(.badData, "it was never written")
    }
    for index in values.indices { values[index] = element[index % element.count] }
  }

  /// The bytes of a chunk as they are stored, with its filter mask, where the library finds it; nil if it was never
  /// written.
  private func storedByLibrary(_ corner: [Int]) throws(EmbedFuseError) -> (bytes: [UInt8], mask: UInt32)? {
    let file = shared.file
    // The library reads as many coordinates as it finds the dataset to have.
    let corner = corner.map { hsize_t($0) } + [hsize_t](repeating: 0, count: 32 - corner.count)
    return try file.inLibrary { handle throws(EmbedFuseError) in
      let id = unsafe ef_h5_open_dataset(handle, dataset.path)
      defer { ef_h5_close_dataset(id) }
      let size = try HDF5Library.check(
        unsafe ef_h5_chunk_size(id, corner), .badData, "it can't be found", path: file.path)
      guard size > 0 else { return nil }
      _ = try file.check(offset: 0, byteCount: UInt64(size), of: "a chunk", in: dataset.path)
      var bytes = [UInt8](repeating: 0, count: Int(size))
      var mask: UInt32 = 0
      try HDF5Library.check(
        unsafe ef_h5_read_chunk(id, corner, &mask, &bytes), .badData, "it can't be read", path: file.path)
      return (bytes, mask)
    }
  }

  /// Lets the library undo filters that only it knows.
  private func decodeByLibrary(_ corner: [Int], into values: inout MutableSpan<UInt8>) throws(EmbedFuseError)
  {
    let file = shared.file
    let extents = grid.clippedExtents(at: corner)
    try unsafe values.withUnsafeMutableBytes { target throws(EmbedFuseError) in
      try file.inLibrary { handle throws(EmbedFuseError) in
        let id = unsafe ef_h5_open_dataset(handle, dataset.path)
        defer { ef_h5_close_dataset(id) }
        try HDF5Library.check(
          unsafe ef_h5_read(
            id, width, Int32(corner.count), corner.map { hsize_t($0) }, extents.map { hsize_t($0) },
            grid.chunk.map { hsize_t($0) }, target.baseAddress), .badData, "it can't be read", path: file.path
        )
      }
    }
  }
}
