import CZlib

/// The checksum of zip archives, of parts that may be taken in any order and put together afterwards.
struct CRC32: Sendable, Hashable {
  /// The checksum.
  private(set) var value: UInt32 = 0

  /// The checksum of nothing.
  init() {}

  /// The checksum of some bytes.
  init(_ bytes: Span<UInt8>) {
    value = unsafe bytes.withUnsafeBufferPointer { buffer in
      UInt32(truncatingIfNeeded: unsafe crc32_z(0, buffer.baseAddress, buffer.count))
    }
  }

  /// Takes in the checksum of the `count` bytes that follow.
  mutating func append(_ next: CRC32, ofBytes count: Int) {
    value = UInt32(truncatingIfNeeded: crc32_combine(UInt(value), UInt(next.value), count))
  }
}
