import Checkpoints
import TensorCore

/// The inputs of a recipe being opened: models from disk, adapters over what they are applied to, and steps.
struct InputOpening {
  private let recipe: Recipe
  private var base: ModelSource?
  private var steps: [FusionStep] = []

  /// Opens all inputs; if some can't be, one error names all of them. A step is planned, not opened.
  ///
  /// - Returns: the inputs in order, and the steps among them.
  static func open(_ recipe: Recipe) throws(EmbedFuseError) -> ([ModelSource], [FusionStep]) {
    var opening = InputOpening(recipe)
    var sources: [ModelSource] = []
    var failures: [EmbedFuseError] = []
    for (place, path) in recipe.inputs.enumerated() {
      do throws(EmbedFuseError) {
        let isBase = recipe.base != nil && place == 0
        // Over a base that can't be read there is nothing to say about an adapter.
        if !isBase, opening.base == nil, recipe.base != nil, Adapter.isAdapter(at: path) { continue }
        let source = try opening.source(path, isBase: isBase)
        if isBase { opening.base = source }
        sources.append(source)
      } catch {
        // Who wants no more waits for no list.
        guard !Task.isCancelled else { throw error }
        failures.append(error)
      }
    }
    guard let first = failures.first else { return (sources, opening.steps) }
    guard failures.count > 1 else { throw first }
    throw EmbedFuseError(
      first.code,
      "\(failures.count) inputs can't be read:\n  "
        + failures.map { String($0.description.split(separator: "\n").joined(separator: "\n  ")) }.joined(
          separator: "\n  "))
  }

  private init(_ recipe: Recipe) {
    self.recipe = recipe
  }

  /// One input: a step, a path, or `model+adapter`.
  private mutating func source(_ name: String, isBase: Bool) throws(EmbedFuseError) -> ModelSource {
    if let place = recipe.steps.firstIndex(where: { $0.name == name }) {
      // A step may take those before it.
      var inner = recipe.steps[place].recipe
      inner.steps = Array(recipe.steps[..<place])
      // Random numbers of a step are none of those that the fusions after it draw for the same tensors.
      for byte in name.utf8 { inner.method.seed = (inner.method.seed ^ UInt64(byte)) &* 0x100_0000_01B3 &+ 1 }
      inner.opening = recipe.opening
      let step = FusionStep(try FusionPlan(inner), name: name)
      steps.append(step)
      return step.source(named: name)
    }
    if let (model, adapter) = ModelReference.parts(of: name, steps: recipe.steps.map(\.name)) {
      let model = try source(model, isBase: isBase)
      var adapted = try model.applying(adapter: adapter)
      adapted.cacheBytes += model.cacheBytes
      return adapted
    }
    guard Adapter.isAdapter(at: name) else { return try ModelSource.open(name, options: recipe.opening) }
    guard let base, !isBase else {
      throw EmbedFuseError(
        .usage,
        isBase
          ? "is a LoRA adapter, which can't be the base: it says only how a model differs from its base"
          : "is a LoRA adapter, which says only how a model differs from its base, but there is no base",
        path: name,
        remedy: "name the model that it was trained on with --base, and the adapter as a fine-tune")
    }
    return try base.applying(adapter: name)
  }
}
