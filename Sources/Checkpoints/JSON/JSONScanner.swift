import TensorCore

/// Walks over JSON text (RFC 8259, strictly) one token at a time, in constant memory.
///
/// The scanner holds its place and the caller the text, which every call is given again. A container is read as
///
///     try scanner.beginObject(bytes)
///     while let key = try scanner.nextKey(bytes) { ...read or skip one value... }
///
/// Values may nest `nestingLimit` deep. Errors carry the offset of the offending byte.
struct JSONScanner {
  /// How deep values may nest.
  static let nestingLimit = 128

  /// The offset of the next byte to be read.
  private(set) var offset = 0
  /// The offset of the key that was read last.
  private(set) var keyOffset = 0
  /// The file, for messages.
  let path: String?
  /// The place of the text in the file, for messages.
  let fileOffset: Int

  private var depth = 0
  // How many items of containers were come to.
  private var steps = 0
  // True right after a bracket has been opened: a closing one may follow, and no comma.
  private var isFirst = false

  init(path: String?, fileOffset: Int = 0) {
    self.path = path
    self.fileOffset = fileOffset
  }

  /// The error `problem` at the next byte, or at `offset`.
  func error(_ problem: String, at offset: Int? = nil) -> EmbedFuseError {
    EmbedFuseError(
      .badData, "invalid JSON: \(problem)", path: path, offset: fileOffset + (offset ?? self.offset),
      remedy: "the file is damaged, or was edited by hand: download or copy it again")
  }

  /// The error for a key that an object has for the second time, at `offset`.
  func duplicateKey(_ key: String, at offset: Int) -> EmbedFuseError {
    error("the key '\(key.printable)' stands here for the second time", at: offset)
  }

  /// The error of having found the next byte where `expected` should be.
  func unexpected(_ bytes: Span<UInt8>, expected: String) -> EmbedFuseError {
    guard offset < bytes.count else {
      return error("the text ends where \(expected) is expected")
    }
    let byte = bytes[offset]
    let found =
      switch byte {
      case 0x21...0x7E: "'\(Character(UnicodeScalar(byte)))'"
      default: "byte 0x\(String(byte, radix: 16, uppercase: true))"
      }
    return error("\(found) stands where \(expected) is expected")
  }

  /// The next byte that isn't white space, or nil at the end; it is not consumed.
  mutating func peek(_ bytes: Span<UInt8>) -> UInt8? {
    while offset < bytes.count {
      let byte = bytes[offset]
      guard byte == 0x20 || byte == 0x0A || byte == 0x0D || byte == 0x09 else { return byte }
      offset += 1
    }
    return nil
  }

  private mutating func take(_ byte: UInt8, _ bytes: Span<UInt8>, expected: String) throws(EmbedFuseError) {
    guard peek(bytes) == byte else { throw unexpected(bytes, expected: expected) }
    offset += 1
  }

  private mutating func open(_ byte: UInt8, _ bytes: Span<UInt8>, expected: String) throws(EmbedFuseError) {
    try take(byte, bytes, expected: expected)
    guard depth < Self.nestingLimit else {
      throw error("values nest more than \(Self.nestingLimit) deep", at: offset - 1)
    }
    depth += 1
    isFirst = true
  }

  /// Steps to the next item of a container: false if `closing` ends it.
  private mutating func advance(_ closing: UInt8, _ bytes: Span<UInt8>) throws(EmbedFuseError) -> Bool {
    defer { isFirst = false }
    steps &+= 1
    if steps.isMultiple(of: 4096) { try EmbedFuseError.checkCancellation() }
    guard let byte = peek(bytes), byte == closing else {
      if !isFirst {
        try take(UInt8(ascii: ","), bytes, expected: closing == 0x7D ? "',' or '}'" : "',' or ']'")
      }
      return true
    }
    offset += 1
    depth -= 1
    return false
  }

  /// Consumes the `{` of an object.
  mutating func beginObject(_ bytes: Span<UInt8>) throws(EmbedFuseError) {
    try open(UInt8(ascii: "{"), bytes, expected: "an object")
  }

  /// The next key of the object just begun, its value to be read next, or nil at the object's end.
  mutating func nextKey(_ bytes: Span<UInt8>) throws(EmbedFuseError) -> String? {
    guard try advance(UInt8(ascii: "}"), bytes) else { return nil }
    guard peek(bytes) == UInt8(ascii: "\"") else { throw unexpected(bytes, expected: "a key in quotes") }
    keyOffset = offset
    let key = try string(bytes)
    try take(UInt8(ascii: ":"), bytes, expected: "':'")
    return key
  }

  /// Consumes the `[` of an array.
  mutating func beginArray(_ bytes: Span<UInt8>) throws(EmbedFuseError) {
    try open(UInt8(ascii: "["), bytes, expected: "an array")
  }

  /// True if another element of the array just begun is to be read next, false at the array's end.
  mutating func nextElement(_ bytes: Span<UInt8>) throws(EmbedFuseError) -> Bool {
    try advance(UInt8(ascii: "]"), bytes)
  }

  /// Makes sure that nothing but white space follows.
  mutating func end(_ bytes: Span<UInt8>) throws(EmbedFuseError) {
    guard peek(bytes) == nil else { throw unexpected(bytes, expected: "the end") }
  }

  /// Moves past `count` bytes that the caller has examined.
  mutating func skip(_ count: Int) { offset += count }
}
