import TensorCore

/// A pickle that was read as inert records: a value, and the nodes that it leads to.
///
/// Nothing of it is executed or constructed: what Python would import is a pair of names, what it would call is a
/// node that holds function and arguments. Nodes refer to each other by number, so that deep or circular nesting
/// needs no recursion, neither to read nor to free.
struct Pickle: Sendable {
  /// A range of the pickle's bytes.
  struct Text: Sendable, Hashable {
    let start: UInt32
    let count: UInt32
  }

  /// One value.
  enum Value: Sendable, Hashable {
    case none
    case bool(Bool)
    case int(Int)
    /// An integer that `Int` can't hold, little-endian two's complement.
    case long(Text)
    case float(Double)
    /// Text in UTF-8.
    case text(Text)
    /// Bytes, or a text of Python 2, which may be any.
    case bytes(Text)
    /// The node of this number.
    case node(Int)
  }

  /// What a node is.
  enum Kind: Sendable, Hashable {
    case tuple
    case list
    case set
    /// Keys and values in turn, as they were set; of equal keys the last counts.
    case dictionary
    /// Module and name of something that Python would import.
    case global
    /// A callable and the tuple of its arguments, which Python would call.
    case call
    /// A class and the tuple of its arguments, of which Python would make an object.
    case object
    /// What Python would ask the file for: the one item is its identity.
    case persistent
  }

  /// A value that holds others.
  struct Node: Sendable {
    let kind: Kind
    var items: [Value]
  }

  /// The bytes, of which texts are ranges.
  let bytes: [UInt8]
  /// All nodes, in the order in which they were begun.
  let nodes: [Node]
  /// The value that the whole pickle stands for.
  let root: Value
  /// The byte after its last opcode.
  let end: Int

  /// The node of a value, if it is one of this kind.
  func items(of value: Value?, _ kind: Kind) -> [Value]? {
    guard case .node(let index)? = value, nodes[index].kind == kind else { return nil }
    return nodes[index].items
  }

  /// The items of a tuple or a list.
  func sequence(_ value: Value?) -> [Value]? {
    items(of: value, .tuple) ?? items(of: value, .list)
  }

  /// The characters of a text, or of bytes that are UTF-8.
  func string(_ value: Value?) -> String? {
    switch value {
    case .text(let text)?, .bytes(let text)?: String(validating: slice(text), as: UTF8.self)
    default: nil
    }
  }

  /// The bytes of a text.
  func slice(_ text: Text) -> ArraySlice<UInt8> {
    bytes[Int(text.start)..<Int(text.start) + Int(text.count)]
  }

  /// `module.name` of a global, with the spelling of Python 3 for what Python 2 named otherwise.
  func globalName(_ value: Value?) -> String? {
    guard let items = items(of: value, .global), let module = string(items[0]), let name = string(items[1])
    else { return nil }
    return (module == "__builtin__" ? "builtins" : module) + "." + name
  }
}

/// Why a pickle, or what was looked for in it, can't be read.
struct PickleError: Error {
  /// What was found, and what was expected instead.
  var problem: String
  /// The pickle's byte at which it was found.
  var offset: Int?
  /// True if more bytes might help.
  var isTruncation = false
  /// What the user can do.
  var remedy: String?

  /// The error as users see it.
  func located(path: String, tensor: String? = nil, start: Int = 0) -> EmbedFuseError {
    EmbedFuseError(
      .badData, problem, path: path, tensor: tensor, offset: offset.map { $0 + start }, remedy: remedy)
  }
}
