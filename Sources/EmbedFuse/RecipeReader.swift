import Checkpoints
import Fusion
import TensorCore

/// Reads the documents of a recipe file, strictly: an unknown key is an error with its line and the nearest name.
struct RecipeReader {
  /// The file, for messages.
  let path: String
  /// True to warn of unknown keys instead.
  let isLenient: Bool
  /// True for mergekit's results where these are fragile; nil where the document is one of mergekit's.
  let followsMergekit: Bool?
  /// The key of random numbers, if the recipe gives none.
  let seed: UInt64?
  /// What should be told.
  var warnings: [String] = []
  /// True if the base of the document at hand is one of its models.
  var baseIsIngredient = false

  init(path: String, isLenient: Bool, followsMergekit: Bool?, seed: UInt64?) {
    self.path = path
    self.isLenient = isLenient
    self.followsMergekit = followsMergekit
    self.seed = seed
  }

  /// The keys of a document, each with what is said of it where it isn't supported.
  static let documentKeys: [String] = [
    "name", "base", "base_model", "models", "slices", "modules", "method", "merge_method", "parameters",
    "dtype", "out_dtype", "missing", "nonfinite", "config_from", "tokenizer_source", "tokenizer",
    "chat_template", "fisher", "seed", "output", "outputs", "select", "key", "strict_pickle", "relative_to",
  ]
  /// The keys of an entry of `outputs`.
  static let outputKeys = [
    "path", "method", "merge_method", "parameters", "models", "dtype", "seed", "grid", "relative_to",
  ]
  /// The keys of a model or source, besides the method's parameters.
  static let modelKeys = ["model", "parameters", "layer_range", "weight"]
  /// The keys of a rule.
  static let ruleKeys = ["value", "filter", "match", "regex"]
  /// The keys of a slice.
  static let sliceKeys = ["sources", "parameters", "base_model", "residual_weight"]
  /// What mergekit has and this program hasn't, with the reason.
  static let refused: [String: String] = [
    "experts": "mixtures of experts are not made here",
    "gate_mode": "mixtures of experts are not made here",
    "shared_experts": "mixtures of experts are not made here",
    "tokens": "tokens are not put together from several tokenizers here",
  ]

  // MARK: Messages

  /// An error at a line.
  func error(_ line: Int, _ problem: String, remedy: String?) -> EmbedFuseError {
    EmbedFuseError(.badData, "line \(line): \(problem)", path: path, remedy: remedy)
  }

  /// The entries of a map under known keys.
  mutating func entries(
    of node: RecipeNode, keys: [String], what: String
  ) throws(EmbedFuseError) -> [String: (line: Int, value: RecipeNode)] {
    guard let entries = node.entries else {
      throw error(
        node.line, "\(what) must be keys with values", remedy: "write lines of the form 'key: value'")
    }
    var result: [String: (line: Int, value: RecipeNode)] = [:]
    for (key, line, value) in entries {
      guard keys.contains(key) else {
        if let reason = Self.refused[key] {
          throw error(
            line, "'\(key)' is not supported: \(reason)", remedy: "leave it out, or use mergekit for it")
        }
        let nearest = Suggestion.nearest(to: key, among: keys)
        let problem = "\(what) has no key '\(key.printable)'"
        guard isLenient else {
          let isParameter = FusionMethods.all.contains { $0.description.parameter(named: key) != nil }
          throw error(
            line, problem,
            remedy: isParameter && keys.contains("parameters")
              ? "it is a parameter of methods: write it under 'parameters:'"
              : nearest.map { "did you mean '\($0)'?" }
                ?? "its keys are: \(keys.joined(separator: ", ")); --lenient ignores others, as mergekit does"
          )
        }
        warnings.append(
          "\(path.printable), line \(line): \(problem), which is ignored"
            + (nearest.map { "; did you mean '\($0)'?" } ?? ""))
        continue
      }
      result[key] = (line, value)
    }
    return result
  }

  /// The text under a key.
  func text(_ entry: (line: Int, value: RecipeNode)?, _ what: String) throws(EmbedFuseError) -> String? {
    guard let entry, !entry.value.isNull else { return nil }
    guard let text = entry.value.text else {
      throw error(entry.line, "\(what) must be a text", remedy: "give one value, no list and no map")
    }
    return text
  }

  /// The items of a list, at least one.
  func items(
    of entry: (line: Int, value: RecipeNode), _ what: String
  ) throws(EmbedFuseError) -> [RecipeNode] {
    guard let items = entry.value.items, !items.isEmpty else {
      throw error(
        entry.line, "\(what) must be a list",
        remedy: "begin each item with '- ', one below the other, or write [A, B]")
    }
    return items
  }

  /// Of two spellings of a key the one that is given.
  private func either(
    _ entries: [String: (line: Int, value: RecipeNode)], _ first: String, _ second: String
  ) throws(EmbedFuseError) -> (line: Int, value: RecipeNode)? {
    if let one = entries[first], let other = entries[second] {
      throw error(
        max(one.line, other.line), "'\(first)' and '\(second)' are the same", remedy: "give one of the two")
    }
    return entries[first] ?? entries[second]
  }

  // MARK: Documents

  /// Reads one document: its name, and the fusions that it asks for.
  mutating func read(
    _ document: RecipeNode
  ) throws(EmbedFuseError) -> (name: String?, outputs: [RecipeFile.Output]) {
    var entries = try entries(of: document, keys: Self.documentKeys, what: "a recipe")
    let name = try text(entries["name"], "a name")
    var moduleParameters: [String: TensorValue] = [:]
    let methodEntry = try either(entries, "method", "merge_method")
    let methodLine = methodEntry?.line ?? document.line
    let type = try method(try text(methodEntry, "a method") ?? "delta-guided", line: methodLine)
    if let modules = entries["modules"] {
      try read(modules: modules, into: &entries, parameters: &moduleParameters, type: type)
    }
    let isMergekits = entries["merge_method"] != nil
    var shared = moduleParameters
    Self.append(try parameters(entries["parameters"], of: type), to: &shared)
    var draft = RecipeDraft(base: nil)
    if let base = try either(entries, "base", "base_model"), !base.value.isNull {
      draft.base = try path(ofReference: base)
    }
    switch (entries["models"], entries["slices"]) {
    case (let models?, nil): try read(models: models, of: type, into: &draft)
    case (nil, let slices?): try read(slices: slices, of: type, into: &draft)
    case (nil, nil):
      throw error(
        document.line, "the recipe has neither models nor slices", remedy: "list the models under 'models:'")
    case (_?, let slices?):
      throw error(slices.line, "the recipe has both models and slices", remedy: "keep one of the two")
    }
    try draft.takeBaseAsIngredient(type: type, isMergekits: isMergekits)
    baseIsIngredient = draft.base.map { draft.models.contains($0) } ?? false
    if isMergekits, type.description.parameter(named: "weight") != nil, shared["weight"] == nil,
      let path = draft.modelWithoutWeight
    {
      throw error(
        document.line, "the model \(path.printable) has no weight, which mergekit's recipes must give",
        remedy: "add 'parameters: {weight: 1.0}' to it, or to the document for all models")
    }
    var recipe = Recipe(models: draft.models)
    recipe.base = draft.base
    recipe.slices = draft.slices
    if draft.modelParameters.contains(where: { !$0.isEmpty }) {
      recipe.modelParameters = draft.modelParameters
    }
    recipe.companions = try texts(entries["fisher"], "fisher")
    recipe.selection = try selection(entries["select"])
    recipe.relativeTo = try text(entries["relative_to"], "relative_to")
    recipe.opening.stateDictKey = try text(entries["key"], "a key")
    recipe.opening.strictPickle = try flag(entries["strict_pickle"], "strict_pickle")
    recipe.promotesTypes = isMergekits
    recipe.elementType = try elementType(entries["dtype"])
    if let type = try elementType(entries["out_dtype"]) {
      recipe.intermediateType = recipe.elementType
      recipe.elementType = type
    }
    recipe.missing = try choice(entries["missing"], "missing") ?? .error
    recipe.nonFinite = try choice(entries["nonfinite"], "nonfinite") ?? .error
    try read(tokenizer: entries, inputs: recipe.inputs, into: &recipe)
    var seed = self.seed ?? 0
    if self.seed == nil, let number = try number(entries["seed"], "seed") { seed = number }
    recipe.method = try settings(
      type, shared, seed: seed, followsMergekit: followsMergekit ?? isMergekits, line: methodLine)
    return (name, try outputs(entries, recipe: recipe, shared: shared, seed: seed))
  }

  private func method(_ name: String, line: Int) throws(EmbedFuseError) -> any FusionMethod.Type {
    if name.hasPrefix("moe") {
      throw error(
        line, "'\(name.printable)': mixtures of experts are not made here", remedy: "use mergekit for them")
    }
    do { return try MethodSettings.method(named: name) } catch {
      throw self.error(line, error.problem, remedy: error.remedy)
    }
  }

  private func settings(
    _ type: any FusionMethod.Type, _ values: [String: TensorValue], seed: UInt64, followsMergekit: Bool,
    line: Int
  ) throws(EmbedFuseError) -> MethodSettings {
    do {
      return try MethodSettings(type, values, seed: seed, followsMergekit: followsMergekit)
    } catch {
      throw self.error(line, error.problem, remedy: error.remedy)
    }
  }

  /// A single module stands for the document, with parameters of its own before the document's.
  private mutating func read(
    modules: (line: Int, value: RecipeNode), into entries: inout [String: (line: Int, value: RecipeNode)],
    parameters: inout [String: TensorValue], type: any FusionMethod.Type
  ) throws(EmbedFuseError) {
    guard let found = modules.value.entries, !found.isEmpty else {
      throw error(
        modules.line, "modules must be names with their slices or models",
        remedy: "for example 'modules: {transformer: {models: [A, B]}}'")
    }
    guard found.count == 1 else {
      throw error(
        modules.line, "there are \(found.count) modules; one is supported",
        remedy: "fuse each with a recipe of its own")
    }
    guard entries["models"] == nil, entries["slices"] == nil else {
      throw error(modules.line, "the recipe has modules besides models or slices", remedy: "keep one of them")
    }
    let module = try self.entries(
      of: found[0].value, keys: ["slices", "models", "parameters"], what: "a module")
    entries["models"] = module["models"]
    entries["slices"] = module["slices"]
    parameters = try self.parameters(module["parameters"], of: type)
  }

  // MARK: Small values

  private func texts(
    _ entry: (line: Int, value: RecipeNode)?, _ what: String
  ) throws(EmbedFuseError) -> [String] {
    guard let entry, !entry.value.isNull else { return [] }
    var result: [String] = []
    for item in try items(of: entry, what) {
      guard let text = item.text else {
        throw error(item.line, "\(what) must be a list of paths", remedy: "give each as one path")
      }
      result.append(text)
    }
    return result
  }

  private func selection(
    _ entry: (line: Int, value: RecipeNode)?
  ) throws(EmbedFuseError) -> CheckpointSelection? {
    guard let text = try text(entry, "select") else { return nil }
    do { return try CheckpointSelection(text) } catch {
      throw self.error(entry!.line, error.problem, remedy: error.remedy)
    }
  }

  private func number(
    _ entry: (line: Int, value: RecipeNode)?, _ what: String
  ) throws(EmbedFuseError) -> UInt64? {
    guard let text = try text(entry, what) else { return nil }
    guard let number = UInt64(text) else {
      throw error(
        entry!.line, "\(what) is '\(text.printable)', but must be a whole number", remedy: "give 0 or more")
    }
    return number
  }

  private func flag(
    _ entry: (line: Int, value: RecipeNode)?, _ what: String
  ) throws(EmbedFuseError) -> Bool {
    guard let text = try text(entry, what) else { return false }
    guard let flag = Bool(text) else {
      throw error(entry!.line, "\(what) is '\(text.printable)'", remedy: "use true or false")
    }
    return flag
  }

  func elementType(_ entry: (line: Int, value: RecipeNode)?) throws(EmbedFuseError) -> ElementType? {
    guard let text = try text(entry, "an element type") else { return nil }
    guard let type = ElementType(commonName: text), type.isFusable else {
      throw error(
        entry!.line, "'\(text.printable)' is no element type that can be fused",
        remedy: "use float32, bfloat16, float16 or float64")
    }
    return type
  }

  private func choice<Choice: RawRepresentable & CaseIterable>(
    _ entry: (line: Int, value: RecipeNode)?, _ what: String
  ) throws(EmbedFuseError) -> Choice? where Choice.RawValue == String {
    guard let text = try text(entry, what) else { return nil }
    guard let choice = Choice(rawValue: text) else {
      let words = Choice.allCases.map(\.rawValue).joined(separator: ", ")
      throw error(entry!.line, "\(what) is '\(text.printable)'", remedy: "use one of: \(words)")
    }
    return choice
  }

  /// Whose tokenizer and configuration are taken.
  private mutating func read(
    tokenizer entries: [String: (line: Int, value: RecipeNode)], inputs: [String], into recipe: inout Recipe
  ) throws(EmbedFuseError) {
    if let template = entries["chat_template"], let text = try text(template, "chat_template"), text != "auto"
    {
      throw error(template.line, "a chat template of one's own is not supported", remedy: "leave it out")
    }
    var source = try either(entries, "config_from", "tokenizer_source")
    if let tokenizer = entries["tokenizer"], !tokenizer.value.isNull {
      guard source == nil else {
        throw error(tokenizer.line, "'tokenizer' and 'tokenizer_source' are the same", remedy: "give one")
      }
      source = try self.entries(
        of: tokenizer.value, keys: ["source", "tokens", "pad_to_multiple_of"], what: "a tokenizer")["source"]
      for (key, line, _) in tokenizer.value.entries ?? [] where key != "source" {
        throw error(
          line, "'\(key)' is not supported: vocabularies must be equal", remedy: "leave it out")
      }
    }
    guard let source, let name = try text(source, "a tokenizer's source") else { return }
    switch name {
    case "base": return
    case "union":
      throw error(
        source.line, "the union of tokenizers is not supported: vocabularies must be equal",
        remedy: "fuse models with the same tokenizer, or use 'base'")
    default:
      guard let place = inputs.firstIndex(of: name) else {
        throw error(
          source.line, "'\(name.printable)' is none of the inputs",
          remedy: "name one of: \(inputs.map(\.printable).joined(separator: ", "))")
      }
      recipe.configFrom = place
    }
  }
}
