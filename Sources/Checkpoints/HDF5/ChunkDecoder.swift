import CZstd
import Kernels
import TensorCore

/// Undoes the filters of chunks.
///
/// It owns decompression contexts and buffers, so it serves one worker at a time; a `FreeList` hands it out.
@safe final class ChunkDecoder: @unchecked Sendable {
  /// The decoders of all files: no more than there are workers.
  static let shared = FreeList { () throws(EmbedFuseError) in try ChunkDecoder() }

  let context: OpaquePointer
  private var inflater: Inflater?
  /// What a step leaves for the next, by the number of steps still to be undone.
  private var buffers: [[UInt8]] = []
  /// The bytes of a chunk as they are stored; only the first may be in use.
  private var stored: [UInt8] = []

  init() throws(EmbedFuseError) {
    guard let context = unsafe ZSTD_createDCtx() else {
      throw EmbedFuseError(.internalError, "no memory for a zstd context")
    }
    unsafe self.context = unsafe context
  }

  deinit { unsafe ZSTD_freeDCtx(context) }

  /// Writes the values of a whole chunk, stored as `stored`, to `chunk`.
  ///
  /// - Parameters:
  ///   - filters: the dataset's pipeline in the order in which it was applied.
  ///   - mask: bit `i` is set where filter `i` was skipped for this chunk.
  /// - Throws: an error without a place; the caller knows file, dataset and offset.
  func decode(
    _ stored: Span<UInt8>, filters: [ChunkFilter], mask: UInt32, into chunk: inout MutableSpan<UInt8>
  ) throws(EmbedFuseError) {
    let applied = try ChunkFilter.applied(filters, mask: mask)
    while buffers.count < applied.count { buffers.append([]) }
    try undo(applied[...], of: stored, into: &chunk)
  }

  /// The same for a chunk that stands in a file.
  func decode(
    _ range: Range<Int>, of file: InputFile, filters: [ChunkFilter], mask: UInt32,
    into chunk: inout MutableSpan<UInt8>
  ) throws(EmbedFuseError) {
    var bytes = [UInt8]()
    swap(&bytes, &stored)
    defer { swap(&bytes, &stored) }
    if bytes.count < range.count {
      // The next ones will be about as large.
      bytes = [UInt8](repeating: 0, count: (range.count + 0xFFFF) & ~0xFFFF)
    }
    var span = bytes.mutableSpan
    try file.read(range.count, at: range.lowerBound, into: &span)
    try decode(bytes.span.extracting(0..<range.count), filters: filters, mask: mask, into: &chunk)
  }

  /// Undoes the last filter, then those before it.
  private func undo(
    _ filters: ArraySlice<ChunkFilter>, of stored: Span<UInt8>, into chunk: inout MutableSpan<UInt8>
  ) throws(EmbedFuseError) {
    guard let last = filters.last else { return try copy(stored, to: &chunk) }
    let rest = filters.dropLast()
    if last == .fletcher32 {
      return try undo(rest, of: stored.extracting(0..<Fletcher32.verify(stored)), into: &chunk)
    }
    guard !rest.isEmpty else { return try undo(last, of: stored, into: &chunk) }
    // What the earlier filters made of the chunk: of those that compress there is but one, which is not among them.
    let size = rest.reduce(chunk.count) { $0 + ($1.addedBytes ?? 0) }
    var buffer = [UInt8]()
    swap(&buffer, &buffers[rest.count])
    defer { swap(&buffer, &buffers[rest.count]) }
    if buffer.count != size { buffer = [UInt8](repeating: 0, count: size) }
    try undo(last, of: stored, filling: &buffer)
    try undo(rest, of: buffer.span, into: &chunk)
  }

  private func undo(_ filter: ChunkFilter, of stored: Span<UInt8>, filling target: inout [UInt8])
    throws(EmbedFuseError)
  {
    var bytes = target.mutableSpan
    try undo(filter, of: stored, into: &bytes)
  }

  private func undo(_ filter: ChunkFilter, of stored: Span<UInt8>, into target: inout MutableSpan<UInt8>)
    throws(EmbedFuseError)
  {
    switch filter {
    case .shuffle(let width): try join(stored, width: width, into: &target)
    case .deflate: try sharedInflater().inflate(stored, into: &target)
    case .lzf: try LZF.decompress(stored, into: &target)
    case .zstd: try decompress(stored, into: &target)
    case .fletcher32: preconditionFailure("a checksum changes no bytes")
    }
  }

  func sharedInflater() throws(EmbedFuseError) -> Inflater {
    if let inflater { return inflater }
    let made = try Inflater()
    inflater = made
    return made
  }

  private func copy(_ stored: Span<UInt8>, to chunk: inout MutableSpan<UInt8>) throws(EmbedFuseError) {
    guard stored.count == chunk.count else { throw wrongSize(stored.count, chunk.count) }
    unsafe chunk.withUnsafeMutableBytes { target in
      unsafe stored.withUnsafeBytes { unsafe target.copyMemory(from: $0) }
    }
  }

  /// Undoes a shuffle. What is left over after the last whole element stands at the end as it is.
  private func join(_ stored: Span<UInt8>, width: Int, into chunk: inout MutableSpan<UInt8>)
    throws(EmbedFuseError)
  {
    guard stored.count == chunk.count else { throw wrongSize(stored.count, chunk.count) }
    let whole = stored.count / width * width
    guard whole < stored.count else { return Shuffle.join(stored, width: width, into: &chunk) }
    unsafe chunk.withUnsafeMutableBufferPointer { bytes in
      var elements = unsafe UnsafeMutableBufferPointer(rebasing: bytes[0..<whole]).mutableSpan
      Shuffle.join(stored.extracting(0..<whole), width: width, into: &elements)
    }
    for index in whole..<stored.count { chunk[index] = stored[index] }
  }

  private func wrongSize(_ found: Int, _ expected: Int) -> EmbedFuseError {
    EmbedFuseError(.badData, "the unfiltered chunk has \(found) bytes, expected \(expected)")
  }
}

// MARK: - Zstandard

extension ChunkDecoder {
  /// Decompresses the one frame that `stored` must be, of exactly the size of `target`.
  private func decompress(_ stored: Span<UInt8>, into target: inout MutableSpan<UInt8>) throws(EmbedFuseError)
  {
    let expected = target.count
    try unsafe stored.withUnsafeBytes { frame throws(EmbedFuseError) in
      try Self.checkContentSize(
        unsafe ZSTD_getFrameContentSize(frame.baseAddress, frame.count), expected: expected)
      let length = unsafe ZSTD_findFrameCompressedSize(frame.baseAddress, frame.count)
      guard ZSTD_isError(length) == 0 else { throw Self.damaged(length) }
      guard length == frame.count else {
        throw EmbedFuseError(
          .badData, "the zstd frame has \(length) bytes, expected it to fill the chunk's \(frame.count)")
      }
      let status = unsafe target.withUnsafeMutableBytes { bytes in
        unsafe ZSTD_decompressDCtx(
          context, bytes.baseAddress, bytes.count, frame.baseAddress, frame.count)
      }
      guard ZSTD_isError(status) == 0 else { throw Self.damaged(status) }
      guard status == expected else {
        throw EmbedFuseError(.badData, "the zstd frame gave \(status) bytes, expected \(expected)")
      }
    }
  }

  static func checkContentSize(_ content: UInt64, expected: Int) throws(EmbedFuseError) {
    guard content != ZSTD_CONTENTSIZE_ERROR else {
      throw EmbedFuseError(.badData, "the chunk is not a zstd frame")
    }
    guard content != ZSTD_CONTENTSIZE_UNKNOWN else {
      throw EmbedFuseError(.badData, "the zstd frame does not say its content size")
    }
    guard content == UInt64(expected) else {
      throw EmbedFuseError(
        .badData, "the zstd frame holds \(content) bytes, expected the chunk's \(expected)")
    }
  }

  static func damaged(_ status: Int) -> EmbedFuseError {
    EmbedFuseError(
      .badData, "the zstd frame is damaged: \(unsafe String(cString: ZSTD_getErrorName(status)))")
  }
}
