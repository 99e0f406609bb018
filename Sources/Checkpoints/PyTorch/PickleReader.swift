import TensorCore

/// Reads one pickle, opcode after opcode (Python's `pickletools` is the specification): those that torch's
/// weights-only loader takes, and unless `isStrict` those that protocols 4 and 5 add.
struct PickleReader {
  /// Bytes of a pickle at most.
  static let byteLimit = 64 << 20
  /// Nodes, memoised values and values on the stack at most, each.
  static let countLimit = 1 << 21

  let bytes: [UInt8]
  let isStrict: Bool
  var position: Int
  private var stack: [Pickle.Value] = []
  /// The heights of the stack at which marks were set.
  private var marks: [Int] = []
  private var memo: [UInt32: Pickle.Value] = [:]
  private var nodes: [Pickle.Node] = []
  /// Items of all nodes; each takes at least a byte of an honest pickle.
  private var itemCount = 0

  private init(_ bytes: [UInt8], from start: Int, isStrict: Bool) {
    self.bytes = bytes
    self.isStrict = isStrict
    position = start
  }

  /// Reads the pickle that starts at a byte; what follows its end is left alone.
  ///
  /// - Parameter isStrict: refuses opcodes and names that torch's weights-only loader refuses.
  /// - Throws: `PickleError`.
  static func read(_ bytes: [UInt8], from start: Int = 0, isStrict: Bool) throws(PickleError) -> Pickle {
    var reader = PickleReader(bytes, from: start, isStrict: isStrict)
    while true {
      let opcode = try reader.byte()
      if opcode == UInt8(ascii: ".") {
        let root = try reader.pop()
        return Pickle(bytes: bytes, nodes: reader.nodes, root: root, end: reader.position)
      }
      try reader.apply(opcode)
    }
  }

  // MARK: Bytes

  func refuse(_ problem: String) -> PickleError {
    PickleError(
      problem: "the pickle \(problem)", offset: position,
      remedy: "the file is damaged or was not written by torch.save: download or save it again")
  }

  mutating func byte() throws(PickleError) -> UInt8 {
    guard position < bytes.count else {
      throw PickleError(problem: "the pickle ends before its STOP", offset: position, isTruncation: true)
    }
    position += 1
    return bytes[position - 1]
  }

  /// The next bytes as a number, lowest first.
  mutating func unsigned(_ count: Int) throws(PickleError) -> UInt64 {
    var value: UInt64 = 0
    for index in 0..<count { value |= UInt64(try byte()) << UInt64(8 * index) }
    return value
  }

  /// The next `count` bytes.
  mutating func text(_ count: UInt64) throws(PickleError) -> Pickle.Text {
    guard count <= UInt64(bytes.count - position) else {
      throw PickleError(
        problem: "a text of the pickle has \(count) bytes, more than are left", offset: position,
        isTruncation: true)
    }
    defer { position += Int(count) }
    return Pickle.Text(start: UInt32(position), count: UInt32(count))
  }

  /// The next `count` bytes, which must be UTF-8.
  mutating func characters(_ count: UInt64) throws(PickleError) -> Pickle.Value {
    let text = try text(count)
    guard String(validating: bytes[position - Int(count)..<position], as: UTF8.self) != nil else {
      throw refuse("has a text that is no UTF-8")
    }
    return .text(text)
  }

  /// The bytes up to the end of the line.
  mutating func line() throws(PickleError) -> Pickle.Text {
    let start = position
    while try byte() != UInt8(ascii: "\n") {}
    return Pickle.Text(start: UInt32(start), count: UInt32(position - 1 - start))
  }

  // MARK: Stack and memo

  mutating func push(_ value: Pickle.Value) throws(PickleError) {
    guard stack.count < Self.countLimit else {
      throw refuse("puts more than \(Self.countLimit) values on its stack")
    }
    stack.append(value)
  }

  /// The value on top; those before the last mark are out of reach.
  func top() throws(PickleError) -> Pickle.Value {
    guard stack.count > marks.last ?? 0, let value = stack.last else {
      throw refuse("takes a value from its empty stack")
    }
    return value
  }

  mutating func pop() throws(PickleError) -> Pickle.Value {
    let value = try top()
    stack.removeLast()
    return value
  }

  mutating func pushMark() throws(PickleError) {
    guard marks.count < Self.countLimit else { throw refuse("sets more than \(Self.countLimit) marks") }
    marks.append(stack.count)
  }

  /// The values above the last mark, which are taken away with it.
  mutating func popToMark() throws(PickleError) -> [Pickle.Value] {
    guard let mark = marks.popLast() else { throw refuse("looks for a mark where none is set") }
    let values = Array(stack[mark...])
    stack.removeSubrange(mark...)
    return values
  }

  mutating func memoize(at index: UInt32) throws(PickleError) {
    guard memo.count < Self.countLimit else { throw refuse("keeps more than \(Self.countLimit) values") }
    memo[index] = try top()
  }

  mutating func memoizeNext() throws(PickleError) { try memoize(at: UInt32(memo.count)) }

  func memoized(_ index: UInt32) throws(PickleError) -> Pickle.Value {
    guard let value = memo[index] else { throw refuse("asks for the value \(index), which it never kept") }
    return value
  }

  // MARK: Nodes

  mutating func node(_ kind: Pickle.Kind, _ items: [Pickle.Value]) throws(PickleError) -> Pickle.Value {
    guard nodes.count < Self.countLimit else { throw refuse("makes more than \(Self.countLimit) objects") }
    try countItems(items.count)
    nodes.append(Pickle.Node(kind: kind, items: items))
    return .node(nodes.count - 1)
  }

  private mutating func countItems(_ count: Int) throws(PickleError) {
    itemCount += count
    guard itemCount <= 2 * bytes.count else { throw refuse("copies its objects too often") }
  }

  /// The node of a value, if it is one of this kind.
  func items(of value: Pickle.Value, _ kind: Pickle.Kind) -> [Pickle.Value]? {
    guard case .node(let index) = value, nodes[index].kind == kind else { return nil }
    return nodes[index].items
  }

  /// The kind of a value that is a node.
  func kind(of value: Pickle.Value) -> Pickle.Kind? {
    guard case .node(let index) = value else { return nil }
    return nodes[index].kind
  }

  /// Adds items to the container on top, which must be of this kind; an opaque object swallows them.
  mutating func extend(_ kind: Pickle.Kind, with items: [Pickle.Value]) throws(PickleError) {
    guard case .node(let index) = try top() else { throw refuse("adds items to what is no container") }
    try countItems(items.count)
    switch nodes[index].kind {
    case kind: nodes[index].items += items
    case .call, .object: break
    default: throw refuse("adds items to what can't hold them")
    }
  }
}
