import TensorCore

/// The header of a safetensors file: an 8-byte little-endian length N, N bytes of JSON, then the data.
///
/// Validated as the reference implementation (safetensors 0.8) does, and more strictly in two points: a tensor
/// name that stands twice, and a tensor described by an array instead of an object, are rejected.
struct SafetensorsHeader {
  /// The longest header that the format allows.
  static let lengthLimit = 100_000_000

  /// A tensor with the first byte of its values, counted from the start of the file.
  struct Entry {
    let info: TensorInfo
    let offset: Int
  }

  /// The tensors in the order of their values.
  let entries: [Entry]
  /// The strings of `__metadata__`.
  let metadata: [String: String]

  /// Reads and validates the header of an open file.
  init(of file: InputFile) throws(EmbedFuseError) {
    let length = try Self.length(of: file)
    let json = try file.withMappedBytes(8..<8 + length) { text throws(EmbedFuseError) in
      try JSON.parse(text, duplicateKeys: .rejectOutside("__metadata__"), path: file.path, offset: 8)
    }
    guard let members = json.objectValue?.members else {
      throw EmbedFuseError(
        .badData, "the header is no JSON object, but a safetensors header names its tensors in one",
        path: file.path,
        offset: 8, remedy: Self.notSafetensors)
    }
    var metadata: [String: String] = [:]
    var ranges: [(info: TensorInfo, begin: Int, end: Int)] = []
    ranges.reserveCapacity(members.count)
    for member in members {
      if member.key == "__metadata__" {
        metadata = try Self.metadata(member.value, path: file.path)
      } else {
        ranges.append(try Self.tensor(member.key, member.value, path: file.path))
      }
    }
    self.metadata = metadata
    entries = try Self.layOut(ranges, dataStart: 8 + length, file: file)
  }

  private static let notSafetensors = "check that this is a safetensors file, and download or copy it again"

  /// The header's length, checked against the file's size.
  private static func length(of file: InputFile) throws(EmbedFuseError) -> Int {
    guard file.byteCount >= 8 else {
      throw EmbedFuseError(
        .badData, "the file has \(file.byteCount) bytes, but the header's length alone takes 8",
        path: file.path,
        remedy: "the file is empty or cut off; download or copy it again")
    }
    let length = try file.bytes(0..<8).reversed().reduce(UInt64(0)) { $0 << 8 | UInt64($1) }
    guard length <= lengthLimit else {
      throw EmbedFuseError(
        .badData, "the header's length is \(length), but at most \(lengthLimit) is allowed", path: file.path,
        offset: 0, remedy: notSafetensors)
    }
    guard Int(length) <= file.byteCount - 8 else {
      throw EmbedFuseError(
        .badData,
        "the header's length is \(length), but only \(file.byteCount - 8) bytes follow it", path: file.path,
        offset: 0,
        remedy: "the file is cut off; download or copy it again")
    }
    return Int(length)
  }

  private static func metadata(_ value: JSON, path: String) throws(EmbedFuseError) -> [String: String] {
    if value == .null { return [:] }
    guard let members = value.objectValue?.members else {
      throw EmbedFuseError(.badData, "__metadata__ is no object of strings", path: path, offset: 8)
    }
    var result: [String: String] = [:]
    for member in members {
      guard let text = member.value.stringValue else {
        throw EmbedFuseError(
          .badData, "__metadata__ has a value for '\(member.key.printable)' that is no string", path: path,
          offset: 8)
      }
      result[member.key] = text
    }
    return result
  }

  /// A tensor's description and the range of its bytes within the data.
  private static func tensor(
    _ name: String, _ value: JSON, path: String
  ) throws(EmbedFuseError) -> (info: TensorInfo, begin: Int, end: Int) {
    func reject(_ problem: String) -> EmbedFuseError {
      EmbedFuseError(.badData, problem, path: path, tensor: name, remedy: notSafetensors)
    }
    guard let entry = value.objectValue else {
      throw reject("is described by something that is no object")
    }
    guard let dtype = entry["dtype"] else { throw reject("has no dtype") }
    guard let typeName = dtype.stringValue, let type = ElementType(name: typeName) else {
      let found = dtype.stringValue?.printable ?? dtype.compactText
      throw reject(
        "has the unknown dtype \(found); known are \(ElementType.allCases.map(\.name).joined(separator: ", "))"
      )
    }
    guard let dimensions = entry["shape"] else { throw reject("has no shape") }
    guard let extents = unsignedIntegers(dimensions) else {
      throw reject("has the shape \(dimensions.compactText), which is no array of unsigned integers")
    }
    guard let offsets = entry["data_offsets"] else { throw reject("has no data_offsets") }
    guard let bounds = unsignedIntegers(offsets), bounds.count == 2 else {
      throw reject("has the data_offsets \(offsets.compactText), which are not two unsigned integers")
    }
    guard let shape = Shape(extents), let bits = shape.bitCount(of: type) else {
      throw reject("has the shape \(dimensions.compactText), whose size in memory overflows")
    }
    guard bits % 8 == 0, let info = TensorInfo(name: name, elementType: type, shape: shape) else {
      throw reject("has \(bits) bits (\(type), shape \(shape)), which don't end at a byte")
    }
    guard let begin = Int(exactly: bounds[0]), let end = Int(exactly: bounds[1]), begin <= end else {
      throw reject("has the data_offsets \(offsets.compactText), which are no range")
    }
    return (info, begin, end)
  }

  private static func unsignedIntegers(_ value: JSON) -> [UInt]? {
    guard let elements = value.arrayValue else { return nil }
    var result: [UInt] = []
    for element in elements {
      guard case .number(let text) = element, !text.hasPrefix("-"), let integer = UInt(text) else {
        return nil
      }
      result.append(integer)
    }
    return result
  }

  /// Puts the tensors in order and checks that they cover the data without gap or overlap.
  private static func layOut(
    _ ranges: [(info: TensorInfo, begin: Int, end: Int)], dataStart: Int, file: InputFile
  ) throws(EmbedFuseError) -> [Entry] {
    var position = 0
    var entries: [Entry] = []
    entries.reserveCapacity(ranges.count)
    for (info, begin, end) in ranges.sorted(by: { ($0.begin, $0.end) < ($1.begin, $1.end) }) {
      guard begin == position else {
        let what =
          begin < position ? "overlaps the tensor before it" : "leaves a gap of \(begin - position) bytes"
        throw EmbedFuseError(
          .badData, "begins at data byte \(begin), where \(position) is expected: it \(what)",
          path: file.path,
          tensor: info.name, remedy: notSafetensors)
      }
      guard end - begin == info.byteCount else {
        throw EmbedFuseError(
          .badData,
          "takes \(end - begin) bytes, but \(info.elementType) of shape \(info.shape) takes \(info.byteCount)",
          path: file.path, tensor: info.name, remedy: notSafetensors)
      }
      entries.append(Entry(info: info, offset: dataStart + begin))
      position = end
    }
    let available = file.byteCount - dataStart
    guard position == available else {
      throw EmbedFuseError(
        .badData,
        position > available
          ? "the tensors take \(position) bytes, but the file ends after \(available): \(position - available) are missing"
          : "\(available - position) bytes follow the last tensor", path: file.path,
        offset: dataStart + min(position, available),
        remedy: "the file was cut off or added to; download or copy it again")
    }
    return entries
  }
}
