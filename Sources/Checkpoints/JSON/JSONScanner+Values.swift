import TensorCore

extension JSONScanner {
  /// Reads `word` (`null`, `true`, `false`) if it comes next.
  mutating func takeWord(_ word: StaticString, _ bytes: Span<UInt8>) -> Bool {
    _ = peek(bytes)
    let word = String(describing: word).utf8
    guard bytes.count - offset >= word.count else { return false }
    for (index, byte) in word.enumerated() where bytes[offset + index] != byte { return false }
    skip(word.count)
    return true
  }

  /// Reads a number and returns its text.
  mutating func number(_ bytes: Span<UInt8>) throws(EmbedFuseError) -> String {
    _ = peek(bytes)
    let start = offset
    if next(bytes, is: UInt8(ascii: "-")) { skip(1) }
    let leading = offset
    try digits(bytes)
    guard offset == leading + 1 || bytes[leading] != UInt8(ascii: "0") else {
      throw error("a number starts with 0", at: leading)
    }
    if next(bytes, is: UInt8(ascii: ".")) {
      skip(1)
      try digits(bytes)
    }
    if next(bytes, is: UInt8(ascii: "e")) || next(bytes, is: UInt8(ascii: "E")) {
      skip(1)
      if next(bytes, is: UInt8(ascii: "+")) || next(bytes, is: UInt8(ascii: "-")) { skip(1) }
      try digits(bytes)
    }
    return try text(bytes, start..<offset)
  }

  private func next(_ bytes: Span<UInt8>, is byte: UInt8) -> Bool {
    offset < bytes.count && bytes[offset] == byte
  }

  private mutating func digits(_ bytes: Span<UInt8>) throws(EmbedFuseError) {
    let start = offset
    while offset < bytes.count, 0x30...0x39 ~= bytes[offset] { skip(1) }
    guard offset > start else { throw unexpected(bytes, expected: "a digit") }
  }

  /// Reads a value that is neither array nor object.
  mutating func scalar(_ bytes: Span<UInt8>) throws(EmbedFuseError) -> JSON {
    switch peek(bytes) {
    case UInt8(ascii: "\""): return .string(try string(bytes))
    case UInt8(ascii: "-"), .some(0x30...0x39): return .number(try number(bytes))
    default:
      if takeWord("null", bytes) { return .null }
      if takeWord("true", bytes) { return .bool(true) }
      if takeWord("false", bytes) { return .bool(false) }
      throw unexpected(bytes, expected: "a value")
    }
  }
}
