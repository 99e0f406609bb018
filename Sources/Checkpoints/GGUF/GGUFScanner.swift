import TensorCore

/// Reads the header of a GGUF file from front to back; every length is checked against the bytes that are left.
struct GGUFScanner {
  /// The types of metadata values, by their numbers.
  enum ValueType: UInt32 {
    case u8, i8, u16, i16, u32, i32, f32, bool, string, array, u64, i64, f64

    /// Bytes of one value; nil for strings and arrays.
    var width: Int? {
      switch self {
      case .u8, .i8, .bool: 1
      case .u16, .i16: 2
      case .u32, .i32, .f32: 4
      case .u64, .i64, .f64: 8
      case .string, .array: nil
      }
    }

    /// The name in the format's specification.
    var name: String {
      switch self {
      case .u8: "UINT8"
      case .i8: "INT8"
      case .u16: "UINT16"
      case .i16: "INT16"
      case .u32: "UINT32"
      case .i32: "INT32"
      case .f32: "FLOAT32"
      case .bool: "BOOL"
      case .string: "STRING"
      case .array: "ARRAY"
      case .u64: "UINT64"
      case .i64: "INT64"
      case .f64: "FLOAT64"
      }
    }
  }

  /// Bytes of a key or a tensor's name at most.
  private static let nameLimit = 65_535
  /// Arrays within arrays at most.
  private static let depthLimit = 8

  /// The file, for messages.
  let path: String
  /// The next byte to read.
  private(set) var position = 0

  /// An error about what stands at the current position.
  func reject(_ problem: String, at offset: Int? = nil, tensor: String? = nil) -> EmbedFuseError {
    EmbedFuseError(
      .badData, problem, path: path, tensor: tensor, offset: offset ?? position,
      remedy: "check that this is a GGUF file, and download or copy it again")
  }

  /// Passes over bytes.
  mutating func skip(_ count: Int, _ what: String, in bytes: Span<UInt8>) throws(EmbedFuseError) {
    guard count <= bytes.count - position else {
      throw reject("\(what) takes \(count) bytes, but the file ends after \(bytes.count - position)")
    }
    position += count
  }

  /// An unsigned integer of `width` bytes, little-endian.
  mutating func integer(
    _ width: Int, _ what: String, in bytes: Span<UInt8>
  ) throws(EmbedFuseError) -> UInt64 {
    let start = position
    try skip(width, what, in: bytes)
    var value: UInt64 = 0
    for index in 0..<width { value |= UInt64(bytes[start + index]) << UInt64(8 * index) }
    return value
  }

  /// An unsigned integer of 32 bits.
  mutating func word(_ what: String, in bytes: Span<UInt8>) throws(EmbedFuseError) -> UInt32 {
    UInt32(try integer(4, what, in: bytes))
  }

  /// A count of things that take at least `size` bytes each, so that no more than the file holds are believed.
  mutating func count(
    _ what: String, ofAtLeast size: Int, in bytes: Span<UInt8>
  ) throws(EmbedFuseError) -> Int {
    let start = position
    let count = try integer(8, "the number of \(what)", in: bytes)
    guard count <= UInt64((bytes.count - position) / size) else {
      throw reject(
        "the number of \(what) is \(count), more than \(bytes.count - position) bytes can hold", at: start)
    }
    return Int(count)
  }

  /// A string: its length and its UTF-8.
  mutating func string(
    _ what: String, limit: Int = .max, in bytes: Span<UInt8>
  ) throws(EmbedFuseError) -> String {
    let start = position
    let length = try count("bytes of \(what)", ofAtLeast: 1, in: bytes)
    guard length <= limit else {
      throw reject("\(what) has \(length) bytes, but at most \(limit) are allowed", at: start)
    }
    let text = bytes.extracting(position..<position + length)
    position += length
    do {
      return String(copying: try UTF8Span(validating: text))
    } catch {
      throw reject("\(what) is not UTF-8", at: start)
    }
  }

  /// A key or a tensor's name.
  mutating func name(_ what: String, in bytes: Span<UInt8>) throws(EmbedFuseError) -> String {
    try string(what, limit: Self.nameLimit, in: bytes)
  }

  /// The type of a value or of an array's items.
  mutating func valueType(of what: String, in bytes: Span<UInt8>) throws(EmbedFuseError) -> ValueType {
    let start = position
    let number = try word("the type of \(what)", in: bytes)
    guard let type = ValueType(rawValue: number) else {
      throw reject("\(what) has the unknown value type \(number); known are 0 to 12", at: start)
    }
    return type
  }

  /// Passes over an array and tells the type and the number of its items. Arrays in it are passed over as well,
  /// without recursion.
  mutating func skipArray(
    of key: String, in bytes: Span<UInt8>
  ) throws(EmbedFuseError) -> (items: ValueType, count: Int) {
    let outer = try arrayHeader(of: key, in: bytes)
    // The arrays left to read at each depth.
    var pending: [Int] = []
    try skipItems(outer, of: key, pending: &pending, in: bytes)
    while let left = pending.last {
      guard left > 0 else {
        pending.removeLast()
        continue
      }
      pending[pending.count - 1] = left - 1
      try skipItems(try arrayHeader(of: key, in: bytes), of: key, pending: &pending, in: bytes)
    }
    return outer
  }

  private mutating func arrayHeader(
    of key: String, in bytes: Span<UInt8>
  ) throws(EmbedFuseError) -> (items: ValueType, count: Int) {
    let type = try valueType(of: "items of \(key.printable)", in: bytes)
    let count = try count("items of \(key.printable)", ofAtLeast: type.width ?? 8, in: bytes)
    return (type, count)
  }

  private mutating func skipItems(
    _ array: (items: ValueType, count: Int), of key: String, pending: inout [Int], in bytes: Span<UInt8>
  ) throws(EmbedFuseError) {
    if let width = array.items.width {
      // The count was checked to fit.
      try skip(array.count * width, "an array of \(key.printable)", in: bytes)
    } else if array.items == .string {
      for _ in 0..<array.count {
        let length = try count("bytes of a string of \(key.printable)", ofAtLeast: 1, in: bytes)
        try skip(length, "a string of \(key.printable)", in: bytes)
      }
    } else {
      guard pending.count < Self.depthLimit else {
        throw reject("\(key.printable) nests arrays deeper than \(Self.depthLimit) levels")
      }
      pending.append(array.count)
    }
  }
}
