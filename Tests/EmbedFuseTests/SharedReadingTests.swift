import Checkpoints
import EmbedFuse
import TestSupport
import Testing

/// Which recipes can be carried out together, in one reading of their inputs.
@Suite struct SharedReadingTests {
  private static let layers: [(String, [UInt])] =
    [("embeddings.weight", [4, 2])] + (0..<4).map { ("layers.\($0).weight", [2, 2]) } + [("norm", [2])]

  /// A recipe over a step, with slices of its layers, that everything can be changed of.
  private static func recipe(_ folder: TemporaryFolder) throws -> Recipe {
    let paths = ["base", "a", "b"].map { folder("\($0).safetensors") }
    for (place, path) in paths.enumerated() {
      try PropertyTests.model(path, shapes: layers, seed: UInt64(place)) { generator, _ in generator.normal()
      }
    }
    var recipe = Recipe(base: paths[0], models: ["step", paths[2]], method: .taskArithmetic())
    recipe.steps = [Recipe.Step(name: "step", recipe: Recipe(models: [paths[1], paths[2]], method: .soup()))]
    recipe.slices = [slice(0..<2), slice(1..<4)]
    return recipe
  }

  private static func slice(_ layers: Range<Int>, model: Int = 0) -> Recipe.Slice {
    Recipe.Slice(sources: [nil, model, 1].map { Recipe.Slice.Source(model: $0, layers: layers) })
  }

  private static let refusals: [(difference: String, change: @Sendable (inout Recipe) -> Void)] = [
    ("base", { $0.base = $0.models[1] }),
    // The same inputs in the same order, in other places.
    ("base", { ($0.base, $0.models) = (nil, [$0.base!] + $0.models) }),
    ("models", { $0.models.swapAt(0, 1) }),
    ("Fisher", { $0.companions = $0.models }),
    ("checkpoints", { $0.selection = .last(1) }),
    ("read the inputs' files", { $0.opening.stateDictKey = "model_ema" }),
    ("read the inputs' files", { $0.opening.strictPickle = true }),
    ("lack", { $0.missing = .drop }),
    ("slices", { $0.slices[1] = slice(0..<3) }),
    ("slices", { $0.slices[1].sources[2].layers = 0..<3 }),
    ("slices", { $0.slices[1].sources.swapAt(1, 2) }),
    ("slices", { $0.slices.removeLast() }),
    ("steps", { $0.steps[0] = Recipe.Step(name: "other", recipe: $0.steps[0].recipe) }),
    ("steps", { recipe in recipe.changeStep { $0.weights = [2, 1] } }),
    ("steps", { recipe in recipe.changeStep { $0.models.swapAt(0, 1) } }),
    ("steps", { recipe in recipe.changeStep { $0.selection = .last(1) } }),
    ("steps", { $0.steps.append(Recipe.Step(name: "second", recipe: $0.steps[0].recipe)) }),
  ]

  @Test(arguments: refusals.indices) func aRecipeThatReadsOtherwiseIsRefused(index: Int) throws {
    let refusal = Self.refusals[index]
    let folder = try TemporaryFolder()
    let recipe = try Self.recipe(folder)
    var other = recipe
    refusal.change(&other)
    for recipes in [[recipe, other], [recipe, recipe, other], [other, recipe]] {
      let error = #expect(throws: EmbedFuseError.self) { try FusionPlan.plans(for: recipes) }
      #expect(error?.code == .usage && error?.problem.contains(refusal.difference) == true, "\(error as Any)")
    }
  }

  /// What doesn't change which tensors are read may differ, and each output is the one that is made alone.
  @Test func methodsWeightsTypesAndParametersOfSlicesMayDiffer() async throws {
    let folder = try TemporaryFolder()
    let recipe = try Self.recipe(folder)
    var others = [recipe, recipe, recipe, recipe]
    others[0].weights = [0.25, 3]
    others[1].method = .deltaGuided()
    others[2].elementType = .bf16
    others[2].nonFinite = .base
    others[3].slices[0].parameters = ["lambda": 0.5]
    let recipes = [recipe] + others
    let paths = recipes.indices.map { folder("\($0).safetensors") }
    let together = try await FusionPlan.run(FusionPlan.plans(for: recipes), to: paths)
    for (index, (recipe, result)) in zip(recipes, together).enumerated() {
      let alone = try await FusionPlan(recipe).run(to: folder("alone-\(index).safetensors"))
      #expect(alone.manifest == result.manifest)
    }
  }

  @Test func noRecipesMakeNoPlans() throws {
    #expect(try FusionPlan.plans(for: []).isEmpty)
  }
}

extension Recipe {
  fileprivate mutating func changeStep(_ change: (inout Recipe) -> Void) {
    var recipe = steps[0].recipe
    change(&recipe)
    steps[0] = Step(name: steps[0].name, recipe: recipe)
  }
}
