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
    (bytes, count, mask) = ([UInt8](repeating: 0, count: capacity), 0, 0)
  }

  /// A chunk of these bytes.
  init(bytes: [UInt8], mask: UInt32 = 0) {
    (self.bytes, count, self.mask) = (bytes, bytes.count, mask)
  }

  /// Makes it the chunk that `write` leaves in a buffer of at least `capacity` bytes and returns the size of, whose
  /// filters were all applied.
  func set(capacity: Int, _ write: (UnsafeMutableRawBufferPointer) -> Int) {
    reserve(capacity)
    count = unsafe bytes.withUnsafeMutableBytes { unsafe write($0) }
    mask = 0
  }

  /// Makes it a chunk of `byteCount` bytes: these, then zeros.
  func set(_ values: Span<UInt8>, byteCount: Int, mask: UInt32) {
    reserve(byteCount)
    unsafe bytes.withUnsafeMutableBytes { target in
      unsafe values.withUnsafeBytes { unsafe target.copyMemory(from: $0) }
      for index in values.count..<byteCount { unsafe target[index] = 0 }
    }
    (count, self.mask) = (byteCount, mask)
  }

  /// Takes the digest of the chunk, while its bytes are in the cache.
  func takeDigest() { digest = .of(bytes.span.extracting(0..<count)) }

  private func reserve(_ capacity: Int) {
    if bytes.count < capacity { bytes = [UInt8](repeating: 0, count: capacity) }
  }
}
