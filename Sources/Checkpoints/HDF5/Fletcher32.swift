import TensorCore

/// The checksum of HDF5's filter 3: Fletcher's over 16-bit words, high byte first, sums modulo 65535.
enum Fletcher32 {
  /// Bytes that the checksum takes, after what it is of.
  static let byteCount = 4

  /// The checksum of some bytes; an odd last one is the high byte of a word.
  static func checksum(_ bytes: Span<UInt8>) -> UInt32 {
    var (low, high): (UInt32, UInt32) = (0, 0)
    var index = 0
    while index + 1 < bytes.count {
      // As many words as leave the sums within 32 bits.
      let end = min(index + 720, bytes.count & ~1)
      while index < end {
        low &+= UInt32(bytes[index]) << 8 | UInt32(bytes[index + 1])
        high &+= low
        index += 2
      }
      low = low & 0xFFFF &+ low >> 16
      high = high & 0xFFFF &+ high >> 16
    }
    if bytes.count % 2 == 1 {
      low &+= UInt32(bytes[bytes.count - 1]) << 8
      high &+= low
      low = low & 0xFFFF &+ low >> 16
      high = high & 0xFFFF &+ high >> 16
    }
    low = low & 0xFFFF &+ low >> 16
    high = high & 0xFFFF &+ high >> 16
    return high << 16 | low
  }

  /// Checks the checksum at the end of `stored`, and returns how many bytes stand before it.
  static func verify(_ stored: Span<UInt8>) throws(EmbedFuseError) -> Int {
    let count = stored.count - byteCount
    guard count >= 0 else {
      throw EmbedFuseError(.badData, "the chunk's \(stored.count) bytes are too few for a checksum")
    }
    let found = (0..<4).reduce(UInt32(0)) { $0 | UInt32(stored[count + $1]) << UInt32(8 * $1) }
    let expected = checksum(stored.extracting(0..<count))
    // Versions of HDF5 before 1.6.3 wrote the words' bytes the other way round.
    let early = (expected & 0x00FF_00FF) << 8 | (expected & 0xFF00_FF00) >> 8
    guard found == expected || found == early else {
      throw EmbedFuseError(
        .badData, "its checksum is \(found), expected \(expected)")
    }
    return count
  }
}
