import EmbedFuse
import FuzzInput
import Glibc

/// Recipes in YAML, ours and mergekit's, and what they come to for small models.
@_cdecl("LLVMFuzzerTestOneInput")
public func fuzzRecipe(_ start: UnsafePointer<UInt8>?, _ count: Int) -> CInt {
  FuzzModels.written
  guard let text = String(validating: UnsafeRawBufferPointer(start: start, count: count), as: UTF8.self)
  else {
    return 0
  }
  for isLenient in [false, true] {
    guard let file = try? RecipeFile(text: text, path: "recipe.yaml", lenient: isLenient) else { continue }
    for output in file.outputs.prefix(4) {
      var recipe = redirected(output.recipe, steps: output.recipe.steps.map(\.name))
      guard recipe.inputs.count <= 16, recipe.steps.count <= 8 else { continue }
      recipe.steps = recipe.steps.map { step in
        Recipe.Step(name: step.name, recipe: redirected(step.recipe, steps: recipe.steps.map(\.name)))
      }
      guard let plan = try? FusionPlan(recipe) else { continue }
      _ = plan.description().json.compactText
    }
    break
  }
  return 0
}

/// The recipe with small models in the place of all inputs but steps.
private func redirected(_ recipe: Recipe, steps: [String]) -> Recipe {
  func path(_ name: String) -> String {
    let known = FuzzModels.names
    if steps.contains(name) { return name }
    return "\(FuzzInput.folder)/" + (known.contains(name) ? name : known[name.utf8.count % known.count])
  }
  var recipe = recipe
  recipe.base = recipe.base.map(path)
  recipe.models = recipe.models.map(path)
  recipe.companions = recipe.companions.map(path)
  recipe.selection = nil
  return recipe
}
