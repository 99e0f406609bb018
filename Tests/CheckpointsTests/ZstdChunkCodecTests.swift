import CZstd
import TensorCore
import Testing

@testable import Checkpoints

@Suite struct ZstdChunkCodecTests {
  private static let chunk = (0..<40_000).map {
    UInt8(truncatingIfNeeded: $0 % 4 == 3 ? 60 : $0 &* 7919 >> 3)
  }

  private func decode(
    _ stored: [UInt8], _ filters: [ChunkFilter] = [.shuffle(width: 4), .zstd], mask: UInt32 = 0,
    count: Int = chunk.count
  ) throws -> [UInt8] {
    var result = [UInt8](repeating: 0, count: count)
    var span = result.mutableSpan
    try ChunkDecoder().decode(stored.span, filters: filters, mask: mask, into: &span)
    return result
  }

  private func frame() throws -> [UInt8] {
    try #require(try ChunkEncoder(.weights).encode(Self.chunk.span, width: 4))
  }

  @Test func decodesWhatItEncodes() throws {
    #expect(try decode(frame()) == Self.chunk)
  }

  @Test func frameCarriesContentSizeAndChecksum() throws {
    let frame = try frame()
    #expect(unsafe ZSTD_getFrameContentSize(frame, frame.count) == UInt64(Self.chunk.count))
    // Bit 2 of the frame header's descriptor, the byte after the magic number.
    #expect(frame[4] & 4 != 0)
  }

  @Test func encoderIsTheSameAfterOtherChunks() throws {
    let encoder = try ChunkEncoder(.weights)
    _ = try encoder.encode([UInt8](repeating: 1, count: 999).span, width: 1)
    #expect(try encoder.encode(Self.chunk.span, width: 4) == frame())
  }

  @Test(arguments: [1, 4], [true, false])
  func valuesAtAnEdgeAreCompletedByZeros(width: Int, areNoise: Bool) throws {
    let values = areNoise ? noise(10_000) : Array(Self.chunk.prefix(10_000))
    let padded = values + [UInt8](repeating: 0, count: areNoise ? 8 : 6_000)
    let chunk = StoredChunk(capacity: 0)
    let encoder = try ChunkEncoder(.weights)
    // Whatever was in the buffers before.
    for (values, byteCount) in [(Self.chunk, Self.chunk.count), (values, padded.count)] {
      encoder.begin(chunk, byteCount: byteCount, width: width, valueCount: values.count)
      encoder.place(values.span)
      try encoder.finish(chunk)
    }
    #expect((chunk.mask == 0) == !areNoise)
    let filters: [ChunkFilter] = width == 1 ? [.zstd] : [.shuffle(width: width), .zstd]
    let stored = Array(chunk.bytes.prefix(chunk.count))
    #expect(try decode(stored, filters, mask: chunk.mask, count: padded.count) == padded)
    #expect(try encoder.encode(padded.span, width: width) == (areNoise ? nil : stored))
  }

  private func noise(_ count: Int) -> [UInt8] {
    var state: UInt64 = 1
    return (0..<count).map { _ in
      state = state &* 6_364_136_223_846_793_005 &+ 1
      return UInt8(truncatingIfNeeded: state >> 56)
    }
  }

  /// A chunk whose lower planes are noise, as those of weights are.
  private func weights(_ elements: Int, width: Int, noisy: Int) -> [UInt8] {
    let noise = noise(elements * width)
    return noise.indices.map { $0 % width < noisy ? noise[$0] : noise[$0] >> 6 }
  }

  @Test(arguments: [2, 4, 8], [32_768, 131_072, 131_073, 300_001])
  func planesOfNoiseAreStoredAsTheyAre(width: Int, elements: Int) throws {
    let encoder = try ChunkEncoder(.weights)
    for noisy in 1..<width {
      let chunk = weights(elements, width: width, noisy: noisy)
      let frame = try #require(try encoder.encode(chunk.span, width: width))
      let filters: [ChunkFilter] = [.shuffle(width: width), .zstd]
      #expect(try decode(frame, filters, count: chunk.count) == chunk)
      #expect(unsafe ZSTD_getFrameContentSize(frame, frame.count) == UInt64(chunk.count))
      #expect(unsafe ZSTD_findFrameCompressedSize(frame, frame.count) == frame.count)
      // The rest takes about two bits of eight.
      #expect(frame.count < elements * noisy + elements * (width - noisy) / 3 + 200)
      for place in [9, 12 + elements / 2, frame.count - 30, frame.count - 1] {
        var damaged = frame
        damaged[place] ^= 1
        #expect(throws: EmbedFuseError.self) { try decode(damaged, filters, count: chunk.count) }
      }
    }
  }

  @Test func aFrameWithAnotherHeaderIsNotTakenApart() throws {
    let length = 200_000
    let rest = [UInt8](repeating: 7, count: length)
    var frame = [UInt8](repeating: 0, count: 2 * length)
    let context = unsafe try #require(ZSTD_createCCtx())
    defer { unsafe ZSTD_freeCCtx(context) }
    func size() -> Int {
      unsafe ef_zstd_compress_rest(context, &frame, frame.count, 1, 2, length, rest, 0)
    }
    #expect((length..<length + 200).contains(size()))
    // zstd's format without the magic number.
    #expect(unsafe ZSTD_CCtx_setParameter(context, ZSTD_c_experimentalParam2, 1) == 1)
    #expect(size() == 0)
  }

  @Test func planesThatOnlyBeginAsNoiseAreCompressed() throws {
    let noise = noise(1 << 19)
    // Plane 0 is noise in its first half alone, plane 1 has few values of the 256.
    let chunk = noise.indices.map { $0 % 2 == 0 && $0 < 1 << 18 ? noise[$0] : noise[$0] & 0xF8 }
    let frame = try #require(try ChunkEncoder(.weights).encode(chunk.span, width: 2))
    #expect(try decode(frame, [.shuffle(width: 2), .zstd], count: chunk.count) == chunk)
    #expect(frame.count < 380_000)
  }

  /// Pieces as workers bring them, blocks of many elements, and smaller ones.
  @Test(arguments: [2, 4, 8], [65_536, 65_280, 1000])
  func piecesMakeTheSameFrame(width: Int, length: Int) throws {
    let encoder = try ChunkEncoder(.weights)
    let chunk = StoredChunk(capacity: 0)
    for noisy in 0...width {
      let values = weights(300_001, width: width, noisy: noisy)
      try encode(values, width: width, in: length, with: encoder, into: chunk)
      #expect(chunk.mask == (noisy == width ? 3 : 0))
      #expect(try encoder.encode(values.span, width: width) == (noisy == width ? nil : stored(chunk)))
      #expect(chunk.count <= values.count - (width - noisy) * 200_000)
      #expect(try decode(stored(chunk), width: width, mask: chunk.mask, count: values.count) == values)
    }
  }

  /// Planes that are noise in the first pieces alone, one or all of them: as if nothing had been taken for noise.
  @Test(arguments: [2, 4], [false, true])
  func planesThatTurnOutNoNoiseAreCompressed(width: Int, all: Bool) throws {
    let encoder = try ChunkEncoder(.weights)
    let chunk = StoredChunk(capacity: 0)
    // In the middle of a chunk, and near the end of one of F32.
    for (before, after) in [(200_000, 250_000), (170_000, 92_144)] {
      let noisy = weights(before, width: width, noisy: all ? width : 1)
      let values = noisy + [UInt8](repeating: 7, count: after * width)
      try encode(values, width: width, in: 65_536, with: encoder, into: chunk)
      #expect(chunk.mask == 0 && chunk.count < noisy.count + 20_000)
      #expect(try encoder.encode(values.span, width: width) == stored(chunk))
      #expect(try decode(stored(chunk), width: width, mask: 0, count: values.count) == values)
    }
  }

  /// Plane 1 is noise but where samples of its head are taken: one plane stands in the frame when the other turns out
  /// to be no smaller.
  @Test func chunkWithoutAFrameIsPutTogetherAgain() throws {
    var values = weights(300_000, width: 2, noisy: 2)
    for element in 0..<NoiseTest.headLength where element % 137 < 8 { values[2 * element + 1] = 0 }
    var test = NoiseTest(width: 2, count: 300_000)
    test.take(values.span.extracting(0..<2 * NoiseTest.headLength), at: 0)
    #expect(test.planes == 1)
    let chunk = StoredChunk(capacity: 0)
    try encode(values, width: 2, in: 65_536, with: ChunkEncoder(.weights), into: chunk)
    #expect(chunk.mask == 3 && stored(chunk) == values)
  }

  private func encode(
    _ values: [UInt8], width: Int, in length: Int, with encoder: ChunkEncoder, into chunk: StoredChunk
  ) throws {
    encoder.begin(chunk, byteCount: values.count, width: width, valueCount: values.count)
    for start in stride(from: 0, to: values.count, by: length * width) {
      encoder.place(values.span.extracting(start..<min(start + length * width, values.count)))
    }
    try encoder.finish(chunk)
  }

  private func stored(_ chunk: StoredChunk) -> [UInt8] { Array(chunk.bytes.prefix(chunk.count)) }

  private func decode(_ stored: [UInt8], width: Int, mask: UInt32, count: Int) throws -> [UInt8] {
    try decode(stored, [.shuffle(width: width), .zstd], mask: mask, count: count)
  }

  @Test func incompressibleChunkHasNoFrame() throws {
    for compression in [ChunkCompression.weights, .level(3)] {
      #expect(try ChunkEncoder(compression).encode(noise(65_536).span, width: 4) == nil)
    }
  }

  @Test func maskedFiltersAreNotUndone() throws {
    #expect(try decode(Self.chunk, mask: 3) == Self.chunk)
    let unshuffled = try #require(try ChunkEncoder(.level(3)).encode(Self.chunk.span, width: 1))
    #expect(try decode(unshuffled, mask: 1) == Self.chunk)
  }

  @Test func maskBeyondThePipelineIsRefused() throws {
    let frame = try frame()
    #expect(throws: EmbedFuseError.self) { try decode(frame, mask: 4) }
  }

  @Test func rawChunkOfAnotherSizeIsRefused() {
    #expect(throws: EmbedFuseError.self) { try decode(Array(Self.chunk.dropLast()), mask: 3) }
  }

  @Test(arguments: [chunk.count - 4, chunk.count + 4])
  func frameOfAnotherContentSizeIsRefused(count: Int) throws {
    let frame = try frame()
    #expect(throws: EmbedFuseError.self) { try decode(frame, count: count) }
  }

  @Test func frameWithoutContentSizeIsRefused() throws {
    let context = unsafe ZSTD_createCCtx()
    defer { unsafe ZSTD_freeCCtx(context) }
    unsafe ZSTD_CCtx_setParameter(context, ZSTD_c_contentSizeFlag, 0)
    var frame = [UInt8](repeating: 0, count: 100_000)
    let size = unsafe ZSTD_compress2(context, &frame, frame.count, Self.chunk, Self.chunk.count)
    #expect(throws: EmbedFuseError.self) { try decode(Array(frame.prefix(size)), [.zstd]) }
  }

  @Test func twoFramesAreRefused() throws {
    let frame = try frame()
    #expect(throws: EmbedFuseError.self) { try decode(frame + frame) }
  }

  @Test func bytesAfterTheFrameAreRefused() throws {
    let frame = try frame()
    #expect(throws: EmbedFuseError.self) { try decode(frame + [0]) }
  }

  @Test func cutFrameIsRefused() throws {
    let frame = try frame()
    for count in [0, 3, 9, frame.count / 2, frame.count - 1] {
      #expect(throws: EmbedFuseError.self) { try decode(Array(frame.prefix(count))) }
    }
  }

  @Test func everyFlippedBitIsFound() throws {
    let frame = try frame()
    for index in stride(from: 0, to: frame.count, by: 97) {
      var damaged = frame
      damaged[index] ^= 1 << UInt8(index % 8)
      #expect(throws: EmbedFuseError.self, "byte \(index)") { try decode(damaged) }
    }
  }
}
