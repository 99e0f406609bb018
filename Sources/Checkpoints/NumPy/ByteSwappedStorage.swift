import TensorCore

/// Reads elements whose bytes stand highest first.
struct ByteSwappedStorage: TensorStorage {
  /// The elements as they stand.
  let stored: any TensorStorage
  /// The type of the elements. The two halves of a complex number are numbers of their own.
  let type: ElementType

  var residentBytes: Int { stored.residentBytes }
  var workerBytes: Int { stored.workerBytes }

  func read(_ range: Range<Int>, into bytes: inout MutableSpan<UInt8>) throws(EmbedFuseError) {
    try stored.read(range, into: &bytes)
    let width = type == .c64 ? 4 : type.byteWidth!
    for start in stride(from: 0, to: type.byteCount(ofElements: range.count), by: width) {
      for index in 0..<width / 2 {
        bytes.swapAt(start + index, start + width - 1 - index)
      }
    }
  }
}
