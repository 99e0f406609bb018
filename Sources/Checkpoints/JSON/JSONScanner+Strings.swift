import TensorCore

extension JSONScanner {
  /// Reads a string, its escapes resolved.
  mutating func string(_ bytes: Span<UInt8>) throws(EmbedFuseError) -> String {
    guard peek(bytes) == UInt8(ascii: "\"") else { throw unexpected(bytes, expected: "a string") }
    skip(1)
    let start = offset
    try passPlain(bytes)
    if bytes[offset] == UInt8(ascii: "\"") {
      defer { skip(1) }
      return try text(bytes, start..<offset)
    }
    return try stringWithEscapes(bytes, from: start)
  }

  /// The UTF-8 text in `range`.
  func text(_ bytes: Span<UInt8>, _ range: Range<Int>) throws(EmbedFuseError) -> String {
    do {
      return String(copying: try UTF8Span(validating: bytes.extracting(range)))
    } catch let invalid {
      throw error("a string isn't valid UTF-8", at: range.lowerBound + invalid.byteOffsets.lowerBound)
    }
  }

  /// Moves to the next quote or backslash.
  private mutating func passPlain(_ bytes: Span<UInt8>) throws(EmbedFuseError) {
    var end = offset
    while end < bytes.count {
      let byte = bytes[end]
      if byte == UInt8(ascii: "\"") || byte == UInt8(ascii: "\\") {
        skip(end - offset)
        return
      }
      guard byte >= 0x20 else {
        throw error("a control character stands unescaped in a string", at: end)
      }
      end += 1
    }
    throw error("the text ends inside a string", at: end)
  }

  /// Reads the rest of a string whose text began at `start` and that has an escape at the present offset.
  private mutating func stringWithEscapes(
    _ bytes: Span<UInt8>, from start: Int
  ) throws(EmbedFuseError) -> String {
    var result = try text(bytes, start..<offset)
    while bytes[offset] == UInt8(ascii: "\\") {
      result.unicodeScalars.append(try escape(bytes))
      let plain = offset
      try passPlain(bytes)
      if offset > plain { result += try text(bytes, plain..<offset) }
    }
    skip(1)
    return result
  }

  /// Reads one escape; a pair of surrogates counts as one.
  private mutating func escape(_ bytes: Span<UInt8>) throws(EmbedFuseError) -> Unicode.Scalar {
    let start = offset
    skip(1)
    guard offset < bytes.count else { throw error("the text ends inside a string") }
    let letter = bytes[offset]
    skip(1)
    switch letter {
    case UInt8(ascii: "\""), UInt8(ascii: "\\"), UInt8(ascii: "/"): return Unicode.Scalar(letter)
    case UInt8(ascii: "b"): return "\u{8}"
    case UInt8(ascii: "f"): return "\u{C}"
    case UInt8(ascii: "n"): return "\n"
    case UInt8(ascii: "r"): return "\r"
    case UInt8(ascii: "t"): return "\t"
    case UInt8(ascii: "u"): return try unicodeEscape(bytes, start: start)
    default: throw error("a string has an unknown escape", at: start)
    }
  }

  /// Reads what follows `\u`: four hexadecimal digits, for a high surrogate also the low one's escape.
  private mutating func unicodeEscape(
    _ bytes: Span<UInt8>, start: Int
  ) throws(EmbedFuseError) -> Unicode.Scalar {
    let unit = try hexadecimal(bytes)
    if let scalar = Unicode.Scalar(unit) { return scalar }
    if unit < 0xDC00, offset + 1 < bytes.count, bytes[offset] == UInt8(ascii: "\\"),
      bytes[offset + 1] == UInt8(ascii: "u")
    {
      skip(2)
      let low = try hexadecimal(bytes)
      if 0xDC00...0xDFFF ~= low,
        let scalar = Unicode.Scalar(0x10000 + (unit - 0xD800) << 10 + (low - 0xDC00))
      {
        return scalar
      }
    }
    throw error("a string escapes half of a surrogate pair", at: start)
  }

  private mutating func hexadecimal(_ bytes: Span<UInt8>) throws(EmbedFuseError) -> UInt32 {
    var value: UInt32 = 0
    for _ in 0..<4 {
      guard offset < bytes.count, let digit = Character(Unicode.Scalar(bytes[offset])).hexDigitValue else {
        throw unexpected(bytes, expected: "four hexadecimal digits")
      }
      value = value << 4 | UInt32(digit)
      skip(1)
    }
    return value
  }
}
