import CZlib
import CZstd
import Foundation
import TensorCore
import TestSupport
import Testing

@testable import Checkpoints

/// Large chunks, which are decoded piece by piece as they are read.
@Suite struct StreamedChunkTests {
  private let folder: TemporaryFolder

  init() throws { folder = try TemporaryFolder() }

  /// A chunk in its planes, of two pieces compressed and three not, with bytes left over after its elements.
  private static let planes: [UInt8] = {
    var generator = SeededGenerator(seed: 7)
    return generator.bytes(700_001, mask: 0x1F)
  }()

  private static func compressed(_ bytes: [UInt8], by filter: ChunkFilter) -> [UInt8] {
    if filter == .deflate {
      var size = compressBound(UInt(bytes.count))
      var target = [UInt8](repeating: 0, count: Int(size))
      _ = unsafe compress2(&target, &size, bytes, UInt(bytes.count), 1)
      return Array(target.prefix(Int(size)))
    }
    var target = [UInt8](repeating: 0, count: ZSTD_compressBound(bytes.count))
    let context = unsafe ZSTD_createCCtx()
    defer { unsafe ZSTD_freeCCtx(context) }
    unsafe ZSTD_CCtx_setParameter(context, ZSTD_c_checksumFlag, 1)
    let size = unsafe ZSTD_compress2(context, &target, target.count, bytes, bytes.count)
    return Array(target.prefix(size))
  }

  private func stream(_ stored: [UInt8], _ filters: [ChunkFilter], count: Int = planes.count) throws
    -> [UInt8]
  {
    // It stands in the midst of a file.
    try Data([1, 2, 3] + stored + [4]).write(to: URL(fileURLWithPath: folder("file")))
    var result = [UInt8](repeating: 0xAA, count: count)
    var span = result.mutableSpan
    try ChunkDecoder().stream(
      3..<3 + stored.count, of: try InputFile(folder("file")), applied: filters, into: &span)
    return result
  }

  @Test(arguments: [ChunkFilter.deflate, .zstd], [nil, 1, 4, 8])
  func givesWhatDecodingAtOnceGives(filter: ChunkFilter, width: Int?) throws {
    let filters = (width.map { [ChunkFilter.shuffle(width: $0)] } ?? []) + [filter]
    #expect(ChunkDecoder.streams(filters))
    let stored = Self.compressed(Self.planes, by: filter)
    #expect(stored.count > 300_000)
    var expected = [UInt8](repeating: 0, count: Self.planes.count)
    var span = expected.mutableSpan
    try ChunkDecoder().decode(stored.span, filters: filters, mask: 0, into: &span)
    #expect(try stream(stored, filters) == expected)
  }

  @Test(arguments: [ChunkFilter.deflate, .zstd]) func damageIsFound(filter: ChunkFilter) throws {
    let stored = Self.compressed(Self.planes, by: filter)
    for count in [20, 280_000, stored.count - 1] {
      #expect(throws: EmbedFuseError.self, "\(count)") {
        _ = try stream(Array(stored.prefix(count)), [filter])
      }
    }
    var damaged = stored
    damaged[stored.count / 2] ^= 0xFF
    #expect(throws: EmbedFuseError.self) { _ = try stream(damaged, [filter]) }
    #expect(throws: EmbedFuseError.self) { _ = try stream(stored + [0], [filter]) }
    #expect(throws: EmbedFuseError.self) { _ = try stream(stored + stored, [filter]) }
  }

  @Test(arguments: [ChunkFilter.deflate, .zstd], [-1, 1]) func aChunkOfAnotherSizeIsRefused(
    filter: ChunkFilter, difference: Int
  ) throws {
    let stored = Self.compressed(Self.planes, by: filter)
    let error = #expect(throws: EmbedFuseError.self) {
      _ = try stream(stored, [filter], count: Self.planes.count + difference)
    }
    #expect(error?.code == .badData)
  }
}
