import CXXHash
import CZstd
import Glibc
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
/// The bytes of a chunk come in pieces, which are shuffled while they are in the cache: planes that are noise, as the lower
/// bytes of weights are, to where they stand in the frame, the others to a buffer from which they are compressed in the end.
///
/// It owns a compression context and that buffer, so it serves one worker at a time; a `FreeList` hands it out.
@safe final class ChunkEncoder: @unchecked Sendable {
  private let context: OpaquePointer
  private let checksum: OpaquePointer
  private let compression: ChunkCompression
  private let capacity: Int

  // The chunk at hand: its buffer, and the planes that are to be compressed; its bytes, and those of an element; the bytes
  // that were put there; how many of the first planes stand in the buffer: if it is all, the values stand there as they came.
  private var frame: [UInt8] = []
  private var planes: [UInt8] = []
  private var byteCount = 0
  private var width = 1
  private var placed = 0
  private var raw = 0
  private var test = NoiseTest(width: 0, count: 0)
  /// The first bytes, as long as they are too few for the test.
  private var head: [UInt8] = []

  /// - Parameter capacity: bytes of the largest chunk, if it is known, so that the buffer needn't grow.
  init(_ compression: ChunkCompression, capacity: Int = 0) throws(EmbedFuseError) {
    self.capacity = capacity
    guard let context = unsafe ZSTD_createCCtx(), let checksum = unsafe XXH64_createState() else {
      throw EmbedFuseError(.internalError, "no memory for a zstd context")
    }
    unsafe self.context = unsafe context
    unsafe self.checksum = unsafe checksum
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

  deinit {
    unsafe ZSTD_freeCCtx(context)
    unsafe XXH64_freeState(checksum)
  }

  private func set(_ parameter: ZSTD_cParameter, _ value: Int32) throws(EmbedFuseError) {
    let status = unsafe ZSTD_CCtx_setParameter(context, parameter, value)
    guard ZSTD_isError(status) == 0 else { throw EmbedFuseError.zstd(status) }
  }

  /// The frame of a whole chunk, or nil where it would not be smaller than the chunk itself.
  ///
  /// - Parameter width: bytes of one element; 1 where nothing is to be shuffled.
  func encode(_ values: Span<UInt8>, width: Int) throws(EmbedFuseError) -> [UInt8]? {
    let chunk = StoredChunk(capacity: values.count)
    begin(chunk, byteCount: values.count, width: width, valueCount: values.count)
    place(values)
    try finish(chunk)
    return chunk.mask == 0 ? Array(chunk.bytes.prefix(chunk.count)) : nil
  }

  /// Begins a chunk.
  ///
  /// - Parameters:
  ///   - byteCount: its bytes, those of values and the zeros that follow.
  ///   - width: bytes of one element; 1 where nothing is to be shuffled.
  ///   - valueCount: bytes of values.
  func begin(_ chunk: StoredChunk, byteCount: Int, width: Int, valueCount: Int) {
    (self.byteCount, self.width, placed, head) = (byteCount, width, 0, [])
    let isTested = planesWithBlocks > 0 && valueCount == byteCount && length >= NoiseTest.headLength
    test = NoiseTest(width: isTested ? width : 0, count: length)
    raw = test.planes
    frame = chunk.takeBuffer(capacity: byteCount)
    if planes.count < byteCount { planes = .unwritten(max(byteCount, capacity)) }
  }

  /// Bytes of the chunk that have come.
  var receivedCount: Int { placed + head.count }

  /// Takes the next bytes of the chunk, whole elements.
  func place(_ values: Span<UInt8>) {
    precondition(values.count % width == 0 && values.count <= byteCount - receivedCount)
    let needed = placed == 0 && test.planes > 0 ? NoiseTest.headLength * width : 0
    guard !head.isEmpty || values.count < needed else { return take(values) }
    head += [UInt8](copying: values)
    guard head.count >= needed else { return }
    take(head.span)
    head = []
  }

  private func take(_ values: Span<UInt8>) {
    test.take(values, at: placed / width)
    if test.planes < raw {
      if placed == 0 { raw = test.planes } else { takeBack() }
    }
    if raw == width {
      copy(values, to: &frame, at: placed)
    } else if raw == 0 {
      var target = planes.mutableSpan
      Shuffle.split(values, width: width, into: &target, at: placed / width, stride: length)
    } else {
      splitIntoFrame(values)
    }
    placed += values.count
  }

  /// Completes the chunk, in which zeros follow what has come; stores it as it is where its frame would not be smaller.
  func finish(_ chunk: StoredChunk) throws(EmbedFuseError) {
    if placed < byteCount { pad() }
    let size = raw == width ? 0 : try compress()
    if size == 0, raw < width {
      takeBack()
      var target = frame.mutableSpan
      Shuffle.join(planes.span.extracting(0..<byteCount), width: width, into: &target)
    }
    // The pipeline has one filter where nothing is shuffled, otherwise two.
    let skipped: UInt32 = width > 1 ? 3 : 1
    chunk.set(frame, count: size > 0 ? size : byteCount, mask: size > 0 ? 0 : skipped)
    frame = []
  }
}

// MARK: - Planes

extension ChunkEncoder {
  /// Bytes of a plane.
  private var length: Int { byteCount / width }

  /// The planes that end with a block; where only the last does, none is told from the others.
  private var planesWithBlocks: Int {
    let isSplit = [.weights, .differences].contains(compression) && byteCount <= Int(UInt32.max)
    return isSplit && width > 1 ? width : 0
  }

  /// Shuffles the next elements into the raw planes of the frame, and the buffer of the others.
  private func splitIntoFrame(_ values: Span<UInt8>) {
    let first = placed / width
    for block in blocks(first..<first + values.count / width) {
      let part = values.extracting((block.lowerBound - first) * width..<(block.upperBound - first) * width)
      var target = frame.mutableSpan
      Shuffle.split(
        part, width: width, planes: 0..<raw, into: &target, at: ef_zstd_raw_place(block.lowerBound),
        stride: ef_zstd_raw_stride(length))
      target = planes.mutableSpan
      Shuffle.split(
        part, width: width, planes: raw..<width, into: &target, at: raw * length + block.lowerBound,
        stride: length)
    }
  }

  /// The bytes of a plane, cut where a block of the frame ends.
  private func blocks(_ range: Range<Int>) -> [Range<Int>] {
    stride(from: range.lowerBound / EF_ZSTD_BLOCK * EF_ZSTD_BLOCK, to: range.upperBound, by: EF_ZSTD_BLOCK)
      .map {
        max($0, range.lowerBound)..<min($0 + EF_ZSTD_BLOCK, range.upperBound)
      }
  }

  /// Where the bytes stand that have come of the raw planes, each in pieces, in their order.
  private var rawPieces: [(place: Int, frame: Range<Int>)] {
    (0..<raw).flatMap { plane in
      blocks(0..<placed / width).map { block in
        let start = ef_zstd_raw_place(block.lowerBound) + plane * ef_zstd_raw_stride(length)
        return (plane * length + block.lowerBound, start..<start + block.count)
      }
    }
  }

  /// Brings the raw planes to the others: some are no noise after all, or the frame isn't smaller.
  private func takeBack() {
    if raw == width {
      var target = planes.mutableSpan
      Shuffle.split(frame.span.extracting(0..<placed), width: width, into: &target, stride: length)
    } else {
      for piece in rawPieces { copy(frame.span.extracting(piece.frame), to: &planes, at: piece.place) }
    }
    raw = 0
  }

  private func copy(_ source: Span<UInt8>, to target: inout [UInt8], at place: Int) {
    precondition(place >= 0 && place + source.count <= target.count)
    unsafe target.withUnsafeMutableBytes { target in
      unsafe source.withUnsafeBytes { source in
        unsafe UnsafeMutableRawBufferPointer(rebasing: target[place...]).copyMemory(from: source)
      }
    }
  }

  /// Makes zeros of what hasn't come.
  private func pad() {
    unsafe planes.withUnsafeMutableBytes { planes in
      for plane in 0..<width {
        let rest = plane * length + placed / width..<(plane + 1) * length
        unsafe memset(planes.baseAddress! + rest.lowerBound, 0, rest.count)
      }
    }
  }
}

// MARK: - Frames

extension ChunkEncoder {
  /// Makes the frame of the chunk, and returns its size; 0 where it would not be smaller.
  private func compress() throws(EmbedFuseError) -> Int {
    let capacity = max(0, byteCount - 1)
    let pieces = rawPieces
    let size = unsafe frame.withUnsafeMutableBytes { frame in
      unsafe planes.withUnsafeBytes { planes in
        guard raw > 0 else {
          let parts = max(1, planesWithBlocks)
          return unsafe ef_zstd_compress(
            context, planes.baseAddress, parts, byteCount / parts, frame.baseAddress, capacity)
        }
        let rest = unsafe UnsafeRawBufferPointer(rebasing: planes[raw * length..<byteCount])
        unsafe XXH64_reset(checksum, 0)
        for piece in pieces {
          unsafe XXH64_update(checksum, frame.baseAddress! + piece.frame.lowerBound, piece.frame.count)
        }
        unsafe XXH64_update(checksum, rest.baseAddress, rest.count)
        return unsafe ef_zstd_compress_rest(
          context, frame.baseAddress, capacity, raw, width, length, rest.baseAddress,
          UInt32(truncatingIfNeeded: XXH64_digest(checksum)))
      }
    }
    guard ZSTD_isError(size) == 0 else { throw EmbedFuseError.zstd(size) }
    return size
  }
}

extension EmbedFuseError {
  /// A failure inside zstd that no input can cause.
  static func zstd(_ status: Int) -> EmbedFuseError {
    EmbedFuseError(.internalError, "zstd: \(unsafe String(cString: ZSTD_getErrorName(status)))")
  }
}
