import Checkpoints
import Fusion
import TensorCore

/// What a recipe comes to for the inputs at hand: which tensors are fused from which, under which settings.
///
/// Making a plan opens the inputs and reads their headers and configuration, but no tensor. All that doesn't fit
/// is found and listed together.
public struct FusionPlan: Sendable {
  /// The recipe, with the checkpoints that it selects.
  public let recipe: Recipe
  /// The inputs in order, the base first if there is one.
  public let inputs: [ModelSource]
  /// What should be told: prefixes taken off, settings that differ, tensors left out.
  public let notes: [String]

  /// The tensors of the output, in the order of the base.
  let tensors: [PlannedTensor]
  /// The folder of each tensor's module; empty for the transformer.
  let modules: [String]
  /// The fusions among the inputs, which must be prepared before tensors are read.
  let steps: [FusionStep]
  /// Each input's tensor, for the tensors that hold no learned values.
  let carried: [[StoredTensor?]]
  /// The input files that were opened.
  let log: InputLog

  /// The input that decides names, order and files.
  var reference: ModelSource { inputs[0] }

  /// The number of the recipe's fine-tunes.
  var modelCount: Int { recipe.models.count }

  /// Opens the inputs of a recipe and lines them up.
  ///
  /// - Throws: `EmbedFuseError`: usage for a recipe that can't be carried out; missing input or bad data, with
  ///   all incompatibilities listed in one message.
  public init(_ recipe: Recipe) throws(EmbedFuseError) {
    try self.init(recipe, sharing: nil)
  }

  /// The plans of several fusions of the same inputs, which are opened once.
  ///
  /// Methods, weights and other parameters, element types, and what is done about NaN and infinity may differ.
  ///
  /// - Throws: as `init`; usage if the recipes differ in their inputs, their slices, their steps, how the inputs are opened,
  ///   or what is done about missing tensors.
  public static func plans(for recipes: [Recipe]) throws(EmbedFuseError) -> [FusionPlan] {
    for recipe in recipes {
      guard let difference = recipes[0].difference(toReadingOf: recipe) else { continue }
      throw EmbedFuseError(
        .usage, "fusions that are made together must read the same, but one has \(difference)",
        remedy: "make them one after the other")
    }
    var plans: [FusionPlan] = []
    for recipe in recipes { plans.append(try FusionPlan(recipe, sharing: plans.first)) }
    return plans
  }

  /// The plan of a recipe, with the inputs of another that has opened them.
  private init(_ recipe: Recipe, sharing other: FusionPlan?) throws(EmbedFuseError) {
    let (recipe, selected) = try recipe.selectingCheckpoints()
    let method = try recipe.method.method()
    try Self.check(recipe, method: method)
    self.recipe = recipe
    let log = other?.log ?? InputLog.current ?? InputLog()
    self.log = log
    if let other {
      (inputs, steps) = (other.inputs, other.steps)
    } else {
      (inputs, steps) = try log.noting { () throws(EmbedFuseError) in try InputOpening.open(recipe) }
    }
    let inputs = inputs
    let space = recipe.method.description.mergeSpace
    let readsBase =
      recipe.base != nil && (space != .weights || method.needsBase || recipe.nonFinite == .base)
    let alignment = try log.noting { () throws(EmbedFuseError) in
      try InputAlignment(recipe: recipe, inputs: inputs)
    }
    notes = selected + alignment.notes + recipe.rulesWithoutTensors(among: alignment.rows)
    carried = alignment.rows.filter { !$0.sources[0]!.info.elementType.isFusable }.map(\.sources)
    let assembly = TensorAssembly(recipe: recipe, rows: alignment.rows, method: method, readsBase: readsBase)
    tensors = try assembly.tensors()
    let folders = alignment.rows.reduce(into: [String: String]()) {
      if !$1.module.isEmpty { $0[$1.name] = $1.module }
    }
    modules = tensors.map { folders.isEmpty ? "" : folders[$0.info.name] ?? "" }
  }

  /// Checks what can be checked without the inputs.
  private static func check(_ recipe: Recipe, method: any FusionMethod) throws(EmbedFuseError) {
    let description = recipe.method.description
    guard !recipe.models.isEmpty else {
      throw EmbedFuseError(
        .usage, "there is nothing to fuse", remedy: "name at least one fine-tuned checkpoint")
    }
    guard recipe.base != nil || !method.needsBase else {
      throw EmbedFuseError(
        .usage,
        method is DeltaGuided
          ? "\(description.name) measures how far each model moved from its base, but there is no base"
          : "\(description.name) needs a base, but there is none",
        remedy: method is Soup
          ? "name the pretrained checkpoint with --base, or leave out lambda"
          : "name the pretrained checkpoint with --base, or use --method soup")
    }
    guard recipe.base != nil || recipe.nonFinite != .base else {
      throw EmbedFuseError(
        .usage, "--nonfinite base takes the base's values, but there is no base",
        remedy: "name one with --base, or use --nonfinite allow")
    }
    let counts =
      recipe.slices.isEmpty
      ? [recipe.models.count] : recipe.slices.map { $0.sources.count { $0.model != nil } }
    if let count = counts.first(where: { !description.models.contains($0) }) {
      let range = description.models
      let expected =
        range.lowerBound == range.upperBound
        ? "exactly \(range.lowerBound)" : "at least \(range.lowerBound)"
      throw EmbedFuseError(
        .usage,
        "\(description.name) takes \(expected) \(range.upperBound == 1 ? "model" : "models")\(method.needsBase ? " besides the base" : ""), but there \(count == 1 ? "is" : "are") \(count)",
        remedy: "name other models, or choose another method")
    }
    let companions = description.needsCompanions ? recipe.models.count : 0
    guard recipe.companions.count == companions else {
      throw EmbedFuseError(
        .usage,
        companions == 0
          ? "\(description.name) takes no files besides the models"
          : "\(description.name) needs a file of Fisher diagonals for each of the \(companions) models, but there are \(recipe.companions.count)",
        remedy: companions == 0
          ? "use --method fisher" : "name them with --fisher, in the order of the models")
    }
    guard recipe.slices.isEmpty || !description.needsCompanions else {
      throw EmbedFuseError(
        .usage, "\(description.name) takes no slices, since its files belong to whole models",
        remedy: "fuse whole models, or choose another method")
    }
    guard recipe.weights.isEmpty || recipe.weights.count == recipe.models.count else {
      throw EmbedFuseError(
        .usage, "there are \(recipe.weights.count) weights for \(recipe.models.count) models",
        remedy: "give one weight for each model, in the order of the models")
    }
    guard recipe.weights.isEmpty || description.parameter(named: "weight") != nil else {
      throw EmbedFuseError(
        .usage, "\(description.name) takes no weights",
        remedy: "leave the weights out, or choose another method")
    }
    for case let type? in [recipe.elementType, recipe.intermediateType] where !type.isFusable {
      throw EmbedFuseError(
        .usage, "results are to be rounded to \(type.name), which is no type of weights",
        remedy: "use F32, BF16, F16, F64 or a type of 8 bits")
    }
    try checkNumbers(recipe)
    let levels =
      [recipe.method.values] + recipe.weights.map { ["weight": $0] } + recipe.modelParameters
      + recipe.slices.flatMap { slice in [slice.parameters] + slice.sources.map(\.parameters) }
    for values in levels {
      for name in values.keys.sorted() {
        try MethodSettings.check(values[name]!, of: try recipe.method.parameter(named: name))
      }
    }
  }

  /// Checks that inputs which are named by numbers exist: a manifest may say anything.
  private static func checkNumbers(_ recipe: Recipe) throws(EmbedFuseError) {
    let count = recipe.models.count
    guard recipe.modelParameters.isEmpty || recipe.modelParameters.count == count else {
      throw EmbedFuseError(
        .usage, "there are parameters of \(recipe.modelParameters.count) models for \(count) models",
        remedy: "give each model its parameters, in the order of the models")
    }
    let candidates = count + (recipe.base == nil ? 0 : 1)
    if let place = recipe.configFrom, !(0..<candidates ~= place) {
      throw EmbedFuseError(
        .usage, "the configuration is to come from input \(place), but there are \(candidates)",
        remedy: "inputs count from 0, the base first")
    }
    for source in recipe.slices.flatMap(\.sources) {
      guard let model = source.model else {
        guard recipe.base != nil else {
          throw EmbedFuseError(
            .usage, "a slice takes layers of the base, but there is none",
            remedy: "name the pretrained checkpoint as the base")
        }
        continue
      }
      guard recipe.models.indices ~= model else {
        throw EmbedFuseError(
          .usage, "a slice takes layers of model \(model), but there are \(count)",
          remedy: "models count from 0, without the base")
      }
    }
  }
}
