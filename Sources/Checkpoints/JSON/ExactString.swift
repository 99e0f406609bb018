/// A string that equals only what has the same bytes.
///
/// `String` takes canonically equivalent spellings for equal; the members of a vocabulary that differ in just
/// that are different tokens.
struct ExactString: Sendable, Hashable {
  let text: String

  init(_ text: String) { self.text = text }

  static func == (left: ExactString, right: ExactString) -> Bool {
    left.text.utf8.count == right.text.utf8.count && left.text.utf8.elementsEqual(right.text.utf8)
  }

  func hash(into hasher: inout Hasher) {
    // Not the hash of `String`: equivalent spellings would collide, and a hostile file could have millions.
    let bytes = text.utf8Span.span
    hasher.combine(bytes.count)
    var index = 0
    while index + 8 <= bytes.count {
      var word: UInt64 = 0
      for byte in 0..<8 { word |= UInt64(bytes[index + byte]) << (8 * UInt64(byte)) }
      hasher.combine(word)
      index += 8
    }
    while index < bytes.count {
      hasher.combine(bytes[index])
      index += 1
    }
  }
}
