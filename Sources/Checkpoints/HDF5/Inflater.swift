import CZlib
import TensorCore

/// Undoes HDF5's deflate filter: one zlib stream, taken whole or in pieces. It serves one worker at a time.
@safe final class Inflater: @unchecked Sendable {
  /// zlib keeps the address of its state, so it stays in one place.
  private let stream: UnsafeMutablePointer<z_stream>

  init() throws(EmbedFuseError) {
    unsafe stream = .allocate(capacity: 1)
    unsafe stream.initialize(to: z_stream())
    guard unsafe embedfuse_inflate_init(stream, 15) == Z_OK else {
      throw EmbedFuseError(.internalError, "no memory for a zlib stream")
    }
  }

  deinit {
    unsafe inflateEnd(stream)
    unsafe stream.deallocate()
  }

  /// Starts a new stream.
  func restart() { _ = unsafe inflateReset(stream) }

  /// Decompresses the whole stream that `stored` must be, of exactly the size of `target`.
  func inflate(_ stored: Span<UInt8>, into target: inout MutableSpan<UInt8>) throws(EmbedFuseError) {
    restart()
    let step = try advance(stored, into: &target, from: 0)
    guard step.isComplete, step.written == target.count, step.taken == stored.count else {
      throw EmbedFuseError(
        .badData,
        "the deflated data gave \(step.written) bytes of the chunk's \(target.count)\(step.isComplete ? "" : " and goes on")"
      )
    }
  }

  /// Decompresses as much as `stored` gives and `target` takes from `start` on.
  func advance(
    _ stored: Span<UInt8>, into target: inout MutableSpan<UInt8>, from start: Int
  ) throws(EmbedFuseError) -> (taken: Int, written: Int, isComplete: Bool) {
    let (given, room) = (stored.count, target.count - start)
    guard given <= UInt32.max, room <= UInt32.max else {
      throw EmbedFuseError(.badData, "the chunk is too large to be inflated")
    }
    let status = unsafe stored.withUnsafeBytes { input in
      unsafe target.withUnsafeMutableBytes { output in
        unsafe stream.pointee.next_in = UnsafeMutablePointer(
          mutating: input.baseAddress?.assumingMemoryBound(to: UInt8.self))
        unsafe stream.pointee.avail_in = UInt32(given)
        unsafe stream.pointee.next_out = output.baseAddress?.advanced(by: start)
          .assumingMemoryBound(to: UInt8.self)
        unsafe stream.pointee.avail_out = UInt32(room)
        return unsafe CZlib.inflate(stream, Z_NO_FLUSH)
      }
    }
    guard status == Z_OK || status == Z_STREAM_END || status == Z_BUF_ERROR else {
      throw EmbedFuseError(.badData, "the deflated data is damaged")
    }
    return unsafe (
      given - Int(stream.pointee.avail_in), room - Int(stream.pointee.avail_out), status == Z_STREAM_END
    )
  }
}
