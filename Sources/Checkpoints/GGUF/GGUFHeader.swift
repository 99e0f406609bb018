import TensorCore

/// The header of a GGUF file, version 2 or 3: key-value pairs, then where each tensor stands.
///
/// Checked as ggml does (`gguf.cpp`), except that gaps between tensors and trailing bytes are let through.
struct GGUFHeader {
  /// Multiples at which tensors may be asked to start.
  private static let alignmentLimit = 1 << 20

  /// One key with its value.
  struct KeyValue {
    let key: String
    /// The type's number and the value as they stand in the file.
    let range: Range<Int>
    /// The value for people to read; of a long array, its size.
    let text: String
  }

  /// A tensor and where it stands.
  struct Entry {
    let info: TensorInfo
    let type: GGMLType
    /// The first byte, counted from the start of the file.
    let offset: Int
    /// The bytes that it takes there.
    let byteCount: Int
  }

  /// A tensor as the header describes it.
  struct Description {
    let name: String
    let shape: Shape
    let type: UInt32
    /// The first byte, counted from the start of the data.
    let offset: UInt64
    /// Where the description stands in the file.
    let position: Int
  }

  /// The key-value pairs in the file's order.
  let keyValues: [KeyValue]
  /// The tensors in the order of their values.
  let entries: [Entry]
  /// What every tensor's offset is a multiple of.
  let alignment: Int
  /// The first byte of the data.
  let dataStart: Int
  /// The tensors of quantised types that can't be read, a line for each type: only where the file is described.
  let unreadable: [String]

  /// Reads and checks the header of an open file.
  ///
  /// - Parameter describing: true to list tensors of quantised types that can't be read instead of refusing them.
  /// - Throws: `EmbedFuseError` (bad data) for what the format forbids and for quantised types that can't be read.
  init(of file: InputFile, describing: Bool = false) throws(EmbedFuseError) {
    let path = file.path
    let contents = try file.withMappedBytes(0..<file.byteCount) { bytes throws(EmbedFuseError) in
      var scanner = GGUFScanner(path: path)
      let (tensorCount, pairCount) = try Self.counts(&scanner, bytes)
      let pairs = try Self.keyValues(pairCount, &scanner, bytes)
      let tensors = try Self.descriptions(tensorCount, &scanner, bytes)
      return (pairs: pairs.all, alignment: pairs.alignment, tensors: tensors, end: scanner.position)
    }
    keyValues = contents.pairs
    alignment = contents.alignment
    dataStart = (contents.end + alignment - 1) / alignment * alignment
    unreadable = Self.unreadable(contents.tensors)
    guard unreadable.isEmpty || describing else { throw Self.refusal(unreadable, path: path) }
    entries = try Self.layOut(
      contents.tensors.filter { GGMLType.name(ofUnreadable: $0.type) == nil }, dataStart: dataStart,
      alignment: contents.alignment, file: file)
  }

  /// Checks magic and version; returns the numbers of tensors and of key-value pairs.
  private static func counts(
    _ scanner: inout GGUFScanner, _ bytes: Span<UInt8>
  ) throws(EmbedFuseError) -> (tensors: Int, pairs: Int) {
    let magic = try scanner.word("the magic number", in: bytes)
    guard magic == 0x4655_4747 else {
      throw scanner.reject("the file does not start with 'GGUF'", at: 0)
    }
    let version = try scanner.word("the version", in: bytes)
    guard version == 2 || version == 3 else {
      if [1, 2, 3].contains(version.byteSwapped) {
        throw EmbedFuseError(
          .badData, "is a big-endian GGUF file, but only little-endian ones can be read", path: scanner.path,
          offset: 4, remedy: "convert it with gguf_convert_endian.py of llama.cpp")
      }
      throw EmbedFuseError(
        .badData, "is of GGUF version \(version), but only 2 and 3 can be read", path: scanner.path,
        offset: 4,
        remedy: "convert the model again with a current llama.cpp")
    }
    // A tensor takes a name's length, a rank, a type and an offset; a pair a key's length, a type and a value.
    let tensors = try scanner.count("tensors", ofAtLeast: 24, in: bytes)
    let pairs = try scanner.count("key-value pairs", ofAtLeast: 13, in: bytes)
    return (tensors, pairs)
  }

  /// The key-value pairs, and the alignment that they ask for.
  private static func keyValues(
    _ count: Int, _ scanner: inout GGUFScanner, _ bytes: Span<UInt8>
  ) throws(EmbedFuseError) -> (all: [KeyValue], alignment: Int) {
    var result: [KeyValue] = []
    var keys: Set<ExactString> = []
    var alignment = 32
    for _ in 0..<count {
      let start = scanner.position
      let key = try scanner.name("a key", in: bytes)
      guard keys.insert(ExactString(key)).inserted else {
        throw scanner.reject("the key \(key.printable) stands here for the second time", at: start)
      }
      let valueStart = scanner.position
      let type = try scanner.valueType(of: key.printable, in: bytes)
      let text = try value(of: key, type, &scanner, bytes)
      if key == "general.alignment" {
        guard type == .u32, let number = Int(text), number > 0, number <= alignmentLimit,
          number & (number - 1) == 0
        else {
          throw scanner.reject(
            "general.alignment is \(text.printable) (\(type.name)), but a UINT32 is expected that is a power of two up to \(alignmentLimit)",
            at: start)
        }
        alignment = number
      }
      result.append(KeyValue(key: key, range: valueStart..<scanner.position, text: text))
    }
    return (result, alignment)
  }

  /// Passes over a value and tells it as text.
  private static func value(
    of key: String, _ type: GGUFScanner.ValueType, _ scanner: inout GGUFScanner, _ bytes: Span<UInt8>
  ) throws(EmbedFuseError) -> String {
    switch type {
    case .string: return try scanner.string("the value of \(key.printable)", in: bytes)
    case .array:
      let array = try scanner.skipArray(of: key, in: bytes)
      return "\(array.count) items of \(array.items.name)"
    default:
      let start = scanner.position
      let bits = try scanner.integer(type.width!, "the value of \(key.printable)", in: bytes)
      switch type {
      case .bool:
        guard bits <= 1 else {
          throw scanner.reject("the truth value of \(key.printable) is \(bits)", at: start)
        }
        return bits == 1 ? "true" : "false"
      case .i8: return String(Int8(truncatingIfNeeded: bits))
      case .i16: return String(Int16(truncatingIfNeeded: bits))
      case .i32: return String(Int32(truncatingIfNeeded: bits))
      case .i64: return String(Int64(truncatingIfNeeded: bits))
      case .f32: return String(Float(bitPattern: UInt32(bits)))
      case .f64: return String(Double(bitPattern: bits))
      default: return String(bits)
      }
    }
  }

  /// The tensors' descriptions.
  private static func descriptions(
    _ count: Int, _ scanner: inout GGUFScanner, _ bytes: Span<UInt8>
  ) throws(EmbedFuseError) -> [Description] {
    var result: [Description] = []
    var names: Set<ExactString> = []
    for _ in 0..<count {
      let position = scanner.position
      let name = try scanner.name("a tensor's name", in: bytes)
      guard names.insert(ExactString(name)).inserted else {
        throw scanner.reject("stands here for the second time", at: position, tensor: name)
      }
      let rank = try scanner.word("a tensor's rank", in: bytes)
      guard rank <= 4 else {
        throw scanner.reject(
          "has \(rank) dimensions, but GGUF allows at most 4", at: position, tensor: name)
      }
      var extents: [UInt] = []
      for _ in 0..<rank { extents.append(UInt(try scanner.integer(8, "a tensor's extent", in: bytes))) }
      // The format lists the fastest axis first.
      guard let shape = Shape(extents.reversed()) else {
        throw scanner.reject("has the extents \(extents), \(Shape.excess)", at: position, tensor: name)
      }
      let type = try scanner.word("a tensor's type", in: bytes)
      let offset = try scanner.integer(8, "a tensor's offset", in: bytes)
      result.append(
        Description(name: name, shape: shape, type: type, offset: offset, position: position))
    }
    try EmbedFuseError.checkComposition(of: result.lazy.map(\.name), path: scanner.path)
    return result
  }
}
