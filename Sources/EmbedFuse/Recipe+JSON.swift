import Checkpoints
import Fusion
import TensorCore

// How a manifest keeps the recipe.

extension Recipe {
  /// The recipe for a manifest: of absolute paths only the last component.
  var json: JSON { json(naming: FusionManifest.portable) }

  /// The recipe as a manifest keeps it.
  ///
  /// - Parameters:
  ///   - name: how an input's path is written.
  ///   - value: how a setting is written.
  func json(
    naming name: (String) -> String, value: (TensorValue) -> JSON = { $0.json }
  ) -> JSON {
    var object: JSON.Object = [
      "base": base.map { .string(name($0)) } ?? .null,
      "models": .array(models.map { .string(name($0)) }),
      "method": .string(method.name),
      "parameters": Self.json(parameters, value),
      "weights": .array(weights.map(value)),
      "dtype": elementType.map { .string($0.name) } ?? .null,
      "missing": .string(missing.rawValue),
      "nonfinite": .string(nonFinite.rawValue),
      "config_from": configFrom.map { .number($0) } ?? .null,
    ]
    if let type = intermediateType { object["intermediate_dtype"] = .string(type.name) }
    if let key = opening.stateDictKey { object["key"] = .string(key) }
    if promotesTypes { object["promotes_types"] = true }
    if method.seed != 0 { object["seed"] = .string(String(method.seed)) }
    if method.followsMergekit { object["compat"] = "mergekit" }
    if !modelParameters.isEmpty {
      object["model_parameters"] = .array(modelParameters.map { Self.json($0, value) })
    }
    if !companions.isEmpty {
      object["companions"] = .array(companions.map { .string(name($0)) })
    }
    if !slices.isEmpty { object["slices"] = .array(slices.map { $0.json(value) }) }
    if !steps.isEmpty {
      object["steps"] = .array(
        steps.map { ["name": .string($0.name), "recipe": $0.recipe.json(naming: name, value: value)] })
    }
    return .object(object)
  }

  /// What all models share, with the defaults.
  private var parameters: [(name: String, value: TensorValue)] {
    var parameters: [(name: String, value: TensorValue)] = []
    for parameter in method.description.parameters {
      if let value = method.values[parameter.name] {
        parameters.append((parameter.name, value))
      } else if parameter.scope != .model, let standard = parameter.standard {
        parameters.append((parameter.name, TensorValue(parameter.canonical(standard))))
      }
    }
    return parameters
  }

  fileprivate static func json(_ values: [String: TensorValue], _ value: (TensorValue) -> JSON) -> JSON {
    json(values.sorted { $0.key < $1.key }.map { (name: $0.key, value: $0.value) }, value)
  }

  private static func json(
    _ values: [(name: String, value: TensorValue)], _ value: (TensorValue) -> JSON
  ) -> JSON {
    .object(values.reduce(into: JSON.Object()) { $0[$1.name] = value($1.value) })
  }

  /// Reads the recipe of a manifest.
  ///
  /// - Throws: `EmbedFuseError` (bad data) if the manifest isn't of a known form.
  init(manifest: FusionManifest, path: String) throws(EmbedFuseError) {
    let unknown = EmbedFuseError(.badData, "its manifest holds no recipe of a known form", path: path)
    guard let recipe = manifest.json["recipe"] else { throw unknown }
    try self.init(json: recipe, unknown: unknown)
  }

  /// Reads what `json(naming:)` gives.
  ///
  /// - Throws: `unknown` if it isn't of a known form.
  init(json recipe: JSON, unknown: EmbedFuseError) throws(EmbedFuseError) {
    func values(_ json: JSON?) throws(EmbedFuseError) -> [String: TensorValue] {
      var result: [String: TensorValue] = [:]
      for member in json?.objectValue?.members ?? [] {
        guard let value = TensorValue(member.value) else { throw unknown }
        result[member.key] = value
      }
      return result
    }
    guard let name = recipe["method"]?.stringValue, let models = recipe["models"]?.arrayValue,
      let missing = recipe["missing"]?.stringValue.flatMap(MissingPolicy.init(rawValue:)),
      let nonFinite = recipe["nonfinite"]?.stringValue.flatMap(NonFinitePolicy.init(rawValue:))
    else { throw unknown }
    var slices: [Slice] = []
    for slice in recipe["slices"]?.arrayValue ?? [] {
      var sources: [Slice.Source] = []
      for source in slice["sources"]?.arrayValue ?? [] {
        guard let layers = source["layers"]?.arrayValue?.compactMap(\.intValue), layers.count == 2,
          layers[0] <= layers[1]
        else { throw unknown }
        sources.append(
          Slice.Source(
            model: source["model"]?.intValue, layers: layers[0]..<layers[1],
            parameters: try values(source["parameters"])))
      }
      slices.append(Slice(sources: sources, parameters: try values(slice["parameters"])))
    }
    var modelParameters: [[String: TensorValue]] = []
    for model in recipe["model_parameters"]?.arrayValue ?? [] { modelParameters.append(try values(model)) }
    self.init(
      base: recipe["base"]?.stringValue, models: models.compactMap(\.stringValue),
      method: try MethodSettings(
        try MethodSettings.method(named: name), try values(recipe["parameters"]),
        seed: recipe["seed"]?.stringValue.flatMap { UInt64($0) } ?? 0,
        followsMergekit: recipe["compat"]?.stringValue == "mergekit"),
      weights: (recipe["weights"]?.arrayValue ?? []).compactMap { TensorValue($0) },
      modelParameters: modelParameters,
      companions: (recipe["companions"]?.arrayValue ?? []).compactMap(\.stringValue), slices: slices,
      elementType: recipe["dtype"]?.stringValue.flatMap(ElementType.init(name:)), missing: missing,
      nonFinite: nonFinite, configFrom: recipe["config_from"]?.intValue)
    opening.stateDictKey = recipe["key"]?.stringValue
    promotesTypes = recipe["promotes_types"]?.boolValue ?? false
    intermediateType = recipe["intermediate_dtype"]?.stringValue.flatMap(ElementType.init(name:))
    for step in recipe["steps"]?.arrayValue ?? [] {
      guard let name = step["name"]?.stringValue, let inner = step["recipe"] else { throw unknown }
      steps.append(Step(name: name, recipe: try Recipe(json: inner, unknown: unknown)))
    }
  }
}

extension Recipe.Slice {
  fileprivate func json(_ value: (TensorValue) -> JSON) -> JSON {
    [
      "sources": .array(
        sources.map {
          [
            "model": $0.model.map { .number($0) } ?? .null,
            "layers": .array([.number($0.layers.lowerBound), .number($0.layers.upperBound)]),
            "parameters": Recipe.json($0.parameters, value),
          ]
        }),
      "parameters": Recipe.json(parameters, value),
    ]
  }
}

extension TensorValue {
  /// One value, or a list of rules; numbers as numbers.
  var json: JSON { json(Self.json) }

  /// The same with every value as the text that it was given as.
  var literalJSON: JSON { json { .string($0) } }

  private func json(_ write: (String) -> JSON) -> JSON {
    if let constant { return write(constant) }
    return .array(
      rules.map { rule in
        var object = JSON.Object()
        switch rule.pattern {
        case .contains(let text): object["filter"] = .string(text)
        case .glob(let text): object["match"] = .string(text)
        case .regex(let text): object["regex"] = .string(text)
        case nil: break
        }
        object["value"] =
          rule.points.count == 1 ? write(rule.points[0]) : .array(rule.points.map(write))
        return .object(object)
      })
  }

  private static func json(_ text: String) -> JSON {
    Double(text).map { $0.isFinite ? .number($0) : .string(text) } ?? Bool(text).map { .bool($0) }
      ?? .string(text)
  }

  private static func text(_ json: JSON) -> String? {
    switch json {
    case .string(let text), .number(let text): text
    case .bool(let value): String(value)
    default: nil
    }
  }

  /// Reads what `json` gives.
  init?(_ json: JSON) {
    if let text = Self.text(json) {
      self.init(text)
      return
    }
    var rules: [Rule] = []
    for entry in json.arrayValue ?? [] {
      guard let value = entry["value"] else { return nil }
      let points = (value.arrayValue ?? [value]).compactMap(Self.text)
      let pattern: NamePattern? =
        entry["filter"]?.stringValue.map { .contains($0) } ?? entry["match"]?.stringValue.map { .glob($0) }
        ?? entry["regex"]?.stringValue.map { .regex($0) }
      rules.append(Rule(pattern, points: points))
    }
    guard !rules.isEmpty else { return nil }
    self.init(rules: rules)
  }
}
