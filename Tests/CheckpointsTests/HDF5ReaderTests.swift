import Foundation
import Synchronization
import TensorCore
import TestSupport
import Testing

@testable import Checkpoints

@Suite struct HDF5ReaderTests {
  private let folder: TemporaryFolder

  init() throws { folder = try TemporaryFolder() }

  @Test(arguments: [("f32", ElementType.f32), ("f16", .f16), ("bf16", .bf16), ("u8_random", .u8)])
  func chunkedDatasetsOfAnotherWriterAreReadExactly(name: String, type: ElementType) throws {
    let checkpoint = try Checkpoint.openHDF5(at: Fixtures.path("samples/hdf5/chunked.h5"))
    let tensor = try #require(checkpoint.tensors.first { $0.info.name == name })
    #expect(tensor.info.elementType == type)
    #expect(tensor.info.shape == Shape([1003, 64]))
    let expected = try Data(
      contentsOf: URL(fileURLWithPath: Fixtures.path("samples/hdf5/chunked.\(name).raw")))
    #expect(try tensor.values() == [UInt8](expected))
  }

  @Test func pieceOfAChunkIsReadWithoutTheRest() throws {
    let checkpoint = try Checkpoint.openHDF5(at: Fixtures.path("samples/hdf5/chunked.h5"))
    let tensor = try #require(checkpoint.tensors.first { $0.info.name == "f32" })
    let expected = try Data(contentsOf: URL(fileURLWithPath: Fixtures.path("samples/hdf5/chunked.f32.raw")))
    // Within the first chunk, across two, to the last element.
    for range in [3..<5, 16_380..<16_390, 64_190..<64_192] {
      var part = [UInt8](repeating: 0, count: range.count * 4)
      var span = part.mutableSpan
      try tensor.storage.read(range, into: &span)
      #expect(part == [UInt8](expected[range.lowerBound * 4..<range.upperBound * 4]))
    }
  }

  @Test func predefinedFloatTypesAreRecognised() throws {
    // h5py's file of all codes, made with HDF5 2.0's own types; its E4M3 is read as the one of checkpoints.
    let path = Fixtures.path("samples/hdf5/types.h5")
    let directory = try HDF5Directory(of: HDF5File(path))
    let types = Dictionary(uniqueKeysWithValues: directory.datasets.map { ($0.path, $0.type.elementType) })
    #expect(types["bf16"] == .some(.bf16))
    #expect(types["f16"] == .some(.f16))
    #expect(types["f8e5m2"] == .some(.f8E5M2))
    #expect(types["f8e4m3"] == .some(.f8E4M3))
    let tensor = try #require(try Checkpoint.openHDF5(at: path).tensors.first { $0.info.name == "f8e4m3" })
    #expect(try tensor.values() == (0...255).map { UInt8($0) })
  }

  @Test func missingFileAndFileOfAnotherKindAreToldApart() throws {
    let absent = #expect(throws: EmbedFuseError.self) { try HDF5Reader(folder("absent.h5")) }
    #expect(absent?.code == .missingInput)
    let path = folder("text.h5")
    try Data(repeating: 65, count: 4096).write(to: URL(fileURLWithPath: path))
    let other = #expect(throws: EmbedFuseError.self) { try HDF5Reader(path) }
    #expect(other?.code == .badData)
  }

  @Test func flippedBitInAChunkIsFoundAndPlaced() throws {
    var sample = HDF5Sample()
    sample.add("w", .f32, [600, 1024])
    let path = folder("flip.h5")
    try sample.write(to: path)
    let directory = try HDF5Directory(of: HDF5File(path))
    guard case .chunked(_, .listed(let chunks)) = directory.datasets[0].layout else {
      throw CancellationError()
    }
    let original = try Data(contentsOf: URL(fileURLWithPath: path))
    for chunk in chunks {
      // In the frame's magic number, its content size, its middle and its checksum.
      for place in [0, 6, chunk.byteCount / 2, chunk.byteCount - 1] {
        var damaged = original
        damaged[chunk.offset + place] ^= 0x10
        try damaged.write(to: URL(fileURLWithPath: path))
        let tensor = try Checkpoint.openHDF5(at: path).tensors[0]
        let error = #expect(throws: EmbedFuseError.self) { try tensor.values() }
        #expect(error?.code == .badData)
        #expect(error?.path == path)
        #expect(error?.tensor == "w")
        #expect(error?.offset == chunk.offset)
      }
    }
  }

  @Test func truncatedFilesAreRefused() throws {
    var sample = HDF5Sample()
    sample.add("w", .f32, [600, 1024])
    let path = folder("cut.h5")
    try sample.write(to: path)
    let original = try Data(contentsOf: URL(fileURLWithPath: path))
    // The last bytes are the seal, which `verify` asks for.
    for count in [0, 8, 100, original.count / 2, original.count - 1000] {
      try original.prefix(count).write(to: URL(fileURLWithPath: path))
      #expect(throws: EmbedFuseError.self) { try Checkpoint.openHDF5(at: path).tensors[0].values() }
    }
  }

  @Test func decodedChunksAreKeptAsLongAsThereIsRoom() throws {
    let cache = ChunkCache(limit: 10)
    var decoded: [Int] = []
    func values(_ chunk: Int) throws -> [UInt8] {
      try cache.values(of: ChunkCache.Key(dataset: 0, chunk: chunk), byteCount: 4) { values in
        decoded.append(chunk)
        for index in values.indices { values[index] = UInt8(chunk) }
      }.bytes
    }
    #expect(try values(0) == [0, 0, 0, 0])
    #expect(try values(1) == [1, 1, 1, 1])
    #expect(try values(0) == [0, 0, 0, 0])
    #expect(decoded == [0, 1])
    // Over the limit: the one unused longest goes.
    _ = try values(2)
    _ = try values(0)
    #expect(decoded == [0, 1, 2])
    _ = try values(1)
    #expect(decoded == [0, 1, 2, 1])
  }

  @Test func chunkThatSeveralWantAtOnceIsDecodedOnce() throws {
    let cache = ChunkCache(limit: 10)
    let count = Mutex(0)
    DispatchQueue.concurrentPerform(iterations: 8) { _ in
      let values = try? cache.values(of: ChunkCache.Key(dataset: 1, chunk: 1), byteCount: 4) { values in
        count.withLock { $0 += 1 }
        usleep(20_000)
        for index in values.indices { values[index] = UInt8(index + 1) }
      }
      #expect(values?.bytes == [1, 2, 3, 4])
    }
    #expect(count.withLock { $0 } == 1)
  }

  @Test func chunkThatCanNotBeDecodedIsTriedAgain() throws {
    let cache = ChunkCache(limit: 10)
    let key = ChunkCache.Key(dataset: 0, chunk: 0)
    #expect(throws: EmbedFuseError.self) {
      try cache.values(of: key, byteCount: 1) { _ throws(EmbedFuseError) in
        throw EmbedFuseError(.inputOutput, "gone")
      }
    }
    #expect(try cache.values(of: key, byteCount: 1) { $0[0] = 7 }.bytes == [7])
  }
}

@Suite struct ChunkGridTests {
  /// Every small grid agrees with one that looks at each element.
  @Test(arguments: [
    ([7], [3]), ([5, 4], [2, 3]), ([3, 4, 5], [2, 4, 5]), ([3, 4, 5], [1, 2, 5]), ([2, 3, 4], [2, 2, 3]),
  ])
  func agreesWithCoordinates(dimensions: [UInt64], chunk: [UInt64]) throws {
    let grid = try #require(ChunkGrid(dimensions: dimensions, chunk: chunk))
    let total = grid.dimensions.reduce(1, *)
    for low in 0..<total {
      for high in (low + 1)...total {
        var seen: [Int: Int] = [:]
        for index in grid.chunks(over: low..<high) {
          grid.forEachRow(of: index, in: low..<high) { offset, elements in
            for (step, element) in elements.enumerated() { seen[element] = index * 1000 + offset + step }
          }
        }
        #expect(seen.count == high - low)
        #expect(Set(seen.values.map { $0 / 1000 }) == Set(grid.chunks(over: low..<high)))
        #expect(seen.allSatisfy { $0.value == Self.place($0.key, grid) })
      }
    }
  }

  /// The chunk of an element times 1000, and its place within.
  private static func place(_ element: Int, _ grid: ChunkGrid) -> Int {
    var (rest, chunk, offset, chunks, offsets) = (element, 0, 0, 1, 1)
    for axis in grid.dimensions.indices.reversed() {
      let coordinate = rest % grid.dimensions[axis]
      rest /= grid.dimensions[axis]
      chunk += coordinate / grid.chunk[axis] * chunks
      offset += coordinate % grid.chunk[axis] * offsets
      chunks *= grid.counts[axis]
      offsets *= grid.chunk[axis]
    }
    return chunk * 1000 + offset
  }

  @Test func hostileExtentsAreRefused() {
    #expect(ChunkGrid(dimensions: [], chunk: []) == nil)
    #expect(ChunkGrid(dimensions: [4], chunk: [0]) == nil)
    #expect(ChunkGrid(dimensions: [4, 4], chunk: [4]) == nil)
    #expect(ChunkGrid(dimensions: [1 << 40, 1 << 40], chunk: [1, 1]) == nil)
    #expect(ChunkGrid(dimensions: [1], chunk: [UInt64.max]) == nil)
  }
}
