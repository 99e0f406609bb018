import Checkpoints
import Fusion

/// Which tensors a rule is for.
public enum NamePattern: Sendable, Hashable {
  /// The names that contain a text; an empty one and `*` are in every name. As mergekit's filters, case-sensitive.
  case contains(String)
  /// The names that a glob fits as a whole: `*` any characters, `?` one, `[…]` one of these.
  case glob(String)
  /// The names in which a regular expression is found.
  case regex(String)

  /// True if one of the names of a tensor fits.
  public func matches(_ names: [String]) -> Bool {
    var matcher = NameMatcher()
    return matcher.matches(self, names)
  }

  /// The most bytes of a regular expression, and the most brackets and set operators in it.
  private static let limits = (bytes: 1000, classes: 20)

  /// A regular expression, ready for use.
  ///
  /// Swift's reader of them descends a level for each class within another and for each operator of a class, 7 KiB of
  /// stack each, and sets no limit, as it does for groups (64 levels, 200 KiB); a task has 512 KiB. Brackets
  /// and operators are counted wherever they stand, since only the reader knows which are meant literally.
  ///
  /// - Throws: `EmbedFuseError` (usage) if it is none, or one that is too long or has too many classes.
  static func expression(_ pattern: String) throws(EmbedFuseError) -> Regex<AnyRegexOutput> {
    guard pattern.utf8.count <= limits.bytes else {
      throw EmbedFuseError(
        .usage, "a regular expression has \(pattern.utf8.count) bytes; \(limits.bytes) are the most",
        remedy: "give the value by several rules; the first that fits decides")
    }
    let bytes = Array(pattern.utf8)
    let operators = zip(bytes, bytes.dropFirst()).count { $0 == $1 && "-&~".utf8.contains($0) }
    let classes = bytes.count { $0 == UInt8(ascii: "[") } + operators
    guard classes <= limits.classes else {
      throw EmbedFuseError(
        .usage,
        "'\(pattern.printable)' has \(classes) opening brackets and operators of classes (--, &&, ~~); \(limits.classes) are the most",
        remedy: "give the value by several rules; the first that fits decides")
    }
    guard let regex = try? Regex(pattern) else {
      throw EmbedFuseError(
        .usage, "'\(pattern.printable)' is no regular expression",
        remedy: "close its brackets, and put a backslash before what is meant literally")
    }
    return regex
  }
}

extension NamePattern: CustomStringConvertible {
  /// The pattern with its kind.
  public var description: String {
    switch self {
    case .contains(let text): "filter '\(text)'"
    case .glob(let glob): "match '\(glob)'"
    case .regex(let pattern): "regex '\(pattern)'"
    }
  }
}

/// A value that may differ from tensor to tensor: the first rule that a name satisfies decides.
///
/// Values are kept as a recipe writes them: numbers, `true`, `false`, or words.
public struct TensorValue: Sendable, Hashable, ExpressibleByFloatLiteral, ExpressibleByIntegerLiteral {
  /// A value for the tensors whose name fits a pattern; nil for all.
  public struct Rule: Sendable, Hashable {
    /// The tensors concerned; nil for all.
    public var pattern: NamePattern?
    /// One value, or several that are spread evenly over the layers, from the first to the last.
    public var points: [String]

    /// A rule.
    public init(_ pattern: NamePattern?, points: [String]) {
      self.pattern = pattern
      self.points = points
    }
  }

  /// The rules in order.
  public var rules: [Rule]

  /// A value by rules.
  public init(rules: [Rule]) {
    self.rules = rules
  }

  /// The same value for every tensor.
  public init(_ text: String) {
    rules = [Rule(nil, points: [text])]
  }

  /// The same number for every tensor.
  public init(_ value: Double) { self.init(String(value)) }

  /// The same value for every tensor.
  public init(floatLiteral value: Double) { self.init(value) }

  /// The same value for every tensor.
  public init(integerLiteral value: Int) { self.init(Double(value)) }

  /// The one value of all tensors; nil if they may differ.
  public var constant: String? {
    rules.count == 1 && rules[0].pattern == nil && rules[0].points.count == 1 ? rules[0].points[0] : nil
  }

  /// The rule for a tensor, which may go by several names, or nil if none fits.
  func rule(for names: [String], _ matcher: inout NameMatcher) -> Rule? {
    for rule in rules where !rule.points.isEmpty {
      guard let pattern = rule.pattern, !matcher.matches(pattern, names) else { return rule }
    }
    return nil
  }
}

/// A pattern of file names, for tensor names: `*`, `?` and `[…]`.
struct Glob {
  private let pattern: [Character]

  init(_ pattern: String) {
    self.pattern = Array(pattern)
  }

  /// True if the pattern fits the whole name.
  func matches(_ name: String) -> Bool {
    let name = Array(name)
    var (p, n) = (0, 0)
    var (star, resume) = (-1, 0)
    while n < name.count {
      if p < pattern.count, pattern[p] == "*" {
        (star, resume) = (p, n)
        p += 1
      } else if p < pattern.count, let next = step(p, name[n]) {
        p = next
        n += 1
      } else if star >= 0 {
        resume += 1
        (p, n) = (star + 1, resume)
      } else {
        return false
      }
    }
    return pattern[p...].allSatisfy { $0 == "*" }
  }

  /// The place after the one-character pattern at `p`, if it fits.
  private func step(_ p: Int, _ character: Character) -> Int? {
    switch pattern[p] {
    case "?": return p + 1
    case "[":
      guard let end = pattern[(p + 1)...].firstIndex(of: "]") else { return character == "[" ? p + 1 : nil }
      var members = pattern[(p + 1)..<end]
      let negated = members.first == "!"
      if negated { members = members.dropFirst() }
      var found = false
      var index = members.startIndex
      while index < members.endIndex {
        if index + 2 < members.endIndex, members[index + 1] == "-" {
          found = found || (members[index]...max(members[index], members[index + 2])).contains(character)
          index += 3
        } else {
          found = found || members[index] == character
          index += 1
        }
      }
      return found != negated ? end + 1 : nil
    default: return pattern[p] == character ? p + 1 : nil
    }
  }
}
