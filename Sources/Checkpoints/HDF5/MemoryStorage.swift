import TensorCore

/// The storage of a small tensor whose values are in memory.
struct MemoryStorage: TensorStorage {
  let values: [UInt8]
  let type: ElementType

  func read(_ range: Range<Int>, into bytes: inout MutableSpan<UInt8>) throws(EmbedFuseError) {
    let start = type.byteCount(ofElements: range.lowerBound)
    for index in start..<type.byteCount(ofElements: range.upperBound) { bytes[index - start] = values[index] }
  }
}
