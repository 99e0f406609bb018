import TensorCore

/// Reads a regular expression in Python's spelling, as far as patterns of module names go.
struct ModulePatternParser {
  typealias Node = ModulePattern.Node
  typealias Bytes = ModulePattern.Bytes

  /// Groups nested deeper than this are refused.
  private static let depthLimit = 16
  /// Repetitions beyond this are refused.
  private static let countLimit = 1000

  private let text: String
  private let path: String
  private let bytes: [UInt8]
  private var place = 0
  private var depth = 0

  init(_ text: String, path: String) {
    self.text = text
    self.path = path
    bytes = Array(text.utf8)
  }

  /// The whole pattern.
  mutating func parse() throws(EmbedFuseError) -> Node {
    let node = try choice()
    guard place == bytes.count else { throw failure("has a ')' too many") }
    return node
  }

  private func failure(_ problem: String) -> EmbedFuseError {
    EmbedFuseError(
      .badData, "the pattern '\(text.printable)' \(problem)", path: path, offset: nil,
      remedy: "write it with names, '.', classes, groups, '|', '*', '+', '?' and '{…}'")
  }

  private var next: UInt8? { place < bytes.count ? bytes[place] : nil }

  private mutating func take(_ byte: Character) -> Bool {
    guard next == byte.asciiValue else { return false }
    place += 1
    return true
  }

  private mutating func choice() throws(EmbedFuseError) -> Node {
    var branches = [try sequence()]
    while take("|") { branches.append(try sequence()) }
    return branches.count == 1 ? branches[0] : .choice(branches)
  }

  private mutating func sequence() throws(EmbedFuseError) -> Node {
    var nodes: [Node] = []
    while let byte = next, byte != UInt8(ascii: "|"), byte != UInt8(ascii: ")") {
      nodes.append(try repeated(try atom(byte)))
    }
    return .sequence(nodes)
  }

  private mutating func atom(_ byte: UInt8) throws(EmbedFuseError) -> Node {
    place += 1
    switch byte {
    case UInt8(ascii: "."): return .bytes(.any)
    case UInt8(ascii: "^"): return .start
    case UInt8(ascii: "$"): return .end
    case UInt8(ascii: "("): return try group()
    case UInt8(ascii: "["): return .bytes(try set())
    case UInt8(ascii: "\\"): return .bytes(try escaped())
    case UInt8(ascii: "*"), UInt8(ascii: "+"), UInt8(ascii: "?"):
      throw failure("repeats nothing")
    default: return .bytes(Bytes([byte]))
    }
  }

  private mutating func group() throws(EmbedFuseError) -> Node {
    if take("?"), !take(":") { throw failure("uses a kind of group that is not supported") }
    depth += 1
    guard depth <= Self.depthLimit else { throw failure("nests its groups too deep") }
    let node = try choice()
    guard take(")") else { throw failure("lacks a ')'") }
    depth -= 1
    return node
  }

  private mutating func repeated(_ node: Node) throws(EmbedFuseError) -> Node {
    var result = node
    switch next {
    case UInt8(ascii: "*"): result = .any(node)
    case UInt8(ascii: "+"): result = .repeated(node, 1, nil)
    case UInt8(ascii: "?"): result = .optional(node)
    case UInt8(ascii: "{"):
      place += 1
      result = try counted(node)
    default: return node
    }
    place += 1
    // A lazy repetition matches the same names.
    _ = take("?")
    if let byte = next, [UInt8(ascii: "*"), UInt8(ascii: "+"), UInt8(ascii: "{")].contains(byte) {
      throw failure("repeats a repetition")
    }
    return result
  }

  /// `n}`, `n,}`, `,m}` or `n,m}`, up to the brace.
  private mutating func counted(_ node: Node) throws(EmbedFuseError) -> Node {
    let least = try number()
    var most = least
    if take(",") {
      most = try number()
    } else if least == nil {
      throw failure("repeats an unknown number of times")
    }
    guard next == UInt8(ascii: "}") else { throw failure("lacks a '}'") }
    if let most, most < least ?? 0 { throw failure("repeats at most fewer times than at least") }
    return .repeated(node, least ?? 0, most)
  }

  private mutating func number() throws(EmbedFuseError) -> Int? {
    var digits = ""
    while let byte = next, (UInt8(ascii: "0")...UInt8(ascii: "9")).contains(byte) {
      digits.unicodeScalars.append(Unicode.Scalar(byte))
      place += 1
    }
    guard !digits.isEmpty else { return nil }
    guard let value = Int(digits), value <= Self.countLimit else { throw failure("repeats too many times") }
    return value
  }

  /// What follows a backslash.
  private mutating func escaped() throws(EmbedFuseError) -> Bytes {
    guard let byte = next else { throw failure("ends in a backslash") }
    place += 1
    let digits = UInt8(ascii: "0")...UInt8(ascii: "9")
    let letters = Array(UInt8(ascii: "a")...UInt8(ascii: "z")) + Array(UInt8(ascii: "A")...UInt8(ascii: "Z"))
    switch byte {
    case UInt8(ascii: "d"): return Bytes(digits)
    case UInt8(ascii: "D"): return Bytes(digits).inverted
    case UInt8(ascii: "w"): return Bytes(letters + Array(digits) + [UInt8(ascii: "_")])
    case UInt8(ascii: "W"): return Bytes(letters + Array(digits) + [UInt8(ascii: "_")]).inverted
    default:
      guard !letters.contains(byte), !digits.contains(byte) else {
        throw failure("uses '\\\(Character(Unicode.Scalar(byte)))', which is not supported")
      }
      return Bytes([byte])
    }
  }

  /// A class of characters, after its bracket.
  private mutating func set() throws(EmbedFuseError) -> Bytes {
    let isInverted = take("^")
    var members: [UInt8] = []
    var isFirst = true
    while let byte = next, byte != UInt8(ascii: "]") || isFirst {
      isFirst = false
      place += 1
      if byte == UInt8(ascii: "\\") {
        let set = try escaped()
        members += (UInt8.min...UInt8.max).filter { set.contains($0) }
      } else if next == UInt8(ascii: "-"), place + 1 < bytes.count, bytes[place + 1] != UInt8(ascii: "]") {
        let last = bytes[place + 1]
        guard byte <= last, last != UInt8(ascii: "\\") else {
          throw failure("has a range that runs backwards")
        }
        members += Array(byte...last)
        place += 2
      } else {
        members.append(byte)
      }
    }
    guard take("]") else { throw failure("lacks a ']'") }
    return isInverted ? Bytes(members).inverted : Bytes(members)
  }
}
