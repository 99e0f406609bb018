import CXXHash
import CZstd
import Kernels
import TensorCore

/// How the chunks of a compressed checkpoint are compressed.
public enum ChunkCompression: Sendable, Hashable {
  /// The setting for shuffled weights: the entropy coder alone, with a table of its own for each byte plane.
  ///
  /// On shuffled weights zstd's match finder only spoils the statistics of the literals, so matches are all but
  /// ruled out (level 1, minMatch 7, hashLog 6, long steps) and a block ends with each plane. That is smaller than level 19
  /// and several times as fast as level 3.
  case weights
  /// The setting for shuffled differences to a base: as for weights, but matches are looked for at every byte.
  ///
  /// A fine-tune leaves rows of an embedding as they are, whose zeros are runs in every plane; long steps would miss
  /// their ends. Higher levels take many times as long for the same size or a larger one.
  case differences
  /// A plain level of zstd, 1...22, or negative for speed.
  case level(Int)

  /// The level recorded in the file; readers ignore it.
  var nominalLevel: Int {
    switch self {
    case .weights, .differences: 1
    case .level(let level): level
    }
  }

  /// The levels that this zstd offers.
  public static var levels: ClosedRange<Int> { Int(ZSTD_minCLevel())...Int(ZSTD_maxCLevel()) }
}

/// Compresses chunks: byte shuffle, then one zstd frame with content size and checksum.
///
/// It owns a compression context and a buffer, so it serves one worker at a time; a `FreeList` hands it out.
@safe final class ChunkEncoder: @unchecked Sendable {
  private let context: OpaquePointer
  private let compression: ChunkCompression
  private let capacity: Int
  private var planes: [UInt8] = []

  /// - Parameter capacity: bytes of the largest chunk, if it is known, so that the buffer needn't grow.
  init(_ compression: ChunkCompression, capacity: Int = 0) throws(EmbedFuseError) {
    self.capacity = capacity
    guard let context = unsafe ZSTD_createCCtx() else {
      throw EmbedFuseError(.internalError, "no memory for a zstd context")
    }
    unsafe self.context = unsafe context
    self.compression = compression
    // A chunk stays where it is until its frame is complete, so there is no need for a copy of it. Without that
    // parameter (not a stable one) it is copied, and the frame is the same.
    _ = unsafe ZSTD_CCtx_setParameter(context, stableInBuffer, 1)
    switch compression {
    case .weights, .differences:
      try set(ZSTD_c_compressionLevel, 1)
      try set(ZSTD_c_minMatch, 7)
      try set(ZSTD_c_hashLog, 6)
      guard compression == .weights else { break }
      // Literals are coded at this level only if asked for; then the search for matches may take such long steps
      // that it finds no more than long runs. Without that parameter (not a stable one) frames are a little larger.
      if unsafe ZSTD_isError(ZSTD_CCtx_setParameter(context, literalCompressionMode, 1)) == 0 {
        try set(ZSTD_c_targetLength, 256)
      }
    case .level(let level):
      guard ChunkCompression.levels.contains(level), level != 0 else {
        throw EmbedFuseError(
          .usage, "compression level \(level) is outside of \(ChunkCompression.levels)",
          remedy:
            "choose a level from 1 to \(ChunkCompression.levels.upperBound), or a negative one for speed")
      }
      try set(ZSTD_c_compressionLevel, Int32(level))
    }
  }

  /// `ZSTD_c_literalCompressionMode`; 1 means always.
  private var literalCompressionMode: ZSTD_cParameter { ZSTD_c_experimentalParam5 }

  /// `ZSTD_c_stableInBuffer`.
  private var stableInBuffer: ZSTD_cParameter { ZSTD_c_experimentalParam9 }

  deinit { unsafe ZSTD_freeCCtx(context) }

  private func set(_ parameter: ZSTD_cParameter, _ value: Int32) throws(EmbedFuseError) {
    let status = unsafe ZSTD_CCtx_setParameter(context, parameter, value)
    guard ZSTD_isError(status) == 0 else { throw EmbedFuseError.zstd(status) }
  }

  private var endsBlocksWithPlanes: Bool { [.weights, .differences].contains(compression) }

  /// The frame of a whole chunk, or nil where it would not be smaller than the chunk itself.
  ///
  /// - Parameter width: bytes of one element; 1 where nothing is to be shuffled.
  func encode(_ values: Span<UInt8>, width: Int) throws(EmbedFuseError) -> [UInt8]? {
    let chunk = StoredChunk(capacity: values.count)
    try encode(values, width: width, byteCount: values.count, into: chunk)
    return chunk.mask == 0 ? Array(chunk.bytes.prefix(chunk.count)) : nil
  }

  /// Encodes a chunk of `byteCount` bytes, of which those behind `values` are zeros; stores it as it is where its frame
  /// would not be smaller.
  ///
  /// - Parameter width: bytes of one element; 1 where nothing is to be shuffled.
  func encode(
    _ values: Span<UInt8>, width: Int, byteCount: Int, into chunk: StoredChunk
  ) throws(EmbedFuseError) {
    var planes = [UInt8]()
    swap(&planes, &self.planes)
    defer { swap(&planes, &self.planes) }
    let isSmaller: Bool
    if width == 1, values.count == byteCount {
      isSmaller = try compress(values, parts: 1, into: chunk)
    } else {
      if planes.count < byteCount { planes = [UInt8](repeating: 0, count: max(byteCount, capacity)) }
      var bytes = planes.mutableSpan
      Shuffle.split(values, width: width, into: &bytes, length: byteCount / width)
      isSmaller = try compress(
        planes.span.extracting(0..<byteCount), parts: endsBlocksWithPlanes ? width : 1, into: chunk)
    }
    // The pipeline has one filter where nothing is shuffled, otherwise two.
    if !isSmaller { chunk.set(values, byteCount: byteCount, mask: width > 1 ? 3 : 1) }
  }

  /// Makes `chunk` the frame of `source`; false where that would not be smaller.
  private func compress(
    _ source: Span<UInt8>, parts: Int, into chunk: StoredChunk
  ) throws(EmbedFuseError) -> Bool {
    let capacity = max(0, source.count - 1)
    unsafe source.withUnsafeBytes { bytes in
      let length = bytes.count / parts
      let noise = parts > 1 ? unsafe noise(in: bytes, parts: parts) : 0
      unsafe chunk.set(capacity: capacity) { frame in
        guard noise > 0, noise < parts, bytes.count <= UInt32.max else {
          return unsafe ef_zstd_compress(
            context, bytes.baseAddress, parts, length, frame.baseAddress, capacity)
        }
        let checksum = unsafe UInt32(truncatingIfNeeded: XXH64(bytes.baseAddress, bytes.count, 0))
        return unsafe ef_zstd_compress_rest(
          context, bytes.baseAddress, noise, parts, length, checksum, frame.baseAddress, capacity)
      }
    }
    guard ZSTD_isError(chunk.count) == 0 else { throw EmbedFuseError.zstd(chunk.count) }
    return chunk.count > 0
  }
}

extension ChunkEncoder {
  /// How many of the first parts are noise, as the lower bytes of weights are, which the entropy coder needn't look at.
  private func noise(in bytes: UnsafeRawBufferPointer, parts: Int) -> Int {
    let length = bytes.count / parts
    return (0..<parts).first { part in
      unsafe ef_zstd_is_noise(bytes.baseAddress! + part * length, length) == 0
    } ?? parts
  }
}

extension EmbedFuseError {
  /// A failure inside zstd that no input can cause.
  static func zstd(_ status: Int) -> EmbedFuseError {
    EmbedFuseError(.internalError, "zstd: \(unsafe String(cString: ZSTD_getErrorName(status)))")
  }
}
