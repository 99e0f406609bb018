import TensorCore

/// Takes a description apart from front to back; every length is checked against the bytes that are left.
struct HDF5DescriptionScanner {
  /// The file, for messages.
  let path: String
  /// The next byte to read.
  private var position = 0

  init(path: String) { self.path = path }

  /// The error for a description that breaks its form: whoever put it together was no longer master of itself.
  var malformed: EmbedFuseError { HDF5File.failure(path) }

  /// Checks that all was read.
  func end(in bytes: RawSpan) throws(EmbedFuseError) {
    guard position == bytes.byteCount else { throw malformed }
  }

  private mutating func take(_ count: Int, in bytes: RawSpan) throws(EmbedFuseError) -> Range<Int> {
    guard count <= bytes.byteCount - position else { throw malformed }
    defer { position += count }
    return position..<position + count
  }

  /// The byte that says what follows.
  mutating func tag(in bytes: RawSpan) throws(EmbedFuseError) -> Unicode.Scalar {
    let place = try take(1, in: bytes).lowerBound
    return Unicode.Scalar(unsafe bytes.unsafeLoad(fromByteOffset: place, as: UInt8.self))
  }

  mutating func number(in bytes: RawSpan) throws(EmbedFuseError) -> UInt64 {
    let place = try take(8, in: bytes).lowerBound
    return unsafe bytes.unsafeLoadUnaligned(fromByteOffset: place, as: UInt64.self)
  }

  /// A number that is at most `limit`.
  mutating func number(upTo limit: Int, in bytes: RawSpan) throws(EmbedFuseError) -> Int {
    guard let number = Int(exactly: try number(in: bytes)), number <= limit else { throw malformed }
    return number
  }

  /// A number of things of which each takes `size` bytes or more.
  mutating func count(of size: Int, in bytes: RawSpan) throws(EmbedFuseError) -> Int {
    let count = try number(upTo: .max, in: bytes)
    guard count <= (bytes.byteCount - position) / size else { throw malformed }
    return count
  }

  mutating func numbers(_ count: Int, in bytes: RawSpan) throws(EmbedFuseError) -> [UInt64] {
    var result: [UInt64] = []
    result.reserveCapacity(count)
    for _ in 0..<count { result.append(try number(in: bytes)) }
    return result
  }

  mutating func bytes(in bytes: RawSpan) throws(EmbedFuseError) -> [UInt8] {
    let text = bytes.extracting(try take(count(of: 1, in: bytes), in: bytes))
    return unsafe text.withUnsafeBytes { unsafe [UInt8]($0) }
  }

  /// A text; what of it isn't UTF-8 is replaced.
  mutating func text(in bytes: RawSpan) throws(EmbedFuseError) -> String {
    let text = bytes.extracting(try take(count(of: 1, in: bytes), in: bytes))
    return unsafe text.withUnsafeBytes { unsafe String(decoding: $0, as: UTF8.self) }
  }

  /// The name of a link, and whether it is UTF-8.
  mutating func name(in bytes: RawSpan) throws(EmbedFuseError) -> (name: String, isText: Bool) {
    let text = bytes.extracting(try take(count(of: 1, in: bytes), in: bytes))
    return unsafe text.withUnsafeBytes { text in
      if let name = unsafe String(validating: text, as: UTF8.self) { return (name, true) }
      return (unsafe String(decoding: text, as: UTF8.self), false)
    }
  }

  /// What `value` reads, or the library's messages in the place of it.
  mutating func outcome<Value>(
    in bytes: RawSpan, _ value: (inout Self) throws(EmbedFuseError) -> Value
  ) throws(EmbedFuseError) -> HDF5Description.Outcome<Value> {
    switch try tag(in: bytes) {
    case "+": .success(try value(&self))
    case "-": .failure(HDF5Description.Failure(text: try text(in: bytes)))
    default: throw malformed
    }
  }
}
