import Foundation
import TensorCore
import TestSupport
import Testing

@testable import Checkpoints

/// Damage in the chunks of other programs' files, with the filters that h5py offers.
@Suite struct HDF5DamageTests {
  private static let sample = Fixtures.path("samples/hdf5/filters.h5")

  /// Where the chunks of a dataset stand.
  private static func chunks(of name: String) throws -> [HDF5Dataset.Chunk] {
    let directory = try HDF5Directory(of: HDF5File(sample))
    let dataset = try #require(directory.datasets.first { $0.path == name })
    guard case .chunked(_, .listed(let chunks)) = dataset.layout else { throw CancellationError() }
    return chunks
  }

  /// Reads a dataset of a copy of the file in which one byte is another.
  private static func values(of name: String, flipping place: Int, in folder: TemporaryFolder) throws
    -> [UInt8]
  {
    var bytes = try Data(contentsOf: URL(fileURLWithPath: sample))
    bytes[place] ^= 0x40
    let path = folder("damaged.h5")
    try bytes.write(to: URL(fileURLWithPath: path))
    let tensor = try #require(try Checkpoint.openHDF5(at: path).tensors.first { $0.info.name == name })
    return try tensor.values()
  }

  @Test(arguments: [
    "fletcher", "fletcher.first", "gzip.shuffle.fletcher", "lzf.shuffle.fletcher", "zstd.shuffle.fletcher",
  ])
  func aChecksumFindsEveryFlippedByte(name: String) throws {
    let folder = try TemporaryFolder()
    for chunk in try Self.chunks(of: name) {
      for place in [0, 1, chunk.byteCount / 2, chunk.byteCount - 1] {
        let error = #expect(throws: EmbedFuseError.self) {
          try Self.values(of: name, flipping: chunk.offset + place, in: folder)
        }
        #expect(error?.code == .badData && error?.tensor == name && error?.remedy != nil, "\(place)")
      }
    }
  }

  @Test func aChecksumIsNamed() throws {
    let chunk = try Self.chunks(of: "fletcher")[0]
    let error = #expect(throws: EmbedFuseError.self) {
      try Self.values(of: "fletcher", flipping: chunk.offset + 7, in: TemporaryFolder())
    }
    #expect(error?.problem.contains("its checksum is") == true)
  }

  /// LZF has no checksum, so that a flipped byte may give other values; what can't be its output is refused.
  @Test func lzfThatIsDamagedIsRefusedOrGivesAsManyBytes() throws {
    let folder = try TemporaryFolder()
    let chunk = try Self.chunks(of: "lzf")[0]
    var problems: Set<String> = []
    for place in stride(from: 0, to: chunk.byteCount, by: 13) {
      do {
        let values = try Self.values(of: "lzf", flipping: chunk.offset + place, in: folder)
        #expect(values.count == 12_000)
      } catch let error as EmbedFuseError {
        #expect(error.code == .badData && error.tensor == "lzf")
        problems.insert(error.problem)
      }
    }
    #expect(problems.contains { $0.contains("the LZF data is damaged") }, "\(problems)")
  }

  /// Deflate ends with a checksum of its own.
  @Test(arguments: ["gzip", "gzip.shuffle", "gzip.whole"]) func deflateThatIsDamagedIsRefused(name: String)
    throws
  {
    let folder = try TemporaryFolder()
    for chunk in try Self.chunks(of: name) {
      for place in [0, 1, chunk.byteCount / 3, chunk.byteCount - 1] {
        let error = #expect(throws: EmbedFuseError.self) {
          try Self.values(of: name, flipping: chunk.offset + place, in: folder)
        }
        #expect(error?.code == .badData && error?.tensor == name, "\(place)")
      }
    }
  }
}
