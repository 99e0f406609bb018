/// A chunk as it stands in the file: bytes, and which filters they didn't go through.
///
/// Its buffer may be larger than the chunk and serves the next one when this has been written: new memory for each
/// would cost nearly as much as compressing it. One worker has it at a time.
final class StoredChunk: @unchecked Sendable {
  /// The chunk, and behind it what the buffer held before.
  private(set) var bytes: [UInt8]
  /// Bytes of the chunk.
  private(set) var count: Int
  /// A bit for each filter of the pipeline that was skipped.
  private(set) var mask: UInt32
  /// The digest of the chunk, once it was taken.
  private(set) var digest = ContentDigest.zero

  /// A buffer for chunks of this many bytes; it grows if one has more.
  init(capacity: Int) {
    (bytes, count, mask) = (.unwritten(capacity), 0, 0)
  }

  /// A chunk of these bytes.
  init(bytes: [UInt8], mask: UInt32 = 0) {
    (self.bytes, count, self.mask) = (bytes, bytes.count, mask)
  }

  /// Gives the buffer away, of at least so many bytes, for `set` to bring it back.
  func takeBuffer(capacity: Int) -> [UInt8] {
    var buffer: [UInt8] = []
    swap(&buffer, &bytes)
    return buffer.count < capacity ? .unwritten(capacity) : buffer
  }

  /// Makes it the chunk of the first `count` of these bytes.
  func set(_ bytes: consuming [UInt8], count: Int, mask: UInt32) {
    (self.bytes, self.count, self.mask) = (bytes, count, mask)
  }

  /// Takes the digest of the chunk, while its bytes are in the cache.
  func takeDigest() { digest = .of(bytes.span.extracting(0..<count)) }
}

extension [UInt8] {
  /// Bytes that are to be written before they are read: memory that nothing is written to is never made.
  static func unwritten(_ count: Int) -> [UInt8] {
    unsafe [UInt8](unsafeUninitializedCapacity: count) { $1 = count }
  }
}
