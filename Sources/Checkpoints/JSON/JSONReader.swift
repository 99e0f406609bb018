import TensorCore

extension JSON {
  /// The deepest nesting that is read.
  public static let depthLimit = 128

  /// What to do about an object that has a key twice.
  public enum DuplicateKeys: Sendable, Hashable {
    /// Reject the text.
    case reject
    /// Reject the text, but take the last value within the member of the outermost object that has this key.
    case rejectOutside(String)
    /// Take the last value, as most readers do.
    case lastWins
  }

  /// Reads one value that makes up the whole text but for white space, as strictly as RFC 8259 has it.
  ///
  /// - Parameters:
  ///   - path: the file's name, for messages.
  ///   - offset: the file's byte at which the text starts, for messages.
  /// - Throws: `EmbedFuseError` (bad data) naming the byte: anything that isn't JSON, text that isn't UTF-8,
  ///   lone surrogates, nesting deeper than `depthLimit`, and duplicate keys unless they are allowed.
  public static func parse(
    _ text: Span<UInt8>, duplicateKeys: DuplicateKeys = .reject, path: String? = nil, offset: Int = 0
  ) throws(EmbedFuseError) -> JSON {
    var position = 0
    let reader = JSONReader(duplicateKeys: duplicateKeys, path: path, offset: offset)
    let value = try reader.value(text, &position, depth: 0, within: nil)
    reader.skipSpace(text, &position)
    guard position == text.count else {
      throw reader.error("there is more after the end of the JSON value", at: position)
    }
    return value
  }

  /// Reads one value from a string.
  public static func parse(_ text: String, duplicateKeys: DuplicateKeys = .reject) throws(EmbedFuseError)
    -> JSON
  {
    let bytes = Array(text.utf8)
    return try parse(bytes.span, duplicateKeys: duplicateKeys)
  }
}

/// The reader's settings; `member` is the key of the outermost object's member that is being read. The position is passed along, and recursion is bounded by `JSON.depthLimit`.
private struct JSONReader {
  let duplicateKeys: JSON.DuplicateKeys
  let path: String?
  let offset: Int

  func error(_ problem: String, at position: Int) -> EmbedFuseError {
    EmbedFuseError(.badData, "invalid JSON: \(problem)", path: path, offset: offset + position)
  }

  func skipSpace(_ text: Span<UInt8>, _ position: inout Int) {
    while position < text.count, text[position] == 0x20 || (0x9...0xD).contains(text[position]) {
      guard text[position] != 0xB, text[position] != 0xC else { return }
      position += 1
    }
  }

  /// The byte at the position, after white space.
  func next(_ text: Span<UInt8>, _ position: inout Int) throws(EmbedFuseError) -> UInt8 {
    skipSpace(text, &position)
    guard position < text.count else { throw error("the text ends too early", at: position) }
    return text[position]
  }

  func value(_ text: Span<UInt8>, _ position: inout Int, depth: Int, within member: String?)
    throws(EmbedFuseError) -> JSON
  {
    guard depth <= JSON.depthLimit else {
      throw error("values are nested deeper than \(JSON.depthLimit)", at: position)
    }
    switch try next(text, &position) {
    case UInt8(ascii: "{"): return .object(try object(text, &position, depth: depth, within: member))
    case UInt8(ascii: "["): return .array(try array(text, &position, depth: depth, within: member))
    case UInt8(ascii: "\""): return .string(try string(text, &position))
    case UInt8(ascii: "t"): return try literal("true", .bool(true), text, &position)
    case UInt8(ascii: "f"): return try literal("false", .bool(false), text, &position)
    case UInt8(ascii: "n"): return try literal("null", .null, text, &position)
    case UInt8(ascii: "-"), UInt8(ascii: "0")...UInt8(ascii: "9"): return .number(try number(text, &position))
    default: throw error("a value is expected here", at: position)
    }
  }

  private func literal(
    _ word: StaticString, _ value: JSON, _ text: Span<UInt8>, _ position: inout Int
  ) throws(EmbedFuseError) -> JSON {
    for (index, byte) in word.description.utf8.enumerated() {
      guard position + index < text.count, text[position + index] == byte else {
        throw error("a value is expected here", at: position)
      }
    }
    position += word.utf8CodeUnitCount
    return value
  }

  private func rejectsDuplicates(within member: String?) -> Bool {
    switch duplicateKeys {
    case .reject: true
    case .rejectOutside(let exempt): member != exempt
    case .lastWins: false
    }
  }

  private func object(
    _ text: Span<UInt8>, _ position: inout Int, depth: Int, within member: String?
  ) throws(EmbedFuseError) -> JSON.Object {
    var object = JSON.Object()
    position += 1
    if try next(text, &position) == UInt8(ascii: "}") {
      position += 1
      return object
    }
    while true {
      guard try next(text, &position) == UInt8(ascii: "\"") else {
        throw error("a key in quotes is expected here", at: position)
      }
      let start = position
      let key = try string(text, &position)
      if object[key] != nil, rejectsDuplicates(within: member) {
        throw error("the key '\(key.printable)' stands here for the second time", at: start)
      }
      guard try next(text, &position) == UInt8(ascii: ":") else {
        throw error("':' is expected here", at: position)
      }
      position += 1
      object[key] = try value(text, &position, depth: depth + 1, within: depth == 0 ? key : member)
      switch try next(text, &position) {
      case UInt8(ascii: ","): position += 1
      case UInt8(ascii: "}"):
        position += 1
        return object
      default: throw error("',' or '}' is expected here", at: position)
      }
    }
  }

  private func array(
    _ text: Span<UInt8>, _ position: inout Int, depth: Int, within member: String?
  ) throws(EmbedFuseError) -> [JSON] {
    var elements: [JSON] = []
    position += 1
    if try next(text, &position) == UInt8(ascii: "]") {
      position += 1
      return elements
    }
    while true {
      elements.append(try value(text, &position, depth: depth + 1, within: member))
      switch try next(text, &position) {
      case UInt8(ascii: ","): position += 1
      case UInt8(ascii: "]"):
        position += 1
        return elements
      default: throw error("',' or ']' is expected here", at: position)
      }
    }
  }

  private func number(_ text: Span<UInt8>, _ position: inout Int) throws(EmbedFuseError) -> String {
    let start = position
    func isDigit(_ at: Int) -> Bool { at < text.count && (0x30...0x39).contains(text[at]) }
    if text[position] == UInt8(ascii: "-") { position += 1 }
    guard isDigit(position) else { throw error("a digit is expected here", at: position) }
    if text[position] == UInt8(ascii: "0"), isDigit(position + 1) {
      throw error("a number doesn't start with 0", at: position)
    }
    while isDigit(position) { position += 1 }
    if position < text.count, text[position] == UInt8(ascii: ".") {
      position += 1
      guard isDigit(position) else { throw error("a digit is expected here", at: position) }
      while isDigit(position) { position += 1 }
    }
    if position < text.count, text[position] | 0x20 == UInt8(ascii: "e") {
      position += 1
      if position < text.count, text[position] == UInt8(ascii: "+") || text[position] == UInt8(ascii: "-") {
        position += 1
      }
      guard isDigit(position) else { throw error("a digit is expected here", at: position) }
      while isDigit(position) { position += 1 }
    }
    var result = ""
    for index in start..<position { result.unicodeScalars.append(Unicode.Scalar(text[index])) }
    return result
  }

  /// Reads a string; the position is at its opening quote.
  private func string(_ text: Span<UInt8>, _ position: inout Int) throws(EmbedFuseError) -> String {
    let start = position
    position += 1
    var bytes: [UInt8] = []
    while true {
      guard position < text.count else { throw error("a string doesn't end", at: start) }
      let byte = text[position]
      position += 1
      switch byte {
      case UInt8(ascii: "\""):
        guard let string = String(validating: bytes, as: UTF8.self) else {
          throw error("a string isn't valid UTF-8", at: start)
        }
        return string
      case UInt8(ascii: "\\"): try escape(text, &position, to: &bytes)
      case 0..<0x20: throw error("a control character stands unescaped in a string", at: position - 1)
      default: bytes.append(byte)
      }
    }
  }

  /// Reads what follows a backslash.
  private func escape(
    _ text: Span<UInt8>, _ position: inout Int, to bytes: inout [UInt8]
  ) throws(EmbedFuseError) {
    guard position < text.count else { throw error("a string doesn't end", at: position) }
    position += 1
    switch text[position - 1] {
    case UInt8(ascii: "\""): bytes.append(UInt8(ascii: "\""))
    case UInt8(ascii: "\\"): bytes.append(UInt8(ascii: "\\"))
    case UInt8(ascii: "/"): bytes.append(UInt8(ascii: "/"))
    case UInt8(ascii: "b"): bytes.append(0x8)
    case UInt8(ascii: "f"): bytes.append(0xC)
    case UInt8(ascii: "n"): bytes.append(0xA)
    case UInt8(ascii: "r"): bytes.append(0xD)
    case UInt8(ascii: "t"): bytes.append(0x9)
    case UInt8(ascii: "u"):
      let start = position - 2
      var code = try hexadecimal(text, &position)
      if (0xD800..<0xDC00).contains(code), position + 1 < text.count, text[position] == UInt8(ascii: "\\"),
        text[position + 1] == UInt8(ascii: "u")
      {
        position += 2
        let low = try hexadecimal(text, &position)
        guard (0xDC00..<0xE000).contains(low) else { throw error("half of a surrogate pair", at: start) }
        code = 0x10000 + (code - 0xD800) << 10 + (low - 0xDC00)
      }
      guard let scalar = Unicode.Scalar(code) else { throw error("half of a surrogate pair", at: start) }
      bytes.append(contentsOf: UTF8.encode(scalar)!)
    default: throw error("an unknown escape in a string", at: position - 1)
    }
  }

  private func hexadecimal(_ text: Span<UInt8>, _ position: inout Int) throws(EmbedFuseError) -> UInt32 {
    var value: UInt32 = 0
    for _ in 0..<4 {
      guard position < text.count, let digit = Character(Unicode.Scalar(text[position])).hexDigitValue else {
        throw error("four hexadecimal digits are expected after \\u", at: position)
      }
      value = value << 4 | UInt32(digit)
      position += 1
    }
    return value
  }
}
