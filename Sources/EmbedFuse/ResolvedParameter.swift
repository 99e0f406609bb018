import Fusion
import TensorCore

/// What a parameter comes to for one tensor, and why.
public struct ResolvedParameter: Sendable, Hashable {
  /// The parameter's name.
  public let name: String
  /// Its value: one, or one for each model.
  public let values: [Double]
  /// The values as a recipe writes them.
  public let texts: [String]
  /// Where each comes from: `model`, `slice`, `recipe` or `default`, with the rule that decided.
  public let origins: [String]
}

/// Finds the values of a method's parameters for one tensor: of the levels of a recipe, the first that has a value.
struct ParameterResolver {
  /// A place in a recipe where values stand.
  typealias Level = (name: String, values: [String: TensorValue])

  /// The method.
  let description: MethodDescription
  /// The names by which rules may know the tensor in the output.
  let names: [String]
  /// The place of the tensor's layer among the layers, from 0 to 1; 0 outside of them.
  let depth: Double
  /// What holds for all models, the closest level first.
  let shared: [Level]
  /// For each model the names of its tensor, and what holds for it alone, the closest level first.
  let models: [(names: [String], levels: [Level])]
  /// The models' paths, for messages.
  let paths: [String]

  /// The values of all parameters that tensors have.
  ///
  /// - Throws: `EmbedFuseError` (usage) for a parameter that has no value.
  func resolve(_ matcher: inout NameMatcher) throws(EmbedFuseError) -> [ResolvedParameter] {
    var result: [ResolvedParameter] = []
    for parameter in description.parameters {
      switch parameter.scope {
      case .method: continue
      case .tensor:
        let found = try find(parameter, in: shared, names: names, path: nil, &matcher)
        result.append(
          ResolvedParameter(
            name: parameter.name, values: [found.value], texts: [found.text], origins: [found.origin]))
      case .model:
        var values: [Double] = []
        var texts: [String] = []
        var origins: [String] = []
        for (model, path) in zip(models, paths) {
          let found = try find(
            parameter, in: model.levels + shared, names: model.names, path: path, &matcher)
          values.append(found.value)
          texts.append(found.text)
          origins.append(found.origin)
        }
        result.append(
          ResolvedParameter(name: parameter.name, values: values, texts: texts, origins: origins))
      }
    }
    return result
  }

  private func find(
    _ parameter: Parameter, in levels: [Level], names: [String], path: String?, _ matcher: inout NameMatcher
  ) throws(EmbedFuseError) -> (value: Double, text: String, origin: String) {
    var hasRules = false
    for level in levels {
      guard let value = level.values[parameter.name] else { continue }
      hasRules = true
      guard let rule = value.rule(for: names, &matcher) else { continue }
      let origin = rule.pattern.map { "\(level.name), \($0)" } ?? level.name
      return try point(of: rule, parameter, origin: origin)
    }
    if hasRules && parameter.name == "weight" {
      throw EmbedFuseError(
        .usage, "none of the filters of this model's weight fits", path: path, tensor: names[0],
        remedy: "end the list of filters with one that fits every name")
    }
    guard let standard = parameter.standard, let value = parameter.number(for: standard) else {
      throw EmbedFuseError(
        .usage, "\(description.name) needs the parameter \(parameter.name): \(parameter.summary)",
        path: path, tensor: names[0],
        remedy: hasRules
          ? "end the list of filters with one that fits every name"
          : "give it with --set \(parameter.name)=VALUE, or in the recipe")
    }
    return (value, parameter.canonical(standard), "default")
  }

  /// The value of a rule at the tensor's depth: numbers between two points are interpolated.
  private func point(
    of rule: TensorValue.Rule, _ parameter: Parameter, origin: String
  ) throws(EmbedFuseError) -> (value: Double, text: String, origin: String) {
    let numbers = rule.points.compactMap { parameter.number(for: $0) }
    guard numbers.count == rule.points.count else {
      throw EmbedFuseError(
        .usage, "\(parameter.name) must be \(parameter.expectation)", tensor: names[0],
        remedy: "\(parameter.name) is: \(parameter.summary)")
    }
    guard numbers.count > 1 else { return (numbers[0], parameter.canonical(rule.points[0]), origin) }
    let place = depth * Double(numbers.count - 1)
    let low = Int(place)
    let origin = "\(origin), gradient at \((depth * 1000).rounded() / 1000)"
    guard case .number = parameter.domain else {
      return (numbers[low], rule.points[low], origin)
    }
    let high = min(numbers.count - 1, low + 1)
    let fraction = place - Double(low)
    let value = (1 - fraction) * numbers[low] + fraction * numbers[high]
    return (value, String(value), origin)
  }
}
