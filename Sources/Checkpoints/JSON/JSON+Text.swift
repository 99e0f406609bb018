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
    // All bytes are looked at, many at once: nearly every string is of plain characters.
    var (special, bits) = (UInt8(0), UInt8(0))
    for index in bytes.indices {
      bits |= bytes[index]
      special |= isSpecial(bytes[index])
    }
    if special == 0 {
      text += value.utf8
    } else {
      // No escape is longer than 6 bytes for each that it stands for.
      let count = bytes.indices.count { !isPlain(bytes[$0]) }
      text.append(addingCapacity: bytes.count + 5 * count) { room in
        if bits < 0x80 {
          for index in bytes.indices {
            let byte = bytes[index]
            if isPlain(byte) { room.append(byte) } else { escape(Unicode.Scalar(byte), to: &room) }
          }
        } else {
          for scalar in value.unicodeScalars { write(scalar, to: &room) }
        }
      }
    }
    text.append(UInt8(ascii: "\""))
  }

  private static func isPlain(_ byte: UInt8) -> Bool { isSpecial(byte) == 0 }

  /// 1 for a byte that isn't written as it is, else 0; without a branch.
  private static func isSpecial(_ byte: UInt8) -> UInt8 {
    (byte &- 0x20 > 0x5E ? 1 : 0) | (byte == UInt8(ascii: "\"") ? 1 : 0)
      | (byte == UInt8(ascii: "\\") ? 1 : 0)
  }

  private static func write(_ scalar: Unicode.Scalar, to room: inout OutputSpan<UInt8>) {
    if scalar.isASCII, isPlain(UInt8(truncatingIfNeeded: scalar.value)) {
      room.append(UInt8(truncatingIfNeeded: scalar.value))
    } else {
      escape(scalar, to: &room)
    }
  }

  /// Writes a scalar that isn't plain, escaped if it must be.
  private static func escape(_ scalar: Unicode.Scalar, to room: inout OutputSpan<UInt8>) {
    switch scalar {
    case "\"", "\\": escape(UInt8(truncatingIfNeeded: scalar.value), to: &room)
    case "\n": escape(UInt8(ascii: "n"), to: &room)
    case "\r": escape(UInt8(ascii: "r"), to: &room)
    case "\t": escape(UInt8(ascii: "t"), to: &room)
    default:
      // Also what steers a terminal, ends lines or turns the direction of writing, so that JSON can be shown as it is.
      switch scalar.properties.generalCategory {
      case .control, .format, .lineSeparator, .paragraphSeparator:
        for unit in scalar.utf16 { escape(unit: unit, to: &room) }
      default: for byte in scalar.utf8 { room.append(byte) }
      }
    }
  }

  private static func escape(_ letter: UInt8, to room: inout OutputSpan<UInt8>) {
    room.append(UInt8(ascii: "\\"))
    room.append(letter)
  }

  private static func escape(unit: UInt16, to room: inout OutputSpan<UInt8>) {
    escape(UInt8(ascii: "u"), to: &room)
    for shift in [12, 8, 4, 0] { room.append(hexadecimal[Int(unit >> shift & 0xF)]) }
  }

  private static let hexadecimal = Array("0123456789abcdef".utf8)
}
