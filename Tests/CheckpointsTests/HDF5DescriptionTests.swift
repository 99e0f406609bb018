import Foundation
import TensorCore
import TestSupport
import Testing

@testable import Checkpoints

/// What the process that describes an HDF5 file hands over may be anything, if the file was made to do harm.
@Suite struct HDF5DescriptionTests {
  private static let samples = [
    "hdf5/userblock.h5", "hdf5/mixed.h5", "hdf5/v110.h5", "keras/split_names.h5",
  ]

  private static func description(of file: HDF5File) throws -> [UInt8] {
    try file.withDescription { bytes in unsafe bytes.withUnsafeBytes { unsafe [UInt8]($0) } }
  }

  private static func read(_ bytes: [UInt8], of file: HDF5File) throws(EmbedFuseError) -> HDF5Description {
    let span = bytes.span
    return try unsafe HDF5Description(span.bytes, path: file.path)
  }

  private static func isFailure(_ error: EmbedFuseError?) -> Bool {
    error?.problem.contains("the HDF5 library fails on it") == true
  }

  @Test(arguments: samples) func aDescriptionThatBreaksOffIsRefused(sample: String) throws {
    let file = try HDF5File(Fixtures.path("samples/\(sample)"))
    let description = try Self.description(of: file)
    #expect(throws: Never.self) { try Self.read(description, of: file) }
    for count in description.indices {
      let error = #expect(throws: EmbedFuseError.self) {
        try Self.read(Array(description[..<count]), of: file)
      }
      #expect(Self.isFailure(error), "\(count)")
    }
    let error = #expect(throws: EmbedFuseError.self) { try Self.read(description + [0], of: file) }
    #expect(Self.isFailure(error))
  }

  /// Every byte gets other values: the result is refused, or a directory of which reading values doesn't crash.
  @Test(arguments: samples) func aDescriptionWithAnyOtherByteIsRefusedOrRead(sample: String) throws {
    let file = try HDF5File(Fixtures.path("samples/\(sample)"))
    var description = try Self.description(of: file)
    var (refused, read) = (0, 0)
    for place in description.indices {
      let original = description[place]
      for value in [original ^ 1, original ^ 0x80, 0, 0xFF] where value != original {
        description[place] = value
        do {
          _ = try HDF5Directory(Self.read(description, of: file), of: file)
          read += 1
        } catch let error {
          #expect(error.code == .badData)
          refused += 1
        }
      }
      description[place] = original
    }
    #expect(refused > 0 && read > 0)
  }

  /// A description may contradict what the library finds when it is asked for a chunk.
  @Test(arguments: ["filters.h5", "many_chunks.h5"])
  func aDescriptionThatContradictsTheFile(sample: String) throws {
    let file = try HDF5File(Fixtures.path("samples/hdf5/\(sample)"))
    let reader = try HDF5Reader(file, options: OpeningOptions())
    for dataset in reader.directory.datasets {
      guard case .chunked(let extents, .onDemand(let count)) = dataset.layout else { continue }
      let memory = ChunkMemory([], most: nil)
      let shared = ChunkedStorage.Shared(file: file, cache: ChunkCache(limit: 0), memory: memory)
      var others: [HDF5Dataset] = []
      // Elements of another size, and another rank.
      var other = dataset
      other.type.byteCount *= 2
      others.append(other)
      other = dataset
      other.dimensions = [4]
      others.append(other)
      for other in others {
        let rank = other.dimensions.count
        let grid = try #require(
          ChunkGrid(dimensions: other.dimensions, chunk: Array(extents.prefix(rank))))
        let storage = try ChunkedStorage(
          other, grid: grid, chunks: .onDemand(count: max(count, grid.count)), type: .u8, number: 0,
          shared: shared)
        var element = [UInt8](repeating: 0, count: other.type.byteCount)
        let error = #expect(throws: EmbedFuseError.self) {
          var span = element.mutableSpan
          try storage.read(0..<other.type.byteCount, into: &span)
        }
        #expect(error?.code == .badData)
      }
    }
  }

  @Test func chunksLargerThanAnyMemory() throws {
    let reader = try HDF5Reader(Fixtures.path("samples/hdf5/chunked.h5"))
    var dataset = reader.directory.datasets[0]
    dataset.type.byteCount = 8
    dataset.dimensions = [1 << 62]
    dataset.layout = .chunked([1 << 62], .listed([]))
    let memory = ChunkMemory([dataset], most: 0)
    #expect(memory.cacheBytes == 1 << 62)
    #expect(memory.residentBytes > memory.cacheBytes)
    let grid = try #require(ChunkGrid(dimensions: dataset.dimensions, chunk: [1 << 62]))
    let error = #expect(throws: EmbedFuseError.self) {
      try ChunkMemory.check(grid, of: dataset, in: reader.file)
    }
    #expect(error?.problem.contains("too much for a file") == true)
  }

  @Test func namesThatAreNotUTF8AreRefused() throws {
    var bytes = try Data(contentsOf: URL(fileURLWithPath: Fixtures.path("samples/hdf5/userblock.h5")))
    let name = try #require(bytes.range(of: Data("plain\0".utf8)))
    bytes[name.lowerBound + 4] = 0xFF
    let folder = try TemporaryFolder()
    try bytes.write(to: URL(fileURLWithPath: folder("name.h5")))
    let error = #expect(throws: EmbedFuseError.self) { try HDF5Reader(folder("name.h5")) }
    #expect(error?.problem.contains("is not UTF-8") == true, "\(error?.description ?? "")")
  }
}
