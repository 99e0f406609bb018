/// Tells which patterns the names of tensors fit, for whoever goes through many of them.
///
/// A regular expression takes up to a millisecond to read, so each is read once; what comes of it can't be handed from one thread
/// to another, and so can't be kept in the pattern.
struct NameMatcher {
  private var expressions: [String: Regex<AnyRegexOutput>?] = [:]

  /// True if one of the names of a tensor fits. None fits what is no regular expression.
  mutating func matches(_ pattern: NamePattern, _ names: [String]) -> Bool {
    switch pattern {
    case .contains(let text): text.isEmpty || text == "*" || names.contains { $0.contains(text) }
    case .glob(let glob): names.contains { Glob(glob).matches($0) }
    case .regex(let text):
      expression(text).map { regex in names.contains { (try? regex.firstMatch(in: $0)) != nil } } ?? false
    }
  }

  private mutating func expression(_ text: String) -> Regex<AnyRegexOutput>? {
    if let known = expressions[text] { return known }
    let read = try? NamePattern.expression(text)
    expressions[text] = .some(read)
    return read
  }
}
