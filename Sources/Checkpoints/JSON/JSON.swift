/// A JSON value (RFC 8259) that keeps what other readers lose and formats depend on: the order of keys, and how a
/// number was spelled.
///
/// Two values are equal if they hold the same, whatever the order of members; numbers compare by their spelling
/// and strings by their bytes, so that spellings which Unicode calls equivalent stay apart.
public enum JSON: Sendable {
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

  /// The number rounded to the nearest `Double`, if this is one and within its range.
  public var doubleValue: Double? {
    guard case .number(let text) = self, let value = Double(text), value.isFinite else { return nil }
    return value
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

extension JSON: Hashable {
  /// True if both hold the same.
  public static func == (left: JSON, right: JSON) -> Bool {
    switch (left, right) {
    case (.null, .null): true
    case (.bool(let a), .bool(let b)): a == b
    case (.number(let a), .number(let b)): a == b
    case (.string(let a), .string(let b)): ExactString(a) == ExactString(b)
    case (.array(let a), .array(let b)): a == b
    case (.object(let a), .object(let b)): a == b
    default: false
    }
  }

  /// Hashes what the value holds.
  public func hash(into hasher: inout Hasher) {
    switch self {
    case .null: hasher.combine(0)
    case .bool(let value): hasher.combine(value)
    case .number(let text): hasher.combine(text)
    case .string(let text): hasher.combine(ExactString(text))
    case .array(let elements): hasher.combine(elements)
    case .object(let members): hasher.combine(members)
    }
  }
}
