import TensorCore

extension JSON {
  /// What to do about an object that has a key twice.
  public enum DuplicateKeys: Sendable, Hashable {
    /// Reject the text.
    case reject
    /// Take the last value, as most readers do.
    case lastWins
  }

  /// Reads one value that makes up the whole text but for white space, as strictly as RFC 8259 has it.
  ///
  /// - Parameters:
  ///   - path: the file's name, for messages.
  ///   - offset: the file's byte at which the text starts, for messages.
  /// - Throws: `EmbedFuseError` (bad data) naming the byte: anything that isn't JSON, a byte order mark, text
  ///   that isn't UTF-8, lone surrogates, nesting more than 128 deep, and duplicate keys unless they are allowed.
  public static func parse(
    _ text: Span<UInt8>, duplicateKeys: DuplicateKeys = .reject, path: String? = nil, offset: Int = 0
  ) throws(EmbedFuseError) -> JSON {
    var scanner = JSONScanner(path: path, fileOffset: offset)
    let value = try value(&scanner, text, duplicateKeys)
    try scanner.end(text)
    return value
  }

  /// Reads one value from a string.
  public static func parse(
    _ text: String, duplicateKeys: DuplicateKeys = .reject
  ) throws(EmbedFuseError) -> JSON {
    try parse(text.utf8Span.span, duplicateKeys: duplicateKeys)
  }

  /// Reads the JSON file at `path`; of keys that an object has twice the last value counts, unless
  /// `duplicateKeys` says otherwise.
  ///
  /// - Throws: `EmbedFuseError`: missing input where the file can't be opened, bad data where it isn't JSON.
  public static func read(
    _ path: String, duplicateKeys: DuplicateKeys = .lastWins
  ) throws(EmbedFuseError) -> JSON {
    let file = try InputFile(path)
    return try file.withMappedBytes(0..<file.byteCount) { text throws(EmbedFuseError) in
      try parse(text, duplicateKeys: duplicateKeys, path: path)
    }
  }

  /// Reads the value that comes next.
  static func value(
    _ scanner: inout JSONScanner, _ text: Span<UInt8>, _ duplicateKeys: DuplicateKeys
  ) throws(EmbedFuseError) -> JSON {
    switch scanner.peek(text) {
    case UInt8(ascii: "{"): return .object(try object(&scanner, text, duplicateKeys))
    case UInt8(ascii: "["):
      var elements: [JSON] = []
      try scanner.beginArray(text)
      while try scanner.nextElement(text) { elements.append(try value(&scanner, text, duplicateKeys)) }
      return .array(elements)
    default: return try scanner.scalar(text)
    }
  }

  private static func object(
    _ scanner: inout JSONScanner, _ text: Span<UInt8>, _ duplicateKeys: DuplicateKeys
  ) throws(EmbedFuseError) -> Object {
    var object = Object()
    try scanner.beginObject(text)
    while let key = try scanner.nextKey(text) {
      let start = scanner.keyOffset
      let old = object.updateValue(try value(&scanner, text, duplicateKeys), forKey: key)
      if old != nil, duplicateKeys == .reject { throw scanner.duplicateKey(key, at: start) }
    }
    return object
  }
}
