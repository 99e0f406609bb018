import TensorCore

/// Reads the Python dictionary in the header of a `.npy` file: what NumPy writes there, and no other Python.
struct NumPyLiteral {
  /// A value of the dictionary.
  enum Value: Equatable {
    case text(String)
    case truth(Bool)
    case extents([UInt])
    /// A list or a nested tuple, which describe structured types; not read further.
    case structure
  }

  private let text: [UInt8]
  private var position = 0

  /// A reader of this text.
  init(_ text: [UInt8]) { self.text = text }

  /// What is wrong, and at which byte of the text.
  struct Problem: Error {
    let text: String
    let position: Int
  }

  /// The members of the one dictionary that the text holds, with blanks around it; nothing behind a structured type
  /// is read.
  mutating func dictionary() throws(Problem) -> [(key: String, value: Value)] {
    try expect("{")
    var members: [(key: String, value: Value)] = []
    while !skips("}") {
      let key = try string()
      guard !members.contains(where: { $0.key == key }) else {
        throw problem("the key '\(key)' stands here for the second time")
      }
      try expect(":")
      let value = try value()
      members.append((key, value))
      if value == .structure { return members }
      guard skips(",") else {
        try expect("}")
        break
      }
    }
    skipBlanks()
    guard position == text.count else { throw problem("more follows after the dictionary") }
    return members
  }

  private mutating func value() throws(Problem) -> Value {
    skipBlanks()
    guard position < text.count else { throw problem("the header ends where a value is expected") }
    switch UnicodeScalar(text[position]) {
    case "'", "\"": return .text(try string())
    case "[": return .structure
    case "(": return try tuple()
    default:
      for (word, value) in [("True", true), ("False", false)] where skips(word) { return .truth(value) }
      throw problem("a string, a truth value or a tuple is expected here")
    }
  }

  /// A tuple of extents, `(2, 3)`, `(2,)` or `()`; Python 2 wrote `(2L, 3L)`.
  private mutating func tuple() throws(Problem) -> Value {
    try expect("(")
    var extents: [UInt] = []
    while !skips(")") {
      skipBlanks()
      if position < text.count, [0x27, 0x22, 0x28, 0x5B].contains(text[position]) { return .structure }
      let start = position
      while position < text.count, (0x30...0x39).contains(text[position]) { position += 1 }
      guard let extent = UInt(String(decoding: text[start..<position], as: UTF8.self)) else {
        throw problem("an extent that is no unsigned integer of 64 bits")
      }
      extents.append(extent)
      _ = skips("L")
      guard skips(",") else {
        guard extents.count > 1 else { throw problem("a tuple is expected here") }
        try expect(")")
        break
      }
    }
    return .extents(extents)
  }

  private mutating func string() throws(Problem) -> String {
    skipBlanks()
    guard position < text.count, text[position] == 0x27 || text[position] == 0x22 else {
      throw problem("a string is expected here")
    }
    let quote = text[position]
    guard let end = text[(position + 1)...].firstIndex(of: quote) else {
      throw problem("a string begins here that doesn't end")
    }
    let content = text[(position + 1)..<end]
    guard content.allSatisfy({ (0x20..<0x7F).contains($0) && $0 != 0x5C }) else {
      throw problem("a string of other than plain ASCII begins here")
    }
    position = end + 1
    return String(decoding: content, as: UTF8.self)
  }

  private func problem(_ text: String) -> Problem { Problem(text: text, position: position) }

  private mutating func skipBlanks() {
    while position < text.count, [0x20, 0x09, 0x0A, 0x0D].contains(text[position]) { position += 1 }
  }

  /// Passes over `word` if it stands here, blanks before it left out.
  private mutating func skips(_ word: String) -> Bool {
    skipBlanks()
    guard text[position...].starts(with: word.utf8) else { return false }
    position += word.utf8.count
    return true
  }

  private mutating func expect(_ word: String) throws(Problem) {
    guard skips(word) else { throw problem("'\(word)' is expected here") }
  }
}
