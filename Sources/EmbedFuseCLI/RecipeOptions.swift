import ArgumentParser
import EmbedFuse

/// The arguments of `merge` and `plan` that say what is fused and how.
struct RecipeOptions: ParsableArguments {
  @Option(
    help: ArgumentHelp(
      "The pretrained checkpoint that the models were fine-tuned from.",
      discussion: "Decides names, order, configuration and tokenizer. `soup` can do without."))
  var base: String?

  @Argument(
    help: "The fine-tuned checkpoints: model directories or checkpoint files; or one recipe, a .yaml file.")
  var models: [String] = []

  @Option(
    help: ArgumentHelp(
      "How to fuse: \(FusionMethods.all.map { $0.description.name }.joined(separator: ", ")). (default: delta-guided)",
      valueName: "name"),
    completion: .list(FusionMethods.all.map { $0.description.name }))
  var method: String?

  @Option(help: "Elements that share their weights. (default: element)")
  var granularity: DeltaGuided.Granularity?

  @Option(help: "Size of a delta over a group. (default: mean-abs)")
  var magnitude: DeltaGuided.Magnitude?

  @Option(
    parsing: .unconditional,
    help: ArgumentHelp(
      "Exponent of the magnitudes. (default: 1)",
      discussion: "0 gives the uniform soup, less than 0 favours the models that moved least."))
  var power: Double?

  @Option(help: "Divide magnitudes by each model's own RMS, over the model or a tensor. (default: none)")
  var balance: DeltaGuided.Balance?

  @Option(
    parsing: .unconditional,
    help: "Scale of the fused delta: a number, auto, auto:tensor, auto:row. (default: 1)")
  var lambda: DeltaGuided.Lambda?

  @Option(parsing: .unconditional, help: "A weight for each model, in order: 1,0.5,2.")
  var weights: WeightList?

  @Option(
    name: .customLong("set"),
    help: ArgumentHelp(
      "Another parameter of the method, as KEY=VALUE; one that each model has may be given as KEY=V1,V2,….",
      discussion: "`embedfuse methods NAME` lists them."))
  var settings: [String] = []

  @Option(
    help: "For --method fisher: each model's diagonal Fisher information, a checkpoint of the same tensors.")
  var fisher: [String] = []

  @Option(help: "The key of the random numbers of dare and della. (default: 0)")
  var seed: UInt64?

  @Option(
    help: ArgumentHelp(
      "Whose results to give where mergekit 0.1.5 is fragile.",
      discussion: "The default is none, and mergekit for a recipe that is written as mergekit's are."))
  var compat: CompatibleProgram?

  @Option(help: "Element type of the fused tensors; the base's if not given.")
  var dtype: ElementType?

  @Option(help: "Tensors that some inputs lack: refuse, keep the base's, or leave out. (default: error)")
  var missing: MissingPolicy?

  @Option(
    name: .customLong("nonfinite"),
    help: "NaN and infinity in an input: refuse, take the base's value, or fuse them. (default: error)")
  var nonFinite: NonFinitePolicy?

  @Option(
    name: .customLong("config-from"),
    help: "Take configuration and tokenizer files from another input, named as on the command line.")
  var configFrom: String?

  @Option(
    help: ArgumentHelp(
      "Which checkpoints of a training run's directory to fuse: last:3, best:eval_METRIC:3, steps:500,1000.",
      discussion:
        "Each is one fine-tune. Which end of a metric is best is inferred; add :min or :max to say it.",
      valueName: "which"))
  var select: String?

  @OptionGroup var opening: OpeningArguments

  @Flag(help: "Warn of keys that a recipe shouldn't have, instead of refusing it.")
  var lenient = false

  /// True if the first path is a recipe.
  private var isRecipeFile: Bool {
    models.first.map { $0.hasSuffix(".yaml") || $0.hasSuffix(".yml") } ?? false
  }

  /// True if something is said about how to fuse, besides the inputs.
  private var hasSettings: Bool {
    method != nil || granularity != nil || magnitude != nil || power != nil || balance != nil
      || lambda != nil || weights != nil || !settings.isEmpty || seed != nil || compat != nil || dtype != nil
      || missing != nil || nonFinite != nil || configFrom != nil || select != nil
  }

  /// What these arguments ask for: fusions of the same inputs, which a recipe file may give paths. Held to a manifest,
  /// they may leave out settings, and inputs that are where the manifest names them.
  func request(lockedTo pins: [FusionManifest] = []) throws(EmbedFuseError) -> RecipeFile {
    guard !models.isEmpty || !pins.isEmpty else {
      throw EmbedFuseError(
        .usage, "there is nothing to fuse", remedy: "name at least one fine-tuned checkpoint, or a recipe")
    }
    if pins.count == 1, !isRecipeFile, !hasSettings {
      return RecipeFile(
        try Recipe(
          repeating: pins[0], inputs: (base.map { [$0] } ?? []) + models + fisher, options: opening.options))
    }
    guard !models.isEmpty else {
      throw EmbedFuseError(
        .usage,
        pins.count > 1 ? "several manifests are given, but no recipe" : "settings are given, but no inputs",
        remedy: pins.count > 1
          ? "name the recipe with as many outputs"
          : "name the inputs too, or leave the settings to the manifest")
    }
    guard isRecipeFile, let path = models.first else {
      guard !lenient else {
        throw EmbedFuseError(.usage, "--lenient is for recipe files", remedy: "leave it out")
      }
      var recipe = try recipe()
      opening.apply(to: &recipe.opening)
      return RecipeFile(recipe)
    }
    let conflicting: [(option: String, isGiven: Bool)] = [
      ("--base", base != nil), ("a second path", models.count > 1), ("--method", method != nil),
      ("--granularity", granularity != nil), ("--magnitude", magnitude != nil), ("--power", power != nil),
      ("--balance", balance != nil), ("--lambda", lambda != nil), ("--weights", weights != nil),
      ("--set", !settings.isEmpty), ("--fisher", !fisher.isEmpty), ("--config-from", configFrom != nil),
      ("--select", select != nil),
    ]
    if let option = conflicting.first(where: \.isGiven)?.option {
      throw EmbedFuseError(
        .usage, "\(option) is given besides the recipe \(path.printable)",
        remedy:
          "write it into the recipe; --dtype, --missing, --nonfinite, --seed and --compat may stand besides one"
      )
    }
    var file = try RecipeFile(
      path: path, lenient: lenient, followsMergekit: compat.map { $0 == .mergekit }, seed: seed)
    for index in file.outputs.indices {
      opening.apply(to: &file.outputs[index].recipe.opening)
      if let dtype { file.outputs[index].recipe.elementType = dtype }
      if let missing { file.outputs[index].recipe.missing = missing }
      if let nonFinite { file.outputs[index].recipe.nonFinite = nonFinite }
    }
    return file
  }

  /// The recipe that these arguments spell.
  private func recipe() throws(EmbedFuseError) -> Recipe {
    let inputs = (base.map { [$0] } ?? []) + models
    var source: Int?
    if let configFrom {
      source = inputs.firstIndex(of: configFrom)
      guard source != nil else {
        throw EmbedFuseError(
          .usage, "--config-from \(configFrom.printable) is none of the inputs",
          remedy: "name one of: \(inputs.map(\.printable).joined(separator: ", "))")
      }
    }
    if let weights, weights.values.count != models.count, select == nil {
      throw EmbedFuseError(
        .usage, "--weights gives \(weights.values.count) numbers, but there are \(models.count) models",
        remedy: "give one weight for each model, in the order of the models")
    }
    if let value = weights?.values.first(where: { !$0.isFinite }) {
      throw EmbedFuseError(
        .usage, "--weights gives \(value), but a weight must be a finite number",
        remedy: "give numbers, such as --weights 1,0.5")
    }
    let (method, modelParameters) = try methodSettings()
    var recipe = Recipe(
      base: base, models: models, method: method,
      weights: weights?.values.map { TensorValue($0) } ?? [], modelParameters: modelParameters,
      companions: fisher, elementType: dtype, missing: missing ?? .error, nonFinite: nonFinite ?? .error,
      configFrom: source)
    if let select { recipe.selection = try CheckpointSelection(select) }
    return recipe
  }

  /// The method with what all models share, and what each has of its own.
  private func methodSettings() throws(EmbedFuseError) -> (MethodSettings, [[String: TensorValue]]) {
    let type = try MethodSettings(named: method ?? "delta-guided").type
    var shared: [String: TensorValue] = [:]
    var ofModels: [[String: TensorValue]] = []
    for setting in settings {
      guard let equals = setting.firstIndex(of: "=") else {
        throw EmbedFuseError(
          .usage, "--set \(setting.printable) is not of the form KEY=VALUE",
          remedy: "write --set \(setting.printable)=VALUE")
      }
      let (key, text) = (String(setting[..<equals]), String(setting[setting.index(after: equals)...]))
      let parts = text.split(separator: ",", omittingEmptySubsequences: false).map(String.init)
      let parameter = type.description.parameter(named: key)
      let name = parameter?.name ?? key
      guard shared[name] == nil, ofModels.first?[name] == nil else {
        throw EmbedFuseError(.usage, "--set gives \(key.printable) twice", remedy: "give it once")
      }
      guard parameter?.scope == .model, parts.count > 1 else {
        shared[name] = TensorValue(text)
        continue
      }
      guard parts.count == models.count else {
        throw EmbedFuseError(
          .usage, "--set \(key.printable) gives \(parts.count) values for \(models.count) models",
          remedy: "give one value for all models, or one for each, in their order")
      }
      if ofModels.isEmpty { ofModels = models.map { _ in [:] } }
      for (k, part) in parts.enumerated() { ofModels[k][name] = TensorValue(part) }
    }
    for (key, value) in [
      ("granularity", granularity?.rawValue), ("magnitude", magnitude?.rawValue),
      ("power", power.map { String($0) }), ("balance", balance?.rawValue), ("lambda", lambda?.description),
    ] {
      guard let value else { continue }
      guard shared.updateValue(TensorValue(value), forKey: key) == nil else {
        throw EmbedFuseError(.usage, "\(key) is given by --\(key) and by --set", remedy: "give it once")
      }
    }
    let method = try MethodSettings(type, shared, seed: seed ?? 0, followsMergekit: compat == .mergekit)
    return (method, ofModels)
  }
}

/// A program whose results are wanted.
enum CompatibleProgram: String, ExpressibleByArgument, CaseIterable {
  /// None: what the formulas say.
  case none
  /// mergekit 0.1.5.
  case mergekit
}

/// Numbers separated by commas.
struct WeightList: ExpressibleByArgument {
  /// The numbers in order.
  let values: [Double]

  init?(argument: String) {
    var values: [Double] = []
    for part in argument.split(separator: ",", omittingEmptySubsequences: false) {
      guard let value = Double(part) else { return nil }
      values.append(value)
    }
    self.values = values
  }
}

extension DeltaGuided.Granularity: ExpressibleByArgument {}
extension DeltaGuided.Magnitude: ExpressibleByArgument {}
extension DeltaGuided.Balance: ExpressibleByArgument {}
extension MissingPolicy: ExpressibleByArgument {}
extension NonFinitePolicy: ExpressibleByArgument {}

extension DeltaGuided.Lambda: ExpressibleByArgument {
  /// A number, `auto`, `auto:tensor` or `auto:row`.
  public init?(argument: String) {
    guard let value = Self(argument) else { return nil }
    self = value
  }
}

extension ElementType: ExpressibleByArgument {
  /// A safetensors name in either case, or a torch name such as `bfloat16`.
  public init?(argument: String) {
    guard let type = ElementType(commonName: argument), type.isFusable else { return nil }
    self = type
  }

  /// The types that can be fused, for help and completion, which would show raw values otherwise.
  public static var allValueStrings: [String] {
    allCases.filter(\.isFusable).map { $0.name.lowercased() }
  }
}
