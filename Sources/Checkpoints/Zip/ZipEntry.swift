import TensorCore

/// A file in a zip archive, as the central directory and its local header agree on it.
struct ZipEntry: Sendable {
  /// How its bytes are kept.
  enum Method: UInt16, Sendable {
    /// As they are.
    case stored = 0
    /// As a raw deflate stream.
    case deflated = 8
  }

  /// The path within the archive; text to compare with, never a path to open.
  let name: String
  let method: Method
  /// The CRC-32 of its bytes; 0 also stands for "not computed".
  let checksum: UInt32
  /// Bytes in the archive.
  let compressedByteCount: Int
  /// Bytes of the file.
  let byteCount: Int
  /// The archive's byte at which its local header starts.
  let headerOffset: Int
  /// The archive's byte at which its data starts.
  let dataOffset: Int
  /// The remark that the directory makes on it; empty for none, and for one that is no UTF-8.
  let comment: String
}
