/// A JSON value (RFC 8259) that keeps what other readers lose and formats depend on: the order of keys, and how a
/// number was spelled.
public enum JSON: Sendable, Hashable {
  /// `null`
  case null
  /// `true` or `false`
  case bool(Bool)
  /// A number as it is spelled in the text.
  case number(String)
  /// A string, its escapes resolved.
  case string(String)
  /// An array.
  case array([JSON])
  /// An object with its members in order.
  case object(Object)

  /// The members of an object, in order.
  public struct Object: Sendable, Hashable, ExpressibleByDictionaryLiteral {
    /// The members as they stand in the text.
    public private(set) var members: [Member] = []
    private var places: [String: Int] = [:]

    /// A key with its value.
    public struct Member: Sendable, Hashable {
      /// The key.
      public let key: String
      /// The value.
      public var value: JSON
    }

    /// No members.
    public init() {}

    /// Members in the order of the literal; the last of equal keys wins.
    public init(dictionaryLiteral elements: (String, JSON)...) {
      for (key, value) in elements { self[key] = value }
    }

    /// The value of a key; a new key goes to the end, nil removes one.
    public subscript(key: String) -> JSON? {
      get { places[key].map { members[$0].value } }
      set {
        if let place = places[key] {
          if let newValue {
            members[place].value = newValue
          } else {
            members.remove(at: place)
            places = [:]
            for (place, member) in members.enumerated() { places[member.key] = place }
          }
        } else if let newValue {
          places[key] = members.count
          members.append(Member(key: key, value: newValue))
        }
      }
    }

    /// The keys in order.
    public var keys: [String] { members.map(\.key) }
  }
}

extension JSON {
  /// The value of an object's key; nil if this is no object or has no such key.
  public subscript(key: String) -> JSON? { objectValue?[key] }

  /// The members, if this is an object.
  public var objectValue: Object? {
    if case .object(let object) = self { object } else { nil }
  }

  /// The elements, if this is an array.
  public var arrayValue: [JSON]? {
    if case .array(let elements) = self { elements } else { nil }
  }

  /// The text, if this is a string.
  public var stringValue: String? {
    if case .string(let text) = self { text } else { nil }
  }

  /// The truth value, if this is one.
  public var boolValue: Bool? {
    if case .bool(let value) = self { value } else { nil }
  }

  /// The number, if this is one that is spelled as an integer and fits.
  public var intValue: Int? {
    if case .number(let text) = self { Int(text) } else { nil }
  }

  /// The number, if this is one.
  public var doubleValue: Double? {
    if case .number(let text) = self { Double(text) } else { nil }
  }

  /// A number.
  public static func number(_ value: Int) -> JSON { .number(String(value)) }

  /// A number in the shortest spelling that reads back as the same value; a string for what JSON has no number
  /// for (infinities and NaN).
  public static func number(_ value: Double) -> JSON {
    guard value.isFinite else { return .string(String(value)) }
    return .number(value == value.rounded() && value.magnitude < 1e15 ? String(Int(value)) : String(value))
  }
}

extension JSON: ExpressibleByStringLiteral, ExpressibleByBooleanLiteral, ExpressibleByIntegerLiteral {
  /// A string.
  public init(stringLiteral value: String) { self = .string(value) }
  /// A truth value.
  public init(booleanLiteral value: Bool) { self = .bool(value) }
  /// A number.
  public init(integerLiteral value: Int) { self = .number(value) }
}

extension JSON: ExpressibleByArrayLiteral, ExpressibleByDictionaryLiteral {
  /// An array.
  public init(arrayLiteral elements: JSON...) { self = .array(elements) }
  /// An object, its members in the order of the literal.
  public init(dictionaryLiteral elements: (String, JSON)...) {
    var object = Object()
    for (key, value) in elements { object[key] = value }
    self = .object(object)
  }
}
