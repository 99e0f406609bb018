import TensorCore

/// The storage of a tensor of which no value was written: every element is the same.
struct ConstantStorage: TensorStorage {
  /// One element as it is stored; whole bytes for packed types.
  let element: [UInt8]
  let type: ElementType

  func read(_ range: Range<Int>, into bytes: inout MutableSpan<UInt8>) throws(EmbedFuseError) {
    let start = type.byteCount(ofElements: range.lowerBound)
    for index in start..<type.byteCount(ofElements: range.upperBound) {
      bytes[index - start] = element[index % element.count]
    }
  }
}
