import TensorCore

/// The header of a NumPy array: of a `.npy` file, or of an entry of a `.npz` file.
///
/// Versions 1 to 3 of the format. Arrays of objects are pickles and refused, as are structured types, texts, dates and
/// numbers that checkpoints don't have.
struct NumPyHeader {
  /// The first bytes of every array.
  static let magic: [UInt8] = [0x93] + Array("NUMPY".utf8)
  /// Bytes of the dictionary at most; NumPy's own stay below 200.
  private static let lengthLimit = 65_536

  /// The type of the elements.
  let elementType: ElementType
  /// The extents.
  let shape: Shape
  /// Bytes of the elements.
  let byteCount: Int
  /// True if the first axis varies fastest.
  let isFortranOrder: Bool
  /// True if the bytes of an element stand in the other order.
  let isBigEndian: Bool
  /// The byte at which the elements start.
  let dataOffset: Int

  /// Reads the header of an array.
  ///
  /// - Parameters:
  ///   - place: the file and the array's name, for messages.
  ///   - byteCount: the bytes of the whole array with its header.
  ///   - exactType: what two bytes without a type (`V2`), or one (`V1`), stand for, if that is known.
  ///   - bytes: gives a range of the array's bytes.
  /// - Throws: `EmbedFuseError` (bad data) for what the format forbids or a checkpoint can't hold.
  init(
    _ place: Place, byteCount: Int, exactType: ElementType? = nil,
    bytes: (Range<Int>) throws(EmbedFuseError) -> [UInt8]
  ) throws(EmbedFuseError) {
    let range = try Self.textRange(place, byteCount: byteCount, bytes: bytes)
    dataOffset = range.upperBound
    let members = try Self.members(try bytes(range), place, at: range.lowerBound)
    guard case .text(let description) = members["descr"] else {
      throw place.reject("is of a structured type, but tensors have elements of one type")
    }
    guard case .truth(let isFortranOrder) = members["fortran_order"] else {
      throw place.reject("has a fortran_order that is neither True nor False")
    }
    guard case .extents(let extents) = members["shape"] else {
      throw place.reject("has a shape that is no tuple of extents")
    }
    guard extents.count <= 64 else {
      throw place.reject("has \(extents.count) dimensions, but at most 64 are allowed")
    }
    (elementType, isBigEndian) = try Self.type(description, exactType: exactType, place)
    self.isFortranOrder = isFortranOrder
    guard let shape = Shape(extents) else {
      throw place.reject("has the extents \(extents), \(Shape.excess)")
    }
    guard let size = shape.byteCount(of: elementType) else {
      throw place.reject("has \(shape.elementCount) elements of \(elementType), which don't end at a byte")
    }
    self.shape = shape
    self.byteCount = size
    let available = byteCount - dataOffset
    guard size == available else {
      throw EmbedFuseError(
        .badData,
        "takes \(size) bytes (\(elementType), shape \(shape)), but \(available) follow its header",
        path: place.path, tensor: place.name, offset: range.upperBound,
        remedy: size > available
          ? "the file was cut off; download or copy it again"
          : "the file holds more than one array: save them as .npz, under their names")
    }
  }

  /// Where an array stands.
  struct Place {
    /// The file.
    let path: String
    /// The array's name.
    let name: String

    func reject(_ problem: String, at offset: Int? = nil) -> EmbedFuseError {
      EmbedFuseError(
        .badData, problem, path: path, tensor: name, offset: offset,
        remedy: "check that NumPy wrote this file, and download or copy it again")
    }
  }

  /// Where the dictionary stands, from magic, version and length.
  private static func textRange(
    _ place: Place, byteCount: Int, bytes: (Range<Int>) throws(EmbedFuseError) -> [UInt8]
  ) throws(EmbedFuseError) -> Range<Int> {
    let prefix = try bytes(0..<min(12, byteCount))
    guard prefix.count >= 10, prefix.starts(with: magic) else {
      throw place.reject("does not start as a NumPy array does", at: 0)
    }
    guard (1...3).contains(prefix[6]), prefix[7] == 0 else {
      throw place.reject(
        "is of version \(prefix[6]).\(prefix[7]) of the NumPy format, but only 1.0 to 3.0 are known", at: 6)
    }
    let width = prefix[6] == 1 ? 2 : 4
    guard prefix.count >= 8 + width else { throw place.reject("ends within its header", at: prefix.count) }
    let length = prefix[8..<8 + width].reversed().reduce(0) { $0 << 8 | Int($1) }
    guard length <= lengthLimit else {
      throw place.reject("has a header of \(length) bytes, but at most \(lengthLimit) are allowed", at: 8)
    }
    guard length <= byteCount - 8 - width else {
      throw place.reject(
        "has a header of \(length) bytes, but only \(byteCount - 8 - width) follow", at: 8)
    }
    return 8 + width..<8 + width + length
  }

  /// The three members of the dictionary.
  private static func members(
    _ text: [UInt8], _ place: Place, at offset: Int
  ) throws(EmbedFuseError) -> [String: NumPyLiteral.Value] {
    var literal = NumPyLiteral(text)
    var result: [String: NumPyLiteral.Value] = [:]
    do throws(NumPyLiteral.Problem) {
      for (key, value) in try literal.dictionary() {
        guard ["descr", "fortran_order", "shape"].contains(key) else {
          throw NumPyLiteral.Problem(text: "the header has the unknown key '\(key)'", position: 0)
        }
        result[key] = value
      }
    } catch {
      throw place.reject(error.text, at: offset + error.position)
    }
    // A structured type ends the reading before the other keys.
    guard result.count == 3 || result.values.contains(.structure) else {
      throw place.reject("has a header without descr, fortran_order or shape", at: offset)
    }
    return result
  }

  /// The element type that a description such as `<f4` names, and whether its bytes are in the other order.
  private static func type(
    _ description: String, exactType: ElementType?, _ place: Place
  ) throws(EmbedFuseError) -> (ElementType, isBigEndian: Bool) {
    var code = description[...]
    let order = code.first.flatMap { "<>|=".contains($0) ? $0 : nil }
    if order != nil { code.removeFirst() }
    if let type = NumPyType.type(of: String(code)) {
      guard order != "|" || type.byteWidth == 1 else {
        throw place.reject("is of type \(description), which names no byte order")
      }
      return (type, order == ">" && type.byteWidth != 1)
    }
    if code.first == "V", let exactType, exactType.byteWidth.map({ "V\($0)" }) == String(code),
      order != ">" || exactType.byteWidth == 1
    {
      return (exactType, false)
    }
    let (problem, remedy) = NumPyType.refusal(of: String(code))
    throw EmbedFuseError(
      .badData, "is of NumPy type \(description.printable), \(problem)", path: place.path,
      tensor: place.name, remedy: remedy)
  }
}
