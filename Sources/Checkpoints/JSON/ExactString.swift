/// A string that equals only what has the same bytes.
///
/// `String` takes canonically equivalent spellings for equal; the members of a vocabulary that differ in just
/// that are different tokens.
struct ExactString: Sendable, Hashable {
  let text: String

  init(_ text: String) { self.text = text }

  static func == (left: ExactString, right: ExactString) -> Bool { left.text.hasSameBytes(as: right.text) }

  func hash(into hasher: inout Hasher) {
    // Not the hash of `String`: equivalent spellings would collide, and a hostile file could have millions.
    let bytes = text.utf8.span
    hasher.combine(bytes.count)
    var word: UInt64 = 0
    for index in bytes.indices {
      word = word << 8 | UInt64(bytes[index])
      if index % 8 == 7 { hasher.combine(word) }
    }
    if bytes.count % 8 != 0 { hasher.combine(word) }
  }
}

extension String {
  /// True if both are spelled with the same bytes.
  package func hasSameBytes(as other: String) -> Bool {
    let ours = utf8.span
    let theirs = other.utf8.span
    guard ours.count == theirs.count else { return false }
    for index in ours.indices where ours[index] != theirs[index] { return false }
    return true
  }
}
