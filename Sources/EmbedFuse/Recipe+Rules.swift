import Fusion

extension Recipe {
  /// A word on every rule that no tensor fits, which is probably misspelt.
  func rulesWithoutTensors(among rows: [InputAlignment.Row]) -> [String] {
    var rules: [(parameter: String, pattern: NamePattern)] = []
    let levels =
      [method.values, weights.isEmpty ? [:] : ["weight": TensorValue(rules: weights.flatMap(\.rules))]]
      + modelParameters + slices.flatMap { slice in [slice.parameters] + slice.sources.map(\.parameters) }
    for (name, value) in levels.flatMap({ $0.sorted { $0.key < $1.key } }) {
      for case let pattern? in value.rules.map(\.pattern)
      where !rules.contains(where: { $0.parameter == name && $0.pattern == pattern }) {
        rules.append((name, pattern))
      }
    }
    guard !rules.isEmpty else { return [] }
    let fused = rows.filter { $0.sources[0]?.info.elementType.isFusable == true }
    let names = fused.map { row in [row.name, row.comparableName] + row.sources.compactMap { $0?.info.name } }
    var matcher = NameMatcher()
    return rules.filter { rule in !names.contains { matcher.matches(rule.pattern, $0) } }.map {
      "no tensor fits the rule for \($0.parameter): \($0.pattern.description.printable)"
    }
  }
}
