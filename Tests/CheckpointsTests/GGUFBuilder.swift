@testable import Checkpoints
@testable import TensorCore

/// Puts GGUF files together for tests, byte by byte, without the writer that they test.
struct GGUFBuilder {
  var magic = Array("GGUF".utf8)
  var version: UInt32 = 3
  /// Overrides of the counts, to lie about them.
  var tensorCount: UInt64?
  var pairCount: UInt64?
  /// Key, type and value of each pair.
  var pairs: [(key: [UInt8], type: UInt32, value: [UInt8])] = []
  var tensors: [(name: [UInt8], extents: [UInt64], type: UInt32, offset: UInt64)] = []
  var data: [UInt8] = []
  var alignment = 32

  static func string(_ text: [UInt8]) -> [UInt8] { UInt64(text.count).littleEndianBytes + text }
  static func string(_ text: String) -> [UInt8] { string(Array(text.utf8)) }

  mutating func add(_ key: String, _ type: UInt32, _ value: [UInt8]) {
    pairs.append((Array(key.utf8), type, value))
  }

  /// Adds a tensor whose extents are given fastest first.
  mutating func add(tensor name: String, _ extents: [UInt64], type: UInt32, at offset: UInt64) {
    tensors.append((Array(name.utf8), extents, type, offset))
  }

  /// A file of one F32 tensor of 8 elements.
  static var small: GGUFBuilder {
    var builder = GGUFBuilder()
    builder.add("general.architecture", 8, string("bert"))
    builder.add(tensor: "a", [4, 2], type: 0, at: 0)
    builder.data = (0..<32).map { UInt8($0) }
    return builder
  }

  var bytes: [UInt8] {
    var result = magic + version.littleEndianBytes
    result += (tensorCount ?? UInt64(tensors.count)).littleEndianBytes
    result += (pairCount ?? UInt64(pairs.count)).littleEndianBytes
    for pair in pairs { result += Self.string(pair.key) + pair.type.littleEndianBytes + pair.value }
    for tensor in tensors {
      result += Self.string(tensor.name) + UInt32(tensor.extents.count).littleEndianBytes
      result += tensor.extents.flatMap(\.littleEndianBytes)
      result += tensor.type.littleEndianBytes + tensor.offset.littleEndianBytes
    }
    result += Array(repeating: 0, count: (alignment - result.count % alignment) % alignment)
    return result + data
  }
}
