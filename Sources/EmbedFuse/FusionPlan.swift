import Checkpoints
import Fusion
import TensorCore

/// What a recipe comes to for the inputs at hand: which tensors are fused from which, under which settings.
///
/// Making a plan opens the inputs and reads their headers and configuration, but no tensor. All that doesn't fit
/// is found and listed together.
public struct FusionPlan: Sendable {
  /// The recipe.
  public let recipe: Recipe
  /// The inputs in order, the base first if there is one.
  public let inputs: [ModelSource]
  /// What should be told: prefixes taken off, settings that differ, tensors left out.
  public let notes: [String]

  /// The tensors of the output, in the order of the base.
  let tensors: [PlannedTensor]
  /// The folder of each tensor's module; empty for the transformer.
  let modules: [String]
  /// True if the first source of every fused tensor is the base.
  let readsBase: Bool
  /// Each input's tensor, for the tensors that hold no learned values.
  let carried: [[StoredTensor?]]

  /// The input that decides names, order and files.
  var reference: ModelSource { inputs[0] }

  /// The number of the recipe's fine-tunes.
  var modelCount: Int { recipe.models.count }

  /// The place of model k among the inputs.
  func inputIndex(ofModel k: Int) -> Int { recipe.base == nil ? k : k + 1 }

  /// Opens the inputs of a recipe and lines them up.
  ///
  /// - Throws: `EmbedFuseError`: usage for a recipe that can't be carried out; missing input or bad data, with
  ///   all incompatibilities listed in one message.
  public init(_ recipe: Recipe) throws(EmbedFuseError) {
    try recipe.method.validate()
    let method = recipe.method.method
    guard !recipe.models.isEmpty else {
      throw EmbedFuseError(
        .usage, "there is nothing to fuse", remedy: "name at least one fine-tuned checkpoint")
    }
    guard recipe.base != nil || method.mergeSpace == .weights else {
      throw EmbedFuseError(
        .usage, "\(recipe.method.name) measures how far each model moved from its base, but there is no base",
        remedy: "name the pretrained checkpoint with --base, or use --method soup")
    }
    guard recipe.base != nil || recipe.nonFinite != .base else {
      throw EmbedFuseError(.usage, "--nonfinite base takes the base's values, but there is no base")
    }
    guard recipe.weights.isEmpty || recipe.weights.count == recipe.models.count else {
      throw EmbedFuseError(
        .usage, "there are \(recipe.weights.count) weights for \(recipe.models.count) models",
        remedy: "give one weight for each model, in the order of the models")
    }
    self.recipe = recipe
    inputs = try Self.open(recipe.inputs)
    readsBase = recipe.base != nil && (method.mergeSpace == .deltas || recipe.nonFinite == .base)
    let alignment = try InputAlignment(recipe: recipe, inputs: inputs)
    notes = alignment.notes
    modules = alignment.rows.map(\.module)
    carried = alignment.rows.filter { !$0.sources[0]!.info.elementType.isFusable }.map(\.sources)
    tensors = try Self.plan(alignment.rows, recipe: recipe, readsBase: readsBase)
  }

  /// Opens all inputs; if some can't be, one error names all of them.
  private static func open(_ paths: [String]) throws(EmbedFuseError) -> [ModelSource] {
    var sources: [ModelSource] = []
    var failures: [EmbedFuseError] = []
    for path in paths {
      do { sources.append(try ModelSource.open(path)) } catch { failures.append(error) }
    }
    guard let first = failures.first else { return sources }
    guard failures.count > 1 else { throw first }
    throw EmbedFuseError(
      first.code,
      "\(failures.count) inputs can't be read:\n  "
        + failures.map { String($0.description.split(separator: "\n").joined(separator: "\n  ")) }.joined(
          separator: "\n  "))
  }

  /// Decides how each aligned tensor is made.
  private static func plan(
    _ rows: [InputAlignment.Row], recipe: Recipe, readsBase: Bool
  ) throws(EmbedFuseError) -> [PlannedTensor] {
    var tensors: [PlannedTensor] = []
    var fused = 0
    for row in rows {
      let reference = row.sources[0]!
      let type = reference.info.elementType
      let offset = recipe.base == nil ? 0 : 1
      let models = row.sources[offset...]
      guard type.isFusable, models.allSatisfy({ $0 != nil }) else {
        tensors.append(
          PlannedTensor(
            info: try row.info(as: type), making: .copy,
            sources: [PlannedTensor.Source(input: 0, tensor: reference)]))
        continue
      }
      let weights = try Self.weights(of: row.name, recipe: recipe)
      let context = TensorContext(
        index: fused, name: row.name, shape: reference.info.shape,
        layer: LayerName.of(row.comparableName, module: row.module), priors: weights)
      fused += 1
      let first = readsBase ? 0 : offset
      tensors.append(
        PlannedTensor(
          info: try row.info(as: recipe.elementType ?? type), making: .fuse(context),
          sources: (first..<row.sources.count).map {
            PlannedTensor.Source(input: $0, tensor: row.sources[$0]!)
          }))
    }
    return tensors
  }

  /// The weight of each model for a tensor.
  private static func weights(of tensor: String, recipe: Recipe) throws(EmbedFuseError) -> [Double] {
    guard !recipe.weights.isEmpty else { return recipe.models.map { _ in 1 } }
    var weights: [Double] = []
    for (k, value) in recipe.weights.enumerated() {
      guard let weight = value.value(for: tensor) else {
        throw EmbedFuseError(
          .usage, "none of the filters of this model's weight fits", path: recipe.models[k], tensor: tensor,
          remedy: "end the list of filters with one that fits every name")
      }
      weights.append(weight)
    }
    try recipe.method.validate(weights: weights, of: tensor)
    return weights
  }
}
