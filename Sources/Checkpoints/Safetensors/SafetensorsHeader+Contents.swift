import TensorCore

extension SafetensorsHeader {
  /// A tensor with the range of its bytes within the data, which may reach beyond the file.
  struct PlacedTensor {
    let info: TensorInfo
    let begin: Int
    let end: Int
  }

  /// What the header's text says, in its order.
  static func contents(
    of text: Span<UInt8>, path: String
  ) throws(EmbedFuseError) -> (tensors: [PlacedTensor], metadata: [String: String]) {
    var tensors: [PlacedTensor] = []
    var metadata: [String: String] = [:]
    var names: Set<ExactString> = []
    var scanner = JSONScanner(path: path, fileOffset: 8)
    do throws(EmbedFuseError) {
      try scanner.beginObject(text)
      while let name = try scanner.nextKey(text) {
        let offset = scanner.keyOffset
        guard names.insert(ExactString(name)).inserted else { throw scanner.duplicateKey(name, at: offset) }
        if name == "__metadata__" {
          let value = try JSON.value(&scanner, text, .lastWins)
          metadata = try Self.metadata(value, path: path, offset: 8 + offset)
        } else {
          let value = try JSON.value(&scanner, text, .reject)
          tensors.append(try tensor(name, value, path: path, offset: 8 + offset))
        }
      }
      try scanner.end(text)
    } catch {
      var error = error
      error.remedy = error.remedy ?? notSafetensors
      throw error
    }
    try EmbedFuseError.checkComposition(of: tensors.map(\.info.name), path: path)
    return (tensors, metadata)
  }

  /// The strings of `__metadata__`; null counts as none.
  private static func metadata(
    _ value: JSON, path: String, offset: Int
  ) throws(EmbedFuseError) -> [String: String] {
    if value == .null { return [:] }
    guard let members = value.objectValue?.members else {
      throw EmbedFuseError(.badData, "__metadata__ is no object of strings", path: path, offset: offset)
    }
    try EmbedFuseError.checkComposition(of: members.map(\.key), path: path)
    var result: [String: String] = [:]
    for member in members {
      guard let text = member.value.stringValue else {
        throw EmbedFuseError(
          .badData, "__metadata__ has a value for '\(member.key.printable)' that is no string", path: path,
          offset: offset)
      }
      result[member.key] = text
    }
    return result
  }

  /// A tensor's description and the range of its bytes within the data.
  private static func tensor(
    _ name: String, _ value: JSON, path: String, offset: Int
  ) throws(EmbedFuseError) -> PlacedTensor {
    func reject(_ problem: String) -> EmbedFuseError {
      EmbedFuseError(.badData, problem, path: path, tensor: name, offset: offset)
    }
    guard let entry = value.objectValue else {
      throw reject("is described by something that is no object")
    }
    guard let dtype = entry["dtype"] else { throw reject("has no dtype") }
    guard let typeName = dtype.stringValue, let type = ElementType(name: typeName) else {
      throw reject(
        "has the unknown dtype \(dtype.excerpt); known are \(ElementType.allCases.map(\.name).joined(separator: ", "))"
      )
    }
    guard let dimensions = entry["shape"] else { throw reject("has no shape") }
    guard let extents = unsignedIntegers(dimensions) else {
      throw reject("has the shape \(dimensions.excerpt), which is no array of unsigned integers")
    }
    guard let offsets = entry["data_offsets"] else { throw reject("has no data_offsets") }
    guard let bounds = unsignedIntegers(offsets), bounds.count == 2 else {
      throw reject("has the data_offsets \(offsets.excerpt), which are not two unsigned integers")
    }
    guard let shape = Shape(extents) else {
      throw reject("has the shape \(dimensions.excerpt), \(Shape.excess)")
    }
    guard let info = TensorInfo(name: name, elementType: type, shape: shape) else {
      throw reject(
        "has \(shape.bitCount(of: type)) bits (\(type), shape \(shape)), which don't end at a byte")
    }
    guard let begin = Int(exactly: bounds[0]), let end = Int(exactly: bounds[1]), begin <= end else {
      throw reject("has the data_offsets \(offsets.excerpt), which are no range")
    }
    return PlacedTensor(info: info, begin: begin, end: end)
  }

  private static func unsignedIntegers(_ value: JSON) -> [UInt]? {
    guard let elements = value.arrayValue else { return nil }
    var result: [UInt] = []
    result.reserveCapacity(elements.count)
    for element in elements {
      guard case .number(let text) = element, !text.hasPrefix("-"), let integer = UInt(text) else {
        return nil
      }
      result.append(integer)
    }
    return result
  }
}
