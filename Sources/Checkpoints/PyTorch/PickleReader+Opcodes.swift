import TensorCore

extension PickleReader {
  /// Carries out one opcode other than STOP.
  mutating func apply(_ opcode: UInt8) throws(PickleError) {
    switch UnicodeScalar(opcode) {
    case "\u{80}": _ = try byte()  // PROTO: torch doesn't check it either.
    case "(": try pushMark()
    case "N": try push(.none)
    case "\u{88}": try push(.bool(true))
    case "\u{89}": try push(.bool(false))
    case "J": try push(.int(Int(Int32(truncatingIfNeeded: try unsigned(4)))))
    case "K": try push(.int(Int(try byte())))
    case "M": try push(.int(Int(try unsigned(2))))
    case "\u{8A}": try push(try integer(byteCount: UInt64(try byte())))
    case "G": try push(.float(Double(bitPattern: try unsigned(8).byteSwapped)))
    case "X": try push(try characters(try unsigned(4)))
    case "U": try push(.bytes(try text(UInt64(try byte()))))
    case ")": try push(try node(.tuple, []))
    case "t": try push(try node(.tuple, try popToMark()))
    case "\u{85}": try pushTuple(1)
    case "\u{86}": try pushTuple(2)
    case "\u{87}": try pushTuple(3)
    case "]": try push(try node(.list, []))
    case "}": try push(try node(.dictionary, []))
    case "\u{8F}": try push(try node(.set, []))
    case "a": try extend(.list, with: [try pop()])
    case "e": try extend(.list, with: try popToMark())
    case "s":
      let value = try pop()
      try extend(.dictionary, with: [try pop(), value])
    case "u":
      let items = try popToMark()
      guard items.count % 2 == 0 else { throw refuse("sets a key without a value") }
      try extend(.dictionary, with: items)
    case "q": try memoize(at: UInt32(try byte()))
    case "r": try memoize(at: UInt32(try unsigned(4)))
    case "h": try push(try memoized(UInt32(try byte())))
    case "j": try push(try memoized(UInt32(try unsigned(4))))
    case "c": try pushGlobal(.bytes(try line()), .bytes(try line()))
    case "R": try reduce()
    case "\u{81}": try makeObject(keywords: false)
    case "b":
      _ = try pop()
      guard kind(of: try top()) != nil else { throw refuse("gives a state to what is no object") }
    case "Q": try pushPersistent()
    default: try applyLater(opcode)
    }
  }

  /// Carries out what protocols 4 and 5 added, and the texts of Python 2.
  private mutating func applyLater(_ opcode: UInt8) throws(PickleError) {
    guard !isStrict else { throw unknown(opcode) }
    switch UnicodeScalar(opcode) {
    case "\u{95}": _ = try unsigned(8)  // FRAME: a hint for buffering.
    case "\u{94}": try memoizeNext()
    case "\u{8C}": try push(try characters(UInt64(try byte())))
    case "\u{8D}": try push(try characters(try unsigned(8)))
    case "C": try push(.bytes(try text(UInt64(try byte()))))
    case "B", "T": try push(.bytes(try text(try unsigned(4))))
    case "\u{8E}", "\u{96}": try push(.bytes(try text(try unsigned(8))))
    case "\u{90}": try extend(.set, with: try popToMark())
    case "\u{91}": try push(try node(.set, try popToMark()))
    case "\u{92}": try makeObject(keywords: true)
    case "\u{93}":
      let name = try pop()
      let module = try pop()
      guard case .text = name, case .text = module else { throw refuse("names a global by what is no text") }
      try pushGlobal(module, name)
    default: throw unknown(opcode)
    }
  }

  private func unknown(_ opcode: UInt8) -> PickleError {
    var error = refuse("has the opcode 0x\(String(opcode, radix: 16)), which torch.save doesn't write")
    error.offset = position - 1
    return error
  }

  private mutating func integer(byteCount: UInt64) throws(PickleError) -> Pickle.Value {
    let text = try text(byteCount)
    let digits = bytes[Int(text.start)..<Int(text.start) + Int(byteCount)]
    // What goes beyond 64 bits must only repeat the sign.
    let sign: UInt8 = (digits.last ?? 0) & 0x80 == 0 ? 0 : 0xFF
    guard digits.dropFirst(8).allSatisfy({ $0 == sign }) else { return .long(text) }
    var value: UInt64 = sign == 0 ? 0 : .max
    for digit in digits.prefix(8).reversed() { value = value << 8 | UInt64(digit) }
    let number = Int(Int64(bitPattern: value))
    return (number < 0) == (sign != 0) ? .int(number) : .long(text)
  }

  private mutating func pushTuple(_ count: Int) throws(PickleError) {
    var items: [Pickle.Value] = []
    for _ in 0..<count { items.append(try pop()) }
    try push(try node(.tuple, items.reversed()))
  }

  private mutating func pushGlobal(_ module: Pickle.Value, _ name: Pickle.Value) throws(PickleError) {
    let value = try node(.global, [module, name])
    if isStrict {
      let name = globalName(value) ?? "what is no text"
      guard TorchGlobals.isAllowed(name) else {
        throw PickleError(
          problem: "the pickle names \(name.printable), which torch's weights-only loader refuses",
          offset: position,
          remedy: "without --strict-pickle it is read as an inert record; nothing is ever executed")
      }
    }
    try push(value)
  }

  private func globalName(_ value: Pickle.Value) -> String? {
    guard let items = items(of: value, .global), let module = string(items[0]), let name = string(items[1])
    else { return nil }
    return (module == "__builtin__" ? "builtins" : module) + "." + name
  }

  private func string(_ value: Pickle.Value) -> String? {
    switch value {
    case .text(let text), .bytes(let text):
      String(validating: bytes[Int(text.start)..<Int(text.start) + Int(text.count)], as: UTF8.self)
    default: nil
    }
  }

  /// A call: containers that Python spells as calls become what they are, all else stays a record of the call.
  private mutating func reduce() throws(PickleError) {
    let arguments = try pop()
    let callable = try pop()
    guard let items = items(of: arguments, .tuple) else {
      throw refuse("calls something with what is no tuple of arguments")
    }
    guard let kind = kind(of: callable), [.global, .call, .object].contains(kind) else {
      throw refuse("calls what is no function")
    }
    switch globalName(callable) {
    case "collections.OrderedDict", "collections.Counter", "builtins.dict":
      try push(try node(.dictionary, try pairs(items.first)))
    case "collections.defaultdict":
      try push(try node(.dictionary, []))
    case "builtins.set", "builtins.frozenset":
      try push(try node(.set, items))
    case "torch.Size":
      try push(items.first ?? arguments)
    default:
      try push(try node(.call, [callable, arguments]))
    }
  }

  /// The keys and values in turn of a sequence of pairs, or of a dictionary.
  private func pairs(_ value: Pickle.Value?) throws(PickleError) -> [Pickle.Value] {
    guard let value else { return [] }
    if let items = items(of: value, .dictionary) { return items }
    var result: [Pickle.Value] = []
    for pair in items(of: value, .list) ?? items(of: value, .tuple) ?? [] {
      guard let items = items(of: pair, .list) ?? items(of: pair, .tuple), items.count == 2 else {
        throw refuse("makes a dictionary of what are no pairs")
      }
      result += items
    }
    return result
  }

  private mutating func makeObject(keywords: Bool) throws(PickleError) {
    if keywords { _ = try pop() }
    let arguments = try pop()
    let type = try pop()
    guard kind(of: arguments) == .tuple, kind(of: type) != nil else {
      throw refuse("makes an object of what is no class")
    }
    // An ordered dictionary may also be made this way.
    if globalName(type) == "collections.OrderedDict" {
      try push(try node(.dictionary, []))
    } else {
      try push(try node(.object, [type, arguments]))
    }
  }

  private mutating func pushPersistent() throws(PickleError) {
    let identity = try pop()
    guard let items = items(of: identity, .tuple), items.count >= 1, string(items[0]) == "storage" else {
      throw refuse("refers to something outside of it that is no storage")
    }
    try push(try node(.persistent, [identity]))
  }
}
