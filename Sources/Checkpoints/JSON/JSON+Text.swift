import TensorCore

extension JSON {
  /// The value as text without white space, its members in order.
  public var compactText: String { String(decoding: compactBytes, as: UTF8.self) }

  /// The UTF-8 of `compactText`.
  public var compactBytes: [UInt8] {
    var text: [UInt8] = []
    text.reserveCapacity(roughByteCount(depth: 0))
    write(to: &text, indent: nil)
    return text
  }

  /// Writes the UTF-8 of `compactText` behind what is there.
  package func writeCompactly(to text: inout [UInt8]) { write(to: &text, indent: nil) }

  /// The value as text for people: indented by two spaces, arrays of plain values on one line, ending in a line
  /// break.
  public var prettyText: String { String(decoding: prettyBytes, as: UTF8.self) }

  /// The UTF-8 of `prettyText`.
  public var prettyBytes: [UInt8] {
    var text: [UInt8] = []
    text.reserveCapacity(roughByteCount(depth: 0))
    write(to: &text, indent: 0)
    text.append(UInt8(ascii: "\n"))
    return text
  }

  /// The value's text for a message: on one line, control characters escaped, cut after 100 characters.
  var excerpt: String {
    let text = compactText.printable
    return text.unicodeScalars.count <= 100 ? text : String(text.unicodeScalars.prefix(100)) + "..."
  }

  /// Bytes of the text, about: more than it takes, unless much of it must be escaped. An array that grows is copied, and while
  /// it is, takes three times its size; memory that is reserved and not touched costs nothing.
  private func roughByteCount(depth: Int) -> Int {
    let margin = 2 * depth + 8
    return switch self {
    case .null, .bool: margin
    case .number(let spelling): margin + spelling.utf8.count
    case .string(let value): margin + value.utf8.count
    case .array(let elements): elements.reduce(margin) { $0 + $1.roughByteCount(depth: depth + 1) }
    case .object(let object):
      object.members.reduce(margin) {
        $0 + $1.key.utf8.count + $1.value.roughByteCount(depth: depth + 1) + margin
      }
    }
  }

  private var isContainer: Bool {
    switch self {
    case .array(let elements): !elements.isEmpty
    case .object(let object): !object.members.isEmpty
    default: false
    }
  }

  /// Writes the text's UTF-8; `indent` is nil for text without white space.
  private func write(to text: inout [UInt8], indent: Int?) {
    switch self {
    case .null: text += "null".utf8
    case .bool(let value): text += (value ? "true" : "false").utf8
    case .number(let spelling): text += spelling.utf8
    case .string(let value): Self.write(value, to: &text)
    case .array(let elements):
      let spread = indent != nil && elements.contains(where: \.isContainer)
      let inner = spread ? indent.map { $0 + 1 } : indent
      text.append(UInt8(ascii: "["))
      for (index, element) in elements.enumerated() {
        if index > 0 { text += (spread || indent == nil ? "," : ", ").utf8 }
        if spread, let inner { Self.startLine(&text, inner) }
        element.write(to: &text, indent: inner)
      }
      if spread, let indent { Self.startLine(&text, indent) }
      text.append(UInt8(ascii: "]"))
    case .object(let object):
      text.append(UInt8(ascii: "{"))
      for (index, member) in object.members.enumerated() {
        if index > 0 { text.append(UInt8(ascii: ",")) }
        if let indent { Self.startLine(&text, indent + 1) }
        Self.write(member.key, to: &text)
        text += (indent == nil ? ":" : ": ").utf8
        member.value.write(to: &text, indent: indent.map { $0 + 1 })
      }
      if let indent, !object.members.isEmpty { Self.startLine(&text, indent) }
      text.append(UInt8(ascii: "}"))
    }
  }

  private static func startLine(_ text: inout [UInt8], _ indent: Int) {
    text.append(UInt8(ascii: "\n"))
    for _ in 0..<2 * indent { text.append(UInt8(ascii: " ")) }
  }

  /// Writes a string with its quotes.
  static func write(_ value: String, to text: inout [UInt8]) {
    text.append(UInt8(ascii: "\""))
    let bytes = value.utf8.span
    // Nearly every string is of plain characters.
    if bytes.indices.allSatisfy({ isPlain(bytes[$0]) }) {
      text += value.utf8
    } else {
      for scalar in value.unicodeScalars { write(scalar, to: &text) }
    }
    text.append(UInt8(ascii: "\""))
  }

  private static func isPlain(_ byte: UInt8) -> Bool {
    byte >= UInt8(ascii: " ") && byte < 0x7F && byte != UInt8(ascii: "\"") && byte != UInt8(ascii: "\\")
  }

  private static func write(_ scalar: Unicode.Scalar, to text: inout [UInt8]) {
    if scalar.isASCII && isPlain(UInt8(truncatingIfNeeded: scalar.value)) {
      text.append(UInt8(truncatingIfNeeded: scalar.value))
      return
    }
    switch scalar {
    case "\"": text += "\\\"".utf8
    case "\\": text += "\\\\".utf8
    case "\n": text += "\\n".utf8
    case "\r": text += "\\r".utf8
    case "\t": text += "\\t".utf8
    default:
      // Also what steers a terminal or turns the direction of writing, so that JSON can be shown as it is.
      switch scalar.properties.generalCategory {
      case .control, .format: for unit in scalar.utf16 { escape(unit, to: &text) }
      default: text += scalar.utf8
      }
    }
  }

  private static func escape(_ unit: UInt16, to text: inout [UInt8]) {
    text += "\\u".utf8
    for shift in [12, 8, 4, 0] { text.append(hexadecimal[Int(unit >> shift & 0xF)]) }
  }

  private static let hexadecimal = Array("0123456789abcdef".utf8)
}
