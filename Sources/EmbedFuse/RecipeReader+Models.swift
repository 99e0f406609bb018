import Fusion
import TensorCore

extension RecipeReader {
  // MARK: Models and slices

  /// The list of models: paths, or maps with a path and parameters.
  mutating func read(
    models: (line: Int, value: RecipeNode), of type: any FusionMethod.Type, into draft: inout RecipeDraft
  ) throws(EmbedFuseError) {
    for item in try items(of: models, "models") {
      let (path, parameters, layers) = try model(item, of: type)
      guard layers == nil else {
        throw error(
          item.line, "a layer range stands in a slice", remedy: "use 'slices:' in place of 'models:'")
      }
      guard !draft.contains(path) else {
        throw error(item.line, "the model \(path.printable) is listed twice", remedy: "list it once")
      }
      draft.add(path, parameters)
    }
  }

  /// The slices of a recipe.
  mutating func read(
    slices: (line: Int, value: RecipeNode), of type: any FusionMethod.Type, into draft: inout RecipeDraft
  ) throws(EmbedFuseError) {
    for item in try items(of: slices, "slices") {
      let entries = try entries(of: item, keys: Self.sliceKeys, what: "a slice")
      if let base = entries["base_model"], let path = try text(base, "the base"), path != draft.base {
        if draft.base == nil, draft.models.isEmpty {
          draft.base = path
        } else {
          throw error(
            base.line, "a base for one slice alone is not supported", remedy: "name one base for all")
        }
      }
      guard let sources = entries["sources"] else {
        throw error(
          item.line, "a slice must list its sources",
          remedy: "add 'sources: [{model: A, layer_range: [0, 12]}]'")
      }
      var slice = Recipe.Slice(
        sources: [], parameters: try parameters(entries["parameters"], of: type, within: [.model, .tensor]))
      for source in try items(of: sources, "sources") {
        let (path, parameters, layers) = try model(source, of: type)
        guard let layers else {
          throw error(source.line, "a source must say its layers", remedy: "add 'layer_range: [0, 12]'")
        }
        slice.sources.append(
          Recipe.Slice.Source(model: draft.model(at: path), layers: layers, parameters: parameters))
      }
      draft.slices.append(slice)
    }
  }

  /// One model or source: its path, its parameters and its layers.
  mutating func model(
    _ node: RecipeNode, of type: any FusionMethod.Type
  ) throws(EmbedFuseError) -> (path: String, parameters: [String: TensorValue], layers: Range<Int>?) {
    if let text = node.text { return (try reference(text, line: node.line), [:], nil) }
    let names = type.description.parameters.filter { $0.scope == .model }.map(\.name)
    let keys = Self.modelKeys + names.filter { !Self.modelKeys.contains($0) }
    let entries = try entries(of: node, keys: keys, what: "a model")
    guard let model = entries["model"] else {
      throw error(node.line, "a model must have a path under 'model'", remedy: "add 'model: PATH'")
    }
    let path = try path(ofReference: model)
    var parameters = try parameters(entries["parameters"], of: type, within: [.model])
    for name in Set(names + ["weight"]).sorted() {
      guard let entry = entries[name] else { continue }
      guard parameters[name] == nil else {
        throw error(entry.line, "'\(name)' is given twice for this model", remedy: "give it once")
      }
      for (key, value) in try self.parameters([(name, entry.line, entry.value)], of: type) {
        parameters[key] = value
      }
    }
    return (path, parameters, try layers(entries["layer_range"]))
  }

  /// A reference, as a text or as a map.
  mutating func path(
    ofReference entry: (line: Int, value: RecipeNode)
  ) throws(EmbedFuseError) -> String {
    if let text = entry.value.text { return try reference(text, line: entry.line) }
    return try path(of: entry)
  }

  /// The map form of a reference: {model: {path, revision}, lora, override_architecture}.
  private mutating func path(of model: (line: Int, value: RecipeNode)) throws(EmbedFuseError) -> String {
    let entries = try entries(
      of: model.value, keys: ["model", "path", "revision", "lora", "override_architecture"],
      what: "a model's path")
    func checked(_ entries: [String: (line: Int, value: RecipeNode)]) throws(EmbedFuseError) -> String? {
      for key in ["revision", "override_architecture"] {
        if let entry = entries[key], !entry.value.isNull { throw unsupported(key, entry.line) }
      }
      return try text(entries["path"], "a path")
    }
    var result = try checked(entries)
    if let inner = entries["model"] {
      if let text = inner.value.text {
        result = text
      } else {
        result = try checked(
          try self.entries(of: inner.value, keys: ["path", "revision"], what: "a model's path"))
      }
    }
    guard var result else {
      throw error(model.line, "a model must have a path", remedy: "add 'path: PATH'")
    }
    if let lora = entries["lora"], !lora.value.isNull {
      if let text = lora.value.text {
        result += "+" + text
      } else {
        let inner = try self.entries(of: lora.value, keys: ["path", "revision"], what: "an adapter's path")
        guard let text = try checked(inner) else {
          throw error(lora.line, "an adapter must have a path", remedy: "add 'path: PATH'")
        }
        result += "+" + text
      }
    }
    return result
  }

  private func unsupported(_ key: String, _ line: Int) -> EmbedFuseError {
    error(
      line, "'\(key)' is not supported: models are read from disk as they are",
      remedy: "download the revision that you want, and name its directory")
  }

  /// A reference as a text: a path, perhaps with `+adapter`; mergekit's `@revision` is refused.
  private func reference(_ text: String, line: Int) throws(EmbedFuseError) -> String {
    guard !text.isEmpty else { throw error(line, "a path is empty", remedy: "name a model") }
    if text.contains("@"), !ModelReference.exists(text) { throw unsupported("@revision", line) }
    return text
  }

  private func layers(_ entry: (line: Int, value: RecipeNode)?) throws(EmbedFuseError) -> Range<Int>? {
    guard let entry, !entry.value.isNull else { return nil }
    let numbers = (entry.value.items ?? []).compactMap { $0.text.flatMap { Int($0) } }
    guard numbers.count == 2, entry.value.items?.count == 2, numbers[0] >= 0, numbers[1] > numbers[0] else {
      throw error(
        entry.line, "layer_range must be two numbers, the first layer and the one after the last",
        remedy: "for example 'layer_range: [0, 12]'")
    }
    return numbers[0]..<numbers[1]
  }

  // MARK: Parameters

  /// The parameters under a key.
  mutating func parameters(
    _ entry: (line: Int, value: RecipeNode)?, of type: any FusionMethod.Type,
    within scopes: [Parameter.Scope] = [.method, .tensor, .model]
  ) throws(EmbedFuseError) -> [String: TensorValue] {
    guard let entry, !entry.value.isNull else { return [:] }
    guard let entries = entry.value.entries else {
      throw error(
        entry.line, "parameters must be names with values", remedy: "for example 'parameters: {density: 0.5}'"
      )
    }
    for (key, line, _) in entries {
      guard let parameter = type.description.parameter(named: key), !scopes.contains(parameter.scope) else {
        continue
      }
      let problem = "\(parameter.name) holds for all models, so that it has no effect here"
      guard isLenient else { throw error(line, problem, remedy: "move it to the parameters of the recipe") }
      warnings.append("\(path.printable), line \(line): \(problem)")
    }
    return try parameters(
      entries.filter { entry in
        type.description.parameter(named: entry.key).map { scopes.contains($0.scope) } ?? true
      }, of: type)
  }

  private mutating func parameters(
    _ entries: [(key: String, line: Int, value: RecipeNode)], of type: any FusionMethod.Type
  ) throws(EmbedFuseError) -> [String: TensorValue] {
    var result: [String: TensorValue] = [:]
    for (key, line, node) in entries {
      guard let parameter = type.description.parameter(named: key) else {
        let names = type.description.parameters.map(\.name)
        let nearest = Suggestion.nearest(to: key, among: names)
        let problem = "\(type.description.name) has no parameter '\(key.printable)'"
        // mergekit takes a scale for passthrough and a t for slerp from anywhere, and ignores what it doesn't know.
        guard isLenient else {
          throw error(
            line, problem,
            remedy: nearest.map { "did you mean '\($0)'?" }
              ?? (names.isEmpty ? "it has none" : "its parameters are: \(names.joined(separator: ", "))"))
        }
        warnings.append("\(path.printable), line \(line): \(problem), which is ignored")
        continue
      }
      guard let value = try value(node, line: line, of: parameter) else { continue }
      do { try MethodSettings.check(value, of: parameter) } catch {
        throw self.error(line, error.problem, remedy: error.remedy)
      }
      result[parameter.name] = value
    }
    return result
  }

  /// A value: one, a gradient, a rule or rules; nil for an empty list, which says nothing.
  private mutating func value(
    _ node: RecipeNode, line: Int, of parameter: Parameter
  ) throws(EmbedFuseError) -> TensorValue? {
    switch node.kind {
    case .null:
      throw error(line, "\(parameter.name) has no value", remedy: "leave the key out, or give a value")
    case .scalar(let text): return TensorValue(text)
    case .map: return TensorValue(rules: [try rule(node)])
    case .list(let items):
      guard !items.isEmpty else { return nil }
      if items.allSatisfy({ $0.text != nil }) {
        return TensorValue(rules: [TensorValue.Rule(nil, points: items.compactMap(\.text))])
      }
      guard items.allSatisfy({ $0.entries != nil }) else {
        throw error(
          line, "\(parameter.name) mixes values and rules",
          remedy: "give a list of values (a gradient), or a list of {filter, value}")
      }
      var rules: [TensorValue.Rule] = []
      for item in items { rules.append(try rule(item)) }
      return TensorValue(rules: rules)
    }
  }

  private mutating func rule(_ node: RecipeNode) throws(EmbedFuseError) -> TensorValue.Rule {
    let entries = try entries(of: node, keys: Self.ruleKeys, what: "a rule")
    guard let value = entries["value"] else {
      throw error(
        node.line, "a rule must have a value", remedy: "for example {filter: attention, value: 0.5}")
    }
    let points = value.value.text.map { [$0] } ?? (value.value.items ?? []).compactMap(\.text)
    guard !points.isEmpty, points.count == value.value.items?.count ?? 1 else {
      throw error(
        value.line, "a rule's value must be one value or a list of them",
        remedy: "for example 'value: 0.5', or 'value: [0.5, 0.9]' from the first layer to the last")
    }
    var patterns: [NamePattern] = []
    if let text = try text(entries["filter"], "a filter") { patterns.append(.contains(text)) }
    if let text = try text(entries["match"], "a pattern") { patterns.append(.glob(text)) }
    if let text = try text(entries["regex"], "a pattern") { patterns.append(.regex(text)) }
    guard patterns.count <= 1 else {
      throw error(node.line, "a rule has several patterns", remedy: "keep one of filter, match and regex")
    }
    return TensorValue.Rule(patterns.first, points: points)
  }

  /// Adds rules behind those that are there, which go first.
  static func append(_ values: [String: TensorValue], to target: inout [String: TensorValue]) {
    for (name, value) in values { target[name, default: TensorValue(rules: [])].rules += value.rules }
  }
}
