import TensorCore

/// A regular expression over module names, as the keys of `rank_pattern` and `alpha_pattern` are: in Python's
/// spelling, matched as `(.*\.)?(pattern)$`.
///
/// It runs as a set of states in time proportional to the name's length times the pattern's, whatever the pattern,
/// since patterns come from files. Look-around and references are refused.
struct ModulePattern: Sendable {
  /// One step of the machine that a pattern becomes.
  enum Step: Sendable {
    /// Takes one byte that is among these, then goes to the next step.
    case take(Bytes)
    /// Goes to both.
    case fork(Int, Int)
    /// Goes there.
    case go(Int)
    /// Goes to the next step if at the start of the name.
    case start
    /// Goes to the next step if at the end of the name.
    case end
    /// Matches if at the end of the name.
    case match
  }

  /// A set of bytes.
  struct Bytes: Sendable {
    private var words: (UInt64, UInt64, UInt64, UInt64) = (0, 0, 0, 0)

    /// These bytes.
    init(_ bytes: some Sequence<UInt8> = []) {
      for byte in bytes { insert(byte) }
    }

    /// All bytes but the end of a line.
    static let any = Bytes(UInt8.min...UInt8.max).subtracting(0x0A)

    mutating func insert(_ byte: UInt8) {
      let bit = UInt64(1) << (byte & 63)
      switch byte >> 6 {
      case 0: words.0 |= bit
      case 1: words.1 |= bit
      case 2: words.2 |= bit
      default: words.3 |= bit
      }
    }

    func contains(_ byte: UInt8) -> Bool {
      let word = [words.0, words.1, words.2, words.3][Int(byte >> 6)]
      return word >> (byte & 63) & 1 == 1
    }

    /// The bytes that are in neither.
    func subtracting(_ byte: UInt8) -> Bytes {
      Bytes((UInt8.min...UInt8.max).filter { contains($0) && $0 != byte })
    }

    /// The other bytes.
    var inverted: Bytes { Bytes((UInt8.min...UInt8.max).filter { !contains($0) }) }
  }

  private let steps: [Step]

  /// Reads a pattern.
  ///
  /// - Throws: `EmbedFuseError` (bad data) for what isn't a pattern, or uses what isn't supported.
  init(_ text: String, path: String) throws(EmbedFuseError) {
    var parser = ModulePatternParser(text, path: path)
    let tree = try parser.parse()
    var compiler = Compiler(text: text, path: path)
    // (.*\.)? comes first: any start that ends in a dot.
    try compiler.add(.optional(.sequence([.any(.bytes(.any)), .bytes(Bytes([UInt8(ascii: ".")]))])))
    try compiler.add(tree)
    steps = compiler.steps + [.match]
  }

  /// True if the pattern matches a module's name.
  func matches(_ name: String) -> Bool {
    let bytes = Array(name.utf8)
    var states = reachable([0], at: 0, of: bytes.count)
    for (place, byte) in bytes.enumerated() {
      var next: [Int] = []
      for state in states {
        if case .take(let set) = steps[state], set.contains(byte) { next.append(state + 1) }
      }
      states = reachable(next, at: place + 1, of: bytes.count)
      if states.isEmpty { return false }
    }
    return states.contains { if case .match = steps[$0] { true } else { false } }
  }

  /// The states that can be reached from these without taking a byte, each once.
  private func reachable(_ from: [Int], at place: Int, of count: Int) -> [Int] {
    var seen = Array(repeating: false, count: steps.count)
    var result: [Int] = []
    var open = from
    while let state = open.popLast() {
      if seen[state] { continue }
      seen[state] = true
      switch steps[state] {
      case .take, .match: result.append(state)
      case .fork(let first, let second): open += [first, second]
      case .go(let target): open.append(target)
      case .start: if place == 0 { open.append(state + 1) }
      case .end: if place == count { open.append(state + 1) }
      }
    }
    return result
  }
}

extension ModulePattern {
  /// A pattern as a tree.
  indirect enum Node: Sendable {
    case bytes(Bytes)
    case start
    case end
    case sequence([Node])
    case choice([Node])
    case optional(Node)
    case any(Node)
    case repeated(Node, Int, Int?)
  }

  /// Turns a tree into steps.
  private struct Compiler {
    /// More steps than any honest pattern has.
    static let stepLimit = 4096

    let text: String
    let path: String
    var steps: [Step] = []

    init(text: String, path: String) {
      self.text = text
      self.path = path
    }

    private mutating func append(_ step: Step) throws(EmbedFuseError) {
      guard steps.count < Self.stepLimit else {
        throw EmbedFuseError(
          .badData, "the pattern '\(text.printable)' is too long", path: path,
          remedy: "shorten it, or list the modules one by one")
      }
      steps.append(step)
    }

    mutating func add(_ node: Node) throws(EmbedFuseError) {
      switch node {
      case .bytes(let set): try append(.take(set))
      case .start: try append(.start)
      case .end: try append(.end)
      case .sequence(let nodes): for node in nodes { try add(node) }
      case .choice(let nodes): try addChoice(nodes)
      case .optional(let node):
        let fork = steps.count
        try append(.fork(0, 0))
        try add(node)
        steps[fork] = .fork(fork + 1, steps.count)
      case .any(let node):
        let fork = steps.count
        try append(.fork(0, 0))
        try add(node)
        try append(.go(fork))
        steps[fork] = .fork(fork + 1, steps.count)
      case .repeated(let node, let least, let most):
        for _ in 0..<least { try add(node) }
        guard let most else { return try add(.any(node)) }
        for _ in least..<most { try add(.optional(node)) }
      }
    }

    private mutating func addChoice(_ nodes: [Node]) throws(EmbedFuseError) {
      var exits: [Int] = []
      for (place, node) in nodes.enumerated() {
        guard place < nodes.count - 1 else {
          try add(node)
          break
        }
        let fork = steps.count
        try append(.fork(0, 0))
        try add(node)
        exits.append(steps.count)
        try append(.go(0))
        steps[fork] = .fork(fork + 1, steps.count)
      }
      for exit in exits { steps[exit] = .go(steps.count) }
    }
  }
}
