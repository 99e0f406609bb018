import TensorCore

/// A block of ggml's Q8_0: 32 elements as a scale d in F16 and 32 signed bytes q; each element is d·q.
enum Q8Block {
  /// Elements of a block.
  static let length = 32
  /// Bytes of a block.
  static let byteCount = 34

  /// Writes some elements of the block at `offset` of `blocks` to `target` as F32, from byte `position` on. The
  /// products are exact.
  static func dequantize(
    _ blocks: Span<UInt8>, at offset: Int, elements: Range<Int>, into target: inout MutableSpan<UInt8>,
    at position: Int
  ) {
    let scale = Float(Float16(bitPattern: UInt16(blocks[offset]) | UInt16(blocks[offset + 1]) << 8))
    var position = position
    for element in elements {
      let bits = (scale * Float(Int8(bitPattern: blocks[offset + 2 + element]))).bitPattern
      for byte in 0..<4 { target[position + byte] = UInt8(truncatingIfNeeded: bits >> (8 * byte)) }
      position += 4
    }
  }

  /// Quantises the 32 values from `start` on as ggml's reference does: d = max|x| / 127 in F32, stored rounded to F16;
  /// q = x·(1/d), rounded to nearest, ties away from zero.
  static func quantize(
    _ values: Span<Float>, at start: Int, into target: inout MutableSpan<UInt8>, at position: Int
  ) {
    var largest: Float = 0
    for index in start..<start + length { largest = max(largest, values[index].magnitude) }
    let scale = largest / 127
    let inverse = scale == 0 ? 0 : 1 / scale
    let bits = Float16(scale).bitPattern
    target[position] = UInt8(truncatingIfNeeded: bits)
    target[position + 1] = UInt8(bits >> 8)
    for index in 0..<length {
      let rounded = (values[start + index] * inverse).rounded(.toNearestOrAwayFromZero)
      // A value that isn't finite, and an inverse that overflows, give what no byte holds: the nearest that one does.
      let value = rounded.isNaN ? 0 : Int8(max(-127, min(127, rounded)))
      target[position + 2 + index] = UInt8(bitPattern: value)
    }
  }
}

/// The storage of a tensor in Q8_0, read as F32.
struct Q8Storage: TensorStorage {
  let file: InputFile
  /// The file's byte at which the first block starts.
  let offset: Int

  func read(_ range: Range<Int>, into bytes: inout MutableSpan<UInt8>) throws(EmbedFuseError) {
    guard !range.isEmpty else { return }
    let first = range.lowerBound / Q8Block.length
    let last = (range.upperBound - 1) / Q8Block.length
    let start = offset + first * Q8Block.byteCount
    let stored = try file.bytes(start..<start + (last - first + 1) * Q8Block.byteCount)
    let blocks = stored.span
    for block in first...last {
      let elements = range.clamped(to: block * Q8Block.length..<(block + 1) * Q8Block.length)
      Q8Block.dequantize(
        blocks, at: (block - first) * Q8Block.byteCount,
        elements: elements.lowerBound - block * Q8Block.length..<elements.upperBound - block * Q8Block.length,
        into: &bytes, at: 4 * (elements.lowerBound - range.lowerBound))
    }
  }
}
