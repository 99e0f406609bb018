import TensorCore

/// Bytes that can be read by position from several workers at once: a file, a part of one, or what is compressed in it.
protocol ByteSource: Sendable {
  /// How many bytes there are.
  var byteCount: Int { get }

  /// Reads `count` bytes from byte `offset` on into the front of `bytes`. The range lies within `byteCount`.
  ///
  /// - Throws: `EmbedFuseError` where the file can't be read, has become shorter, or doesn't hold what it declares.
  func read(_ count: Int, at offset: Int, into bytes: inout MutableSpan<UInt8>) throws(EmbedFuseError)

  /// True if they stand in the file as they are, so that a short range costs little more than its bytes.
  var isPlain: Bool { get }

  /// Bytes kept in memory at most, counted once for all sources of a file.
  var residentBytes: Int { get }

  /// Bytes that each worker needs at most while it reads.
  var workerBytes: Int { get }
}

extension ByteSource {
  /// False.
  var isPlain: Bool { false }

  /// Nothing.
  var residentBytes: Int { 0 }

  /// Nothing.
  var workerBytes: Int { 0 }

  /// The bytes of a range, in an array of their own.
  func bytes(_ range: Range<Int>) throws(EmbedFuseError) -> [UInt8] {
    precondition(range.lowerBound >= 0 && range.upperBound <= byteCount)
    var result = [UInt8](repeating: 0, count: range.count)
    var span = result.mutableSpan
    try read(range.count, at: range.lowerBound, into: &span)
    return result
  }
}

extension InputFile: ByteSource {
  var isPlain: Bool { true }
}

/// A part of a file as it stands there.
struct FileBytes: ByteSource {
  /// The file.
  let file: InputFile
  /// The file's byte at which the part starts.
  let offset: Int
  let byteCount: Int

  var isPlain: Bool { true }

  func read(_ count: Int, at offset: Int, into bytes: inout MutableSpan<UInt8>) throws(EmbedFuseError) {
    try file.read(count, at: self.offset + offset, into: &bytes)
  }
}

/// The storage of a tensor whose elements stand in a source of bytes as they are: little-endian, row-major.
///
/// It is generic so that, for a file, it fits into an existential without memory of its own.
private struct SourceRegion<Source: ByteSource>: TensorStorage {
  let source: Source
  /// The source's byte at which the first element starts, at any alignment.
  let offset: Int
  let elementType: ElementType

  var readsAnywhere: Bool { source.isPlain }
  var residentBytes: Int { source.residentBytes }
  var workerBytes: Int { source.workerBytes }

  func read(_ range: Range<Int>, into bytes: inout MutableSpan<UInt8>) throws(EmbedFuseError) {
    let start = elementType.byteCount(ofElements: range.lowerBound)
    let end = elementType.byteCount(ofElements: range.upperBound)
    try source.read(end - start, at: offset + start, into: &bytes)
  }
}

extension ByteSource {
  /// The storage of a tensor whose elements stand here as they are, from byte `offset` on, at any alignment: little-endian,
  /// row-major.
  func storage(from offset: Int, elementType: ElementType) -> any TensorStorage {
    SourceRegion(source: self, offset: offset, elementType: elementType)
  }
}

extension Span<UInt8> {
  /// The unsigned integer whose little-endian bytes start at `offset`, which must leave room for it.
  func littleEndian<Integer: FixedWidthInteger & UnsignedInteger>(
    _ type: Integer.Type, at offset: Int
  ) -> Integer {
    var value: Integer = 0
    for index in 0..<Integer.bitWidth / 8 {
      value |= Integer(self[offset + index]) << Integer(8 * index)
    }
    return value
  }
}
