import CZstd
import Kernels
import TensorCore

/// One step of a chunk's filter pipeline that embedfuse undoes itself.
enum ChunkFilter: Sendable, Hashable {
  /// HDF5's shuffle, filter 2, of elements of this many bytes.
  case shuffle(width: Int)
  /// Zstandard, filter 32015.
  case zstd
}

/// Undoes the filters of chunks.
///
/// It owns a decompression context and a buffer, so it serves one worker at a time; a `FreeList` hands it out.
@safe final class ChunkDecoder: @unchecked Sendable {
  private let context: OpaquePointer
  private var planes: [UInt8] = []

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
  ///   - filters: the dataset's pipeline in the order in which it was applied: at most one shuffle, then zstd.
  ///   - mask: bit `i` is set where filter `i` was skipped for this chunk.
  /// - Throws: an error without a place; the caller knows file, dataset and offset.
  func decode(
    _ stored: Span<UInt8>, filters: [ChunkFilter], mask: UInt32, into chunk: inout MutableSpan<UInt8>
  ) throws(EmbedFuseError) {
    guard mask >> UInt32(filters.count) == 0 else {
      throw EmbedFuseError(
        .badData, "filter mask \(mask) names a filter beyond the \(filters.count) of the dataset")
    }
    let applied = filters.indices.filter { mask >> UInt32($0) & 1 == 0 }.map { filters[$0] }
    switch (applied.first, applied.last) {
    case (nil, _):
      try copy(stored, to: &chunk)
    case (.zstd, _):
      try decompress(stored, into: &chunk)
    case (.shuffle(let width), .zstd):
      var planes = [UInt8]()
      swap(&planes, &self.planes)
      defer { swap(&planes, &self.planes) }
      if planes.count != chunk.count { planes = [UInt8](repeating: 0, count: chunk.count) }
      try decompress(stored, filling: &planes)
      Shuffle.join(planes.span, width: width, into: &chunk)
    case (.shuffle(let width), _):
      guard stored.count == chunk.count else { throw wrongSize(stored.count, chunk.count) }
      Shuffle.join(stored, width: width, into: &chunk)
    }
  }

  private func copy(_ stored: Span<UInt8>, to chunk: inout MutableSpan<UInt8>) throws(EmbedFuseError) {
    guard stored.count == chunk.count else { throw wrongSize(stored.count, chunk.count) }
    unsafe chunk.withUnsafeMutableBytes { target in
      unsafe stored.withUnsafeBytes { unsafe target.copyMemory(from: $0) }
    }
  }

  private func wrongSize(_ found: Int, _ expected: Int) -> EmbedFuseError {
    EmbedFuseError(.badData, "the unfiltered chunk has \(found) bytes, expected \(expected)")
  }

  private func decompress(_ stored: Span<UInt8>, filling target: inout [UInt8]) throws(EmbedFuseError) {
    var bytes = target.mutableSpan
    try decompress(stored, into: &bytes)
  }

  /// Decompresses the one frame that `stored` must be, of exactly the size of `target`.
  private func decompress(_ stored: Span<UInt8>, into target: inout MutableSpan<UInt8>) throws(EmbedFuseError)
  {
    let expected = target.count
    try unsafe stored.withUnsafeBytes { frame throws(EmbedFuseError) in
      let content = unsafe ZSTD_getFrameContentSize(frame.baseAddress, frame.count)
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
      let length = unsafe ZSTD_findFrameCompressedSize(frame.baseAddress, frame.count)
      guard ZSTD_isError(length) == 0 else { throw damaged(length) }
      guard length == frame.count else {
        throw EmbedFuseError(
          .badData, "the zstd frame has \(length) bytes, expected it to fill the chunk's \(frame.count)")
      }
      let status = unsafe target.withUnsafeMutableBytes { bytes in
        unsafe ZSTD_decompressDCtx(
          context, bytes.baseAddress, bytes.count, frame.baseAddress, frame.count)
      }
      guard ZSTD_isError(status) == 0 else { throw damaged(status) }
      guard status == expected else {
        throw EmbedFuseError(.badData, "the zstd frame gave \(status) bytes, expected \(expected)")
      }
    }
  }

  private func damaged(_ status: Int) -> EmbedFuseError {
    EmbedFuseError(
      .badData, "the zstd frame is damaged: \(unsafe String(cString: ZSTD_getErrorName(status)))",
      remedy: "the file has changed since it was written; restore it from a copy")
  }
}
