import ArgumentParser
import EmbedFuse

/// The arguments of `merge` and `plan` that say what is fused and how.
struct RecipeOptions: ParsableArguments {
  @Option(
    help: ArgumentHelp(
      "The pretrained checkpoint that the models were fine-tuned from.",
      discussion: "Decides names, order, configuration and tokenizer. `soup` can do without."))
  var base: String?

  @Argument(help: "The fine-tuned checkpoints: model directories, safetensors files or .h5 files.")
  var models: [String]

  @Option(help: "How to fuse: \(MethodSettings.parameters.map(\.key).joined(separator: ", ")).")
  var method = "delta-guided"

  @Option(help: "Elements that share their weights: element, row, tensor, layer, model. (default: element)")
  var granularity: DeltaGuided.Granularity?

  @Option(help: "Size of a delta over a group: mean-abs, rms, relative. (default: mean-abs)")
  var magnitude: DeltaGuided.Magnitude?

  @Option(
    parsing: .unconditional,
    help: ArgumentHelp(
      "Exponent of the magnitudes. (default: 1)",
      discussion: "0 gives the uniform soup, less than 0 favours the models that moved least."))
  var power: Double?

  @Option(help: "Divide magnitudes by each model's own RMS over: none, model, tensor. (default: none)")
  var balance: DeltaGuided.Balance?

  @Option(
    parsing: .unconditional,
    help: "Scale of the fused delta: a number, auto, auto:tensor, auto:row. (default: 1)")
  var lambda: DeltaGuided.Lambda?

  @Option(parsing: .unconditional, help: "A weight for each model, in order: 1,0.5,2.")
  var weights: WeightList?

  @Option(
    name: .customLong("set"), help: "Another parameter of the method, as KEY=VALUE (normalize=true|false).")
  var settings: [String] = []

  @Option(help: "Element type of the fused tensors; the base's if not given.")
  var dtype: ElementType?

  @Option(help: "Tensors that some inputs lack: error, base (keep the base's), drop.")
  var missing: MissingPolicy = .error

  @Option(
    name: .customLong("nonfinite"),
    help: "NaN and infinity in an input: error, base (take the base's value), allow.")
  var nonFinite: NonFinitePolicy = .error

  @Option(
    name: .customLong("config-from"),
    help: "Take configuration and tokenizer files from another input, named as on the command line.")
  var configFrom: String?

  /// The recipe that these arguments spell.
  func recipe() throws -> Recipe {
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
    if let weights, weights.values.count != models.count {
      throw EmbedFuseError(
        .usage, "--weights gives \(weights.values.count) weights for \(models.count) models",
        remedy: "give one weight for each model, in the order of the models")
    }
    return Recipe(
      base: base, models: models, method: try methodSettings(),
      weights: weights?.values.map { TensorValue($0) } ?? [], elementType: dtype, missing: missing,
      nonFinite: nonFinite, configFrom: source)
  }

  private func methodSettings() throws -> MethodSettings {
    var parameters: [String: String] = [:]
    for setting in settings {
      guard let equals = setting.firstIndex(of: "=") else {
        throw EmbedFuseError(.usage, "--set \(setting.printable) is not of the form KEY=VALUE")
      }
      parameters[String(setting[..<equals])] = String(setting[setting.index(after: equals)...])
    }
    for (key, value) in [
      ("granularity", granularity?.rawValue), ("magnitude", magnitude?.rawValue),
      ("power", power.map { String($0) }), ("balance", balance?.rawValue), ("lambda", lambda?.description),
    ] {
      guard let value else { continue }
      guard parameters.updateValue(value, forKey: key) == nil else {
        throw EmbedFuseError(.usage, "\(key) is given by --\(key) and by --set", remedy: "give it once")
      }
    }
    return try MethodSettings(named: method, parameters: parameters)
  }
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
