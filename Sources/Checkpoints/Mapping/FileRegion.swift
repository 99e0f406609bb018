import TensorCore

/// The storage of a tensor whose elements stand in a file as they are: little-endian, row-major, at any
/// alignment.
public struct FileRegion: TensorStorage {
  /// The file.
  public let file: InputFile
  /// The file's byte at which the first element starts.
  public let offset: Int
  /// The type of the elements.
  public let elementType: ElementType

  /// Elements of a type from a byte of a file on.
  public init(file: InputFile, offset: Int, elementType: ElementType) {
    self.file = file
    self.offset = offset
    self.elementType = elementType
  }

  /// True.
  public var readsAnywhere: Bool { true }

  /// Reads the elements with one positioned read.
  public func read(_ range: Range<Int>, into bytes: inout MutableSpan<UInt8>) throws(EmbedFuseError) {
    let start = elementType.byteCount(ofElements: range.lowerBound)
    let end = elementType.byteCount(ofElements: range.upperBound)
    try file.read(end - start, at: offset + start, into: &bytes)
  }
}
