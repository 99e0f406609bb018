import TensorCore

extension JSON {
  /// The value as text without white space, its members in order.
  public var compactText: String {
    var text = ""
    write(to: &text, indent: nil)
    return text
  }

  /// The value as text for people: indented by two spaces, arrays of plain values on one line, ending in a line
  /// break.
  public var prettyText: String {
    var text = ""
    write(to: &text, indent: 0)
    return text + "\n"
  }

  /// The value's text for a message: on one line, control characters escaped, cut after 100 characters.
  var excerpt: String {
    let text = compactText.printable
    return text.unicodeScalars.count <= 100 ? text : String(text.unicodeScalars.prefix(100)) + "..."
  }

  private var isContainer: Bool {
    switch self {
    case .array(let elements): !elements.isEmpty
    case .object(let object): !object.members.isEmpty
    default: false
    }
  }

  private func write(to text: inout String, indent: Int?) {
    switch self {
    case .null: text += "null"
    case .bool(let value): text += value ? "true" : "false"
    case .number(let spelling): text += spelling
    case .string(let value): Self.write(value, to: &text)
    case .array(let elements):
      let spread = indent != nil && elements.contains(where: \.isContainer)
      let inner = spread ? indent.map { $0 + 1 } : indent
      text += "["
      for (index, element) in elements.enumerated() {
        if index > 0 { text += spread || indent == nil ? "," : ", " }
        if spread, let inner { Self.startLine(&text, inner) }
        element.write(to: &text, indent: inner)
      }
      if spread, let indent { Self.startLine(&text, indent) }
      text += "]"
    case .object(let object):
      text += "{"
      for (index, member) in object.members.enumerated() {
        if index > 0 { text += "," }
        if let indent { Self.startLine(&text, indent + 1) }
        Self.write(member.key, to: &text)
        text += indent == nil ? ":" : ": "
        member.value.write(to: &text, indent: indent.map { $0 + 1 })
      }
      if let indent, !object.members.isEmpty { Self.startLine(&text, indent) }
      text += "}"
    }
  }

  private static func startLine(_ text: inout String, _ indent: Int) {
    text += "\n" + String(repeating: "  ", count: indent)
  }

  private static func write(_ value: String, to text: inout String) {
    text += "\""
    for scalar in value.unicodeScalars {
      switch scalar {
      case "\"": text += "\\\""
      case "\\": text += "\\\\"
      case "\n": text += "\\n"
      case "\r": text += "\\r"
      case "\t": text += "\\t"
      case "\u{0}"..<"\u{20}", "\u{7F}":
        let digits = String(scalar.value, radix: 16)
        text += "\\u" + String(repeating: "0", count: 4 - digits.count) + digits
      default: text.unicodeScalars.append(scalar)
      }
    }
    text += "\""
  }
}
