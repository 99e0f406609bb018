import Fusion
import TensorCore

/// A method with its parameters, as a recipe names it.
public struct MethodSettings: Sendable {
  /// The method.
  public let type: any FusionMethod.Type
  /// The parameters that are given for all models, by their names.
  public var values: [String: TensorValue]
  /// The key of all random numbers.
  public var seed: UInt64
  /// True for mergekit 0.1.5's results where these are fragile, too.
  public var followsMergekit: Bool

  /// A method of embedfuse or of your own, with these parameters; what isn't given has its default.
  ///
  /// - Throws: `EmbedFuseError` (usage) for an unknown parameter or a value out of range.
  public init(
    _ type: any FusionMethod.Type, _ values: [String: TensorValue] = [:], seed: UInt64 = 0,
    followsMergekit: Bool = false
  ) throws(EmbedFuseError) {
    self.type = type
    self.values = [:]
    self.seed = seed
    self.followsMergekit = followsMergekit
    for name in values.keys.sorted() {
      let parameter = try parameter(named: name)
      try Self.check(values[name]!, of: parameter)
      guard self.values.updateValue(values[name]!, forKey: parameter.name) == nil else {
        throw EmbedFuseError(
          .usage, "the parameter \(parameter.name) is given twice", remedy: "give it in one spelling")
      }
    }
    _ = try method()
  }

  /// The method of this name with these parameters; what isn't given has its default.
  ///
  /// - Throws: `EmbedFuseError` (usage) for an unknown method or parameter, or a value out of range.
  public init(
    named name: String, parameters: [String: String] = [:], seed: UInt64 = 0, followsMergekit: Bool = false
  ) throws(EmbedFuseError) {
    try self.init(
      try Self.method(named: name), parameters.mapValues { TensorValue($0) }, seed: seed,
      followsMergekit: followsMergekit)
  }

  /// The method of this name.
  static func method(named name: String) throws(EmbedFuseError) -> any FusionMethod.Type {
    guard let type = FusionMethods.named(name) else { throw unknown(name) }
    return type
  }

  private static func unknown(_ name: String) -> EmbedFuseError {
    let names = FusionMethods.all.map { $0.description.name }
    let nearest = Suggestion.nearest(to: name.replacing("_", with: "-"), among: names)
    return EmbedFuseError(
      .usage, "there is no method '\(name.printable)'",
      remedy: (nearest.map { "did you mean \($0)? " } ?? "")
        + "choose one of: \(names.joined(separator: ", "))")
  }

  /// Delta-guided fusion.
  public static func deltaGuided(_ method: DeltaGuided = DeltaGuided()) -> MethodSettings {
    unchecked(
      DeltaGuided.self,
      [
        "granularity": TensorValue(method.granularity.rawValue),
        "magnitude": TensorValue(method.magnitude.rawValue), "power": TensorValue(method.power),
        "balance": TensorValue(method.balance.rawValue), "lambda": TensorValue(method.lambda.description),
      ])
  }

  /// Model Soups: the weighted mean, or, not normalised, the weighted sum. A λ other than 1 scales the mean's
  /// difference to the base.
  public static func soup(
    normalize: Bool = true, lambda: DeltaGuided.Lambda = .fixed(1)
  ) -> MethodSettings {
    unchecked(
      Soup.self,
      ["normalize": TensorValue(String(normalize)), "lambda": TensorValue(lambda.description)])
  }

  /// The base plus the scaled sum of weighted deltas.
  public static func taskArithmetic(lambda: Double = 1, normalize: Bool = false) -> MethodSettings {
    unchecked(
      TaskArithmetic.self,
      ["lambda": TensorValue(lambda), "normalize": TensorValue(String(normalize))])
  }

  private static func unchecked(
    _ type: any FusionMethod.Type, _ values: [String: TensorValue]
  ) -> MethodSettings {
    var settings = try! MethodSettings(type)
    settings.values = values
    return settings
  }

  /// The description of the method.
  public var description: MethodDescription { type.description }

  /// The name of the method.
  public var name: String { description.name }

  /// The parameter of this name, in either spelling.
  ///
  /// - Throws: `EmbedFuseError` (usage) with the names that there are.
  func parameter(named name: String) throws(EmbedFuseError) -> Parameter {
    if let parameter = description.parameter(named: name) { return parameter }
    let names = description.parameters.map(\.name)
    let nearest = Suggestion.nearest(to: name, among: names)
    throw EmbedFuseError(
      .usage, "\(self.name) has no parameter '\(name.printable)'",
      remedy: (nearest.map { "did you mean \($0)? " } ?? "")
        + (names.isEmpty ? "it has none" : "its parameters are: \(names.joined(separator: ", "))"))
  }

  /// Checks that every value lies in the parameter's range.
  static func check(_ value: TensorValue, of parameter: Parameter) throws(EmbedFuseError) {
    for rule in value.rules {
      for point in rule.points where parameter.number(for: point) == nil {
        throw EmbedFuseError(
          .usage, "\(parameter.name) is '\(point.printable)'; it must be \(parameter.expectation)",
          remedy: "\(parameter.name) is: \(parameter.summary)")
      }
      if case .regex(let pattern) = rule.pattern { _ = try NamePattern.expression(pattern) }
    }
    if parameter.scope == .method && value.constant == nil {
      throw EmbedFuseError(
        .usage,
        "\(parameter.name) shapes the passes over the whole model; it can't differ from tensor to tensor",
        remedy: "give it one value")
    }
  }

  /// Every parameter that the whole recipe shares with its value, in the order in which they are documented.
  public var parameterValues: [(name: String, value: String)] {
    description.parameters.compactMap { parameter in
      if let value = values[parameter.name] {
        return (parameter.name, value.constant.map(parameter.canonical) ?? value.text)
      }
      guard parameter.scope != .model, let standard = parameter.standard else { return nil }
      return (parameter.name, parameter.canonical(standard))
    }
  }

  /// The method itself.
  ///
  /// - Throws: `EmbedFuseError` (usage) if its parameters don't go together.
  public func method() throws(EmbedFuseError) -> any FusionMethod {
    var parameters: [String: String] = [:]
    for parameter in description.parameters where parameter.scope == .method {
      let given = values[parameter.name]
      if let given { try Self.check(given, of: parameter) }
      if let text = given?.constant ?? parameter.standard { parameters[parameter.name] = text }
    }
    return try type.init(MethodOptions(parameters, seed: seed, followsMergekit: followsMergekit))
  }
}

extension Parameter {
  /// A value as this version writes it: numbers as manifests have them, however they were spelled.
  func canonical(_ text: String) -> String {
    switch domain {
    case .number, .numberOr: Double(text).map { $0.isFinite ? JSON.number($0).compactText : text } ?? text
    default: text
    }
  }
}

extension TensorValue {
  /// The value for people: one value, or its rules.
  var text: String {
    if let constant { return constant }
    return rules.map { rule in
      let points = rule.points.joined(separator: ", ")
      let value = rule.points.count > 1 ? "[\(points)]" : points
      return rule.pattern.map { "\(value) for \($0)" } ?? value
    }.joined(separator: "; ")
  }
}
