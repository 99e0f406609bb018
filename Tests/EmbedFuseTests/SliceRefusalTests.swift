import EmbedFuse
import Foundation
import TestSupport
import Testing

/// Recipes whose slices don't go together with the method, the base or the layers that there are.
@Suite struct SliceRefusalTests {
  private static let layers: [(String, [UInt])] =
    [("embeddings.weight", [4, 2])] + (0..<4).map { ("layers.\($0).weight", [2, 2]) } + [("norm", [2])]

  /// A base and two models with the same tensors, in a folder.
  private static func inputs(
    _ folder: TemporaryFolder, _ shapes: [(String, [UInt])] = layers
  ) throws -> [String] {
    let paths = ["base", "a", "b"].map { folder("\($0).safetensors") }
    for (place, path) in paths.enumerated() {
      try PropertyTests.model(path, shapes: shapes, seed: UInt64(place)) { generator, _ in
        generator.normal()
      }
    }
    return paths
  }

  private static func source(_ model: Int?, _ layers: Range<Int>) -> Recipe.Slice.Source {
    Recipe.Slice.Source(model: model, layers: layers)
  }

  private static let refusals: [(problem: String, change: @Sendable (inout Recipe) throws -> Void)] = [
    (
      "lists the base 2 times",
      { $0.slices = [Recipe.Slice(sources: [source(nil, 0..<1), source(nil, 1..<2), source(0, 2..<3)])] }
    ),
    (
      "doesn't list the base",
      { $0.slices = [Recipe.Slice(sources: [source(0, 0..<1), source(1, 0..<1)])] }
    ),
    // Differences to a base where there is one.
    (
      "doesn't list the base",
      {
        $0.method = try MethodSettings(named: "slerp", parameters: ["t": "0.5"])
        $0.slices = [Recipe.Slice(sources: [source(0, 0..<1)])]
      }
    ),
    // A mean, of values that may be the base's.
    (
      "doesn't list the base",
      {
        ($0.method, $0.nonFinite) = (.soup(), .base)
        $0.slices = [Recipe.Slice(sources: [source(0, 0..<1), source(1, 0..<1)])]
      }
    ),
    (
      "takes no slices",
      {
        $0.method = try MethodSettings(named: "fisher")
        $0.companions = $0.models
        $0.slices = [Recipe.Slice(sources: [source(nil, 0..<1), source(0, 0..<1), source(1, 0..<1)])]
      }
    ),
  ]

  @Test(arguments: refusals.indices) func sourcesThatDontGoWithTheMethod(place: Int) throws {
    let folder = try TemporaryFolder()
    let inputs = try Self.inputs(folder)
    var recipe = Recipe(base: inputs[0], models: Array(inputs[1...]))
    try Self.refusals[place].change(&recipe)
    let error = try #require(throws: EmbedFuseError.self) { try FusionPlan(recipe) }
    #expect(error.code == .usage && error.problem.contains(Self.refusals[place].problem), "\(error)")
  }

  /// The same from a file, as someone would write it.
  @Test func aBaseThatASliceListsTwice() throws {
    let folder = try TemporaryFolder()
    let inputs = try Self.inputs(folder)
    let text = """
      method: task-arithmetic
      base: \(inputs[0])
      slices:
        - sources:
          - {model: \(inputs[0]), layer_range: [0, 2]}
          - {model: \(inputs[0]), layer_range: [2, 4]}
          - {model: \(inputs[1]), layer_range: [0, 2]}
      """
    let recipe = try RecipeFile(text: text, path: "r.yaml").outputs[0].recipe
    let error = try #require(throws: EmbedFuseError.self) { try FusionPlan(recipe) }
    #expect(error.problem.contains("lists the base 2 times"), "\(error)")
  }

  /// Every method with every choice of up to three sources: either it is refused, or it runs.
  @Test(arguments: FusionMethods.all.map { $0.description.name })
  func slicesOfAllSources(method: String) async throws {
    let folder = try TemporaryFolder()
    let inputs = try Self.inputs(folder)
    let choices: [Int?] = [nil, 0, 1]
    let sources = choices.flatMap { a in
      [[a]] + choices.flatMap { b in [[a, b]] + choices.map { c in [a, b, c] } }
    }
    let description = try #require(FusionMethods.named(method)).description
    let needed = description.parameter(named: "t") == nil ? [:] : ["t": "0.5"]
    var runs = 0
    for models in sources {
      for (base, policy) in [(nil, NonFinitePolicy.error), (inputs[0], .error), (inputs[0], .base)] {
        var recipe = Recipe(base: base, models: Array(inputs[1...]))
        recipe.method = try MethodSettings(
          named: method, parameters: needed)
        recipe.nonFinite = policy
        recipe.slices = [
          Recipe.Slice(sources: models.enumerated().map { Self.source($1, $0..<$0 + 1) })
        ]
        guard let plan = try? FusionPlan(recipe) else { continue }
        _ = try await plan.run(
          to: folder("out.safetensors"),
          options: OutputOptions(overwrite: true, synchronize: false, threads: 1))
        runs += 1
      }
    }
    #expect(runs > 0 || method == "fisher")
  }

  /// Layers that hold different tensors, or tensors of different shapes, can't take each other's place.
  @Test func layersThatDontFitEachOther() throws {
    let others: [(problem: String, tensors: [(String, [UInt])])] = [
      ("layer 1 lacks weight, which layer 0 has", [("layers.0.weight", [2, 2]), ("layers.1.bias", [2])]),
      (
        "layer 1 has bias, which layer 0 lacks",
        [("layers.0.weight", [2, 2]), ("layers.1.weight", [2, 2]), ("layers.1.bias", [2])]
      ),
      (
        "layers.1.weight is F32 [4, 2], but layers.0.weight F32 [2, 2]",
        [("layers.0.weight", [2, 2]), ("layers.1.weight", [4, 2])]
      ),
      ("the same tensor of layer 1", [("layers.1.weight", [2]), ("layers.01.weight", [2])]),
      ("there is no layer 0", [("layers.1.weight", [2, 2])]),
      ("there is no layer 1", [("layers.0.weight", [2, 2]), ("layers.3.weight", [2, 2])]),
    ]
    for (problem, tensors) in others {
      let folder = try TemporaryFolder()
      let inputs = try Self.inputs(folder, tensors)
      var recipe = Recipe(base: inputs[0], models: Array(inputs[1...]))
      recipe.slices = [Recipe.Slice(sources: [Self.source(nil, 0..<1), Self.source(0, 1..<2)])]
      let error = try #require(throws: EmbedFuseError.self) { try FusionPlan(recipe) }
      #expect(error.code == .badData && error.problem.contains(problem), "\(error)")
    }
  }

  /// Layers of one model that hold different tensors keep each its own.
  @Test func layersOfSeveralKinds() async throws {
    let folder = try TemporaryFolder()
    let inputs = try Self.inputs(
      folder, [("layers.0.weight", [2, 2]), ("layers.1.bias", [2]), ("layers.1.weight", [4, 2])])
    var recipe = Recipe(models: [inputs[1]], method: try MethodSettings(named: "passthrough"))
    recipe.slices = [
      Recipe.Slice(sources: [Self.source(0, 1..<2)]), Recipe.Slice(sources: [Self.source(0, 0..<2)]),
    ]
    let result = try await PropertyTests.fuse(recipe, to: folder("out.safetensors"))
    let input = try TensorValues(inputs[1])
    let expected = [
      "layers.0.bias": "layers.1.bias", "layers.0.weight": "layers.1.weight",
      "layers.1.weight": "layers.0.weight", "layers.2.bias": "layers.1.bias",
      "layers.2.weight": "layers.1.weight",
    ]
    #expect(Set(result.names) == Set(expected.keys))
    for (name, origin) in expected { #expect(result.doubles(name) == input.doubles(origin), "\(name)") }
  }

  /// The number after the last layer must be one, too.
  @Test func layersWithTheLargestNumber() throws {
    let folder = try TemporaryFolder()
    let inputs = try Self.inputs(
      folder, [("layers.\(Int.max).weight", [2, 2]), ("layers.0.weight", [2, 2])])
    let plan = try FusionPlan(Recipe(base: inputs[0], models: Array(inputs[1...])))
    #expect(plan.recipe.models.count == 2)
  }
}
