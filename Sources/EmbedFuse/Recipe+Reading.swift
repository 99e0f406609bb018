/// What recipes must have in common to be carried out together.
extension Recipe {
  /// What another recipe reads otherwise than this one, in words; nil if the two can be carried out in one reading: they
  /// have the same inputs, opened in the same way, and make the same tensors of them.
  func difference(toReadingOf other: Recipe) -> String? {
    if base != other.base { return "another base" }
    if models != other.models { return "other models" }
    if companions != other.companions { return "other files of Fisher diagonals" }
    if selection != other.selection { return "other checkpoints of training runs" }
    if opening != other.opening { return "another way to read the inputs' files" }
    if missing != other.missing { return "another answer to tensors that inputs lack" }
    if layers != other.layers { return "other slices" }
    let steps = zip(steps, other.steps).allSatisfy { $0.isSame(as: $1) }
    return steps && self.steps.count == other.steps.count ? nil : "other steps"
  }

  /// The layers of every slice, source by source.
  private var layers: [[LayerSource]] {
    slices.map { $0.sources.map { LayerSource(model: $0.model, layers: $0.layers) } }
  }

  private struct LayerSource: Equatable {
    let model: Int?
    let layers: Range<Int>
  }
}

extension Recipe.Step {
  fileprivate func isSame(as other: Recipe.Step) -> Bool {
    name == other.name && recipe.selection == other.recipe.selection
      && recipe.json(naming: { $0 }) == other.recipe.json(naming: { $0 })
  }
}
