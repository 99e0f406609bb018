import Kernels
import TensorCore

/// What an adapter adds to one weight: scale·B·A, or its transpose where the weight stands as [in, out].
struct LowRankUpdate: Sendable {
  /// A: [rank, in].
  let a: StoredTensor
  /// B: [out, rank].
  let b: StoredTensor
  /// The rank.
  let rank: Int
  /// What the product is multiplied by.
  let scale: Double
  /// True if the weight is [in, out]: GPT-2's linear layers, and embeddings.
  let isTransposed: Bool
  /// DoRA's magnitude for each output; nil for plain LoRA.
  let magnitudes: StoredTensor?

  /// The rows of the weight.
  var rowCount: Int { (isTransposed ? a : b).info.shape.elementCount / rank }
  /// The columns of the weight.
  var columnCount: Int { (isTransposed ? b : a).info.shape.elementCount / rank }

  /// The rows of the left factor for some rows of the weight: `rank` values each.
  func left(_ rows: Range<Int>) throws(EmbedFuseError) -> [Double] {
    guard isTransposed else { return try b.widened(rows.lowerBound * rank..<rows.upperBound * rank) }
    var result = Array(repeating: 0.0, count: rows.count * rank)
    for k in 0..<rank {
      let start = k * rowCount
      let values = try a.widened(start + rows.lowerBound..<start + rows.upperBound)
      for i in values.indices { result[i * rank + k] = values[i] }
    }
    return result
  }

  /// The right factor: `rank` rows of `columnCount` values.
  func right() throws(EmbedFuseError) -> [Double] {
    let columns = columnCount
    guard isTransposed else { return try a.widened(0..<rank * columns) }
    var result = Array(repeating: 0.0, count: rank * columns)
    let step = max(1, BlockGrid.blockLength / rank)
    for start in stride(from: 0, to: columns, by: step) {
      let end = min(start + step, columns)
      let values = try b.widened(start * rank..<end * rank)
      for i in values.indices { result[i % rank * columns + start + i / rank] = values[i] }
    }
    return result
  }
}

extension StoredTensor {
  /// The values of some elements.
  func widened(_ range: Range<Int>) throws(EmbedFuseError) -> [Double] {
    var bytes = Array(repeating: UInt8(0), count: info.elementType.byteCount(ofElements: range.count))
    var target = bytes.mutableSpan
    try storage.read(range, into: &target)
    var values = Array(repeating: 0.0, count: range.count)
    var span = values.mutableSpan
    _ = widen(bytes.span, as: info.elementType, into: &span)
    return values
  }
}
