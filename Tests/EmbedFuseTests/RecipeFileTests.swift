import EmbedFuse
import Foundation
import TestSupport
import Testing

/// Recipes as files: what is read, and what is refused with which line.
@Suite struct RecipeFileTests {
  static func read(_ text: String, lenient: Bool = false) throws -> RecipeFile {
    try RecipeFile(text: text, path: "r.yaml", lenient: lenient)
  }

  static let golden = Fixtures.path("golden/inputs")
  static let deep = Fixtures.path("golden/inputs/deep")

  @Test func mergeKeysGiveWhatIsNotThere() throws {
    let recipe = try Self.read(
      """
      base: base/
      models:
        - &usual {model: a/, weight: 2, density: 0.3}
        - {<<: *usual, model: b/, weight: 3}
        - {<<: [{density: 0.5}, *usual], model: c/}
      method: ties
      """
    ).outputs[0].recipe
    #expect(recipe.models == ["a/", "b/", "c/"])
    #expect(recipe.modelParameters[1] == ["weight": TensorValue("3"), "density": TensorValue("0.3")])
    #expect(recipe.modelParameters[2] == ["weight": TensorValue("2"), "density": TensorValue("0.5")])
  }

  @Test func aRecipeWithoutAMethodIsTheCommandsDefault() throws {
    let recipe = try Self.read("base: base/\nmodels: [a/, b/]").outputs[0].recipe
    #expect(recipe.method.name == "delta-guided" && !recipe.promotesTypes)
    let outputs = try Self.read(
      "base: b/\nmodels: [a/]\noutputs:\n  - {path: x/}\n  - {path: y/, method: ties}"
    ).outputs
    #expect(outputs.map(\.recipe.method.name) == ["delta-guided", "ties"])
  }

  @Test func mergeKeysThatNameNoMap() throws {
    let error = try #require(throws: EmbedFuseError.self) {
      try Self.read("models:\n  - {model: a/, <<: 3}\n  - b/\nmethod: soup")
    }
    #expect(error.problem.contains("line 2: << must name a map"))
  }

  @Test func readsBothSpellings() throws {
    let ours = try Self.read(
      """
      base: base/
      models:
        - a/
        - {model: b/, weight: 2, density: 0.3}
      method: dare-ties
      parameters:
        lambda: 0.5
      dtype: bf16
      missing: drop
      nonfinite: base
      seed: 7
      output: fused/
      """
    ).outputs[0]
    #expect(ours.path == "fused/")
    #expect(ours.recipe.base == "base/")
    #expect(ours.recipe.models == ["a/", "b/"])
    #expect(ours.recipe.method.name == "dare-ties")
    #expect(ours.recipe.method.values["lambda"] == TensorValue("0.5"))
    #expect(ours.recipe.method.seed == 7)
    #expect(!ours.recipe.method.followsMergekit)
    #expect(ours.recipe.modelParameters[1] == ["weight": TensorValue("2"), "density": TensorValue("0.3")])
    #expect(ours.recipe.elementType == .bf16)
    #expect(ours.recipe.missing == .drop)
    #expect(ours.recipe.nonFinite == .base)
    let theirs = try Self.read(
      """
      merge_method: dare_ties
      base_model: base/
      models:
        - model: base/
        - model: a/
          parameters: {weight: 1.0, density: 0.3}
        - model: {model: {path: b/}}
          parameters: {weight: 1}
      parameters: {normalize: yes, int8_mask: true}
      dtype: float32
      out_dtype: bfloat16
      tokenizer_source: base
      """
    ).outputs[0].recipe
    #expect(theirs.models == ["a/", "b/"])
    #expect(theirs.method.values["normalize"] == TensorValue("true"))
    #expect(theirs.method.followsMergekit)
    #expect((theirs.intermediateType, theirs.elementType) == (.f32, .bf16))
  }

  @Test func lenientWarnsOfWhatMergekitIgnores() throws {
    let file = try Self.read(
      "merge_method: linear\nmodels: [{model: a, parameters: {weight: 1, wieght: 2}}]\nmy_note: x",
      lenient: true)
    #expect(file.warnings.count == 2)
    #expect(
      file.warnings.contains { $0.contains("line 3") && $0.contains("my_note") && $0.contains("ignored") })
  }

  // MARK: Values by tensor

  /// The plan's value of a parameter for a tensor, with its origin.
  static func resolved(_ text: String, _ parameter: String, _ tensor: String) throws -> ResolvedParameter {
    let text = text.replacing("DEEP", with: deep)
    let plan = try FusionPlan(try read(text).outputs[0].recipe)
    let found = try #require(plan.description().tensors.first { $0.name == tensor })
    return try #require(found.parameters.first { $0.name == parameter })
  }

  @Test func rulesAreTriedInOrderAndFallThroughToTheNextLevel() throws {
    let text = """
      merge_method: ties
      base_model: DEEP/base
      models:
        - model: DEEP/ft1
          parameters:
            density:
              - {filter: q_proj, value: 0.1}
              - {match: "model.layers.[12].mlp.*", value: 0.2}
              - {regex: "layers\\\\.3\\\\..*norm", value: 0.3}
              - {regex: "layers\\\\.3\\\\..*down", value: 0.4}
        - DEEP/ft2
      parameters:
        weight: 1
        density: [{filter: embed, value: 0.9}, {value: 0.5}]
      """
    let cases = [
      ("model.layers.1.self_attn.q_proj.weight", [0.1, 0.5], "model 1, filter 'q_proj'"),
      ("model.layers.2.mlp.up_proj.weight", [0.2, 0.5], "model 1, match 'model.layers.[12].mlp.*'"),
      ("model.layers.3.input_layernorm.weight", [0.3, 0.5], "model 1, regex 'layers\\.3\\..*norm'"),
      ("model.layers.3.mlp.down_proj.weight", [0.4, 0.5], "model 1, regex 'layers\\.3\\..*down'"),
      ("model.layers.3.mlp.up_proj.weight", [0.5, 0.5], "recipe"),
      ("model.embed_tokens.weight", [0.9, 0.9], "recipe, filter 'embed'"),
    ]
    for (tensor, values, origin) in cases {
      let found = try Self.resolved(text, "density", tensor)
      #expect(found.values == values, "\(tensor)")
      #expect(found.origins[0] == origin)
    }
    #expect(try Self.resolved(text, "normalize", "model.norm.weight").origins == ["default"])
  }

  @Test func gradientsRunOverTheLayers() throws {
    let text = """
      merge_method: slerp
      base_model: DEEP/base
      models: [DEEP/base, DEEP/ft1]
      parameters:
        t: [{filter: mlp, value: [0, 0.5, 0.3, 0.7, 1]}, {value: [0.2, 1]}]
      """
    let layers = try Self.resolved(text, "t", "model.layers.0.mlp.up_proj.weight")
    #expect(layers.values == [0])
    for (layer, expected) in [(1, 0.5), (2, 0.3), (3, 0.7), (4, 1.0)] {
      let found = try Self.resolved(text, "t", "model.layers.\(layer).mlp.up_proj.weight")
      #expect(abs(found.values[0] - expected) < 1e-15)
    }
    // Outside of the layers the first point holds.
    #expect(try Self.resolved(text, "t", "model.norm.weight").values == [0.2])
    #expect(try Self.resolved(text, "t", "model.layers.4.self_attn.q_proj.weight").values == [1])
  }

  @Test func aFilterThatNothingFitsLeavesTheWeightOpen() throws {
    let text = """
      merge_method: linear
      models:
        - {model: DEEP/ft1, parameters: {weight: [{filter: q_proj, value: 1}]}}
        - {model: DEEP/ft2, parameters: {weight: 1}}
      """
    let error = #expect(throws: EmbedFuseError.self) {
      try Self.resolved(text, "weight", "model.norm.weight")
    }
    #expect(error?.problem.contains("none of the filters") == true)
  }

  @Test(arguments: [
    (
      "slices: [{sources: [{model: DEEP/ft1, layer_range: [0, 9]}]}]",
      "asks for the layers 0 to 8, but there are"
    ),
    (
      "slices: [{sources: [{model: DEEP/ft1, layer_range: [0, 2]}, {model: DEEP/ft2, layer_range: [0, 3]}]}]",
      "takes 2 layers of one source and 3 of another"
    ),
  ])
  func slicesThatDontFitAreRefused(slices: String, problem: String) {
    let error = #expect(throws: EmbedFuseError.self) {
      _ = try Self.resolved(
        "merge_method: linear\nparameters: {weight: 1}\n\(slices)", "weight", "model.norm.weight")
    }
    #expect(error?.problem.contains(problem) == true, "\(error?.problem ?? "")")
  }

  /// Rules for all models go by the name in the output, rules of a source by the name in its input.
  @Test func sharedRulesGoByTheOutputsName() throws {
    let text = """
      merge_method: task_arithmetic
      base_model: DEEP/base
      slices:
        - sources: [{model: DEEP/base, layer_range: [0, 2]}, {model: DEEP/ft1, layer_range: [0, 2], parameters: {weight: 1}}]
        - sources: [{model: DEEP/base, layer_range: [0, 2]}, {model: DEEP/ft1, layer_range: [0, 2], parameters: {weight: [{filter: layers.1., value: 3}, {value: 1}]}}]
      parameters: {lambda: [{filter: layers.1., value: 0.5}, {filter: layers.2., value: 0.25}, {value: 1}]}
      """
    for (layer, lambda, weight) in [(0, 1.0, 1.0), (1, 0.5, 1), (2, 0.25, 1), (3, 1, 3)] {
      let name = "model.layers.\(layer).mlp.up_proj.weight"
      #expect(try Self.resolved(text, "lambda", name).values == [lambda])
      #expect(try Self.resolved(text, "weight", name).values == [weight])
    }
  }

  @Test func aRuleThatNoTensorFitsIsMentioned() throws {
    let text =
      "method: ties\nbase: DEEP/base\nmodels: [DEEP/ft1]\nparameters: {density: [{filter: attenton, value: 0.1}]}"
    let plan = try FusionPlan(try Self.read(text.replacing("DEEP", with: Self.deep)).outputs[0].recipe)
    #expect(plan.notes.contains { $0.contains("no tensor fits the rule for density: filter 'attenton'") })
  }

  @Test func aDensityOfTheWholeModelCantDifferFromTensorToTensor() throws {
    let text =
      "method: ties\nbase: DEEP/base\nmodels: [DEEP/ft1]\nparameters: {trim: model, density: [0.1, 0.9]}"
    let error = #expect(throws: EmbedFuseError.self) {
      try FusionPlan(try Self.read(text.replacing("DEEP", with: Self.deep)).outputs[0].recipe)
    }
    #expect(error?.problem.contains("trim=model takes a share of the whole model") == true)
  }

  @Test func aGridGoesBeforeTheSlices() throws {
    let file = try Self.read(
      """
      merge_method: slerp
      base_model: b
      slices:
        - sources: [{model: b, layer_range: [0, 5]}, {model: a, layer_range: [0, 5]}]
          parameters: {t: 0.25}
      outputs:
        - {path: "t-{t}-{seed}", grid: {t: [0.1, 0.9], seed: [1, 2]}}
      """)
    #expect(file.outputs.map(\.path) == ["t-0.1-1", "t-0.1-2", "t-0.9-1", "t-0.9-2"])
    #expect(file.outputs.map(\.recipe.method.seed) == [1, 2, 1, 2])
    #expect(file.outputs[2].recipe.method.values["t"] == TensorValue("0.9"))
    #expect(file.outputs[2].recipe.slices[0].parameters.isEmpty)
  }

  @Test func theCommandsSeedGoesBeforeTheRecipes() throws {
    let text = "method: dare\nbase: b\nmodels: [a]\nseed: 3"
    #expect(try RecipeFile(text: text, path: "r", seed: 5).outputs[0].recipe.method.seed == 5)
    #expect(try RecipeFile(text: text, path: "r").outputs[0].recipe.method.seed == 3)
  }

  @Test func theSameModelInAnotherSpellingIsTheSame() throws {
    let file = try Self.read(
      "merge_method: slerp\nbase_model: {model: {path: x/b}}\nmodels: [./x//b/, a]\nparameters: {t: 1}")
    #expect(file.outputs[0].recipe.base == "x/b")
    #expect(file.outputs[0].recipe.models == ["a"])
  }

  @Test func aStepThatNobodyTakesIsMentioned() throws {
    let file = try Self.read("name: x\nmethod: soup\nmodels: [a]\n---\nmethod: soup\nmodels: [b]")
    #expect(file.warnings.contains { $0.contains("the step 'x' is taken by none") })
  }
}

/// The schema for editors says what the reader takes.
@Suite struct RecipeSchemaTests {
  static func schema() throws -> JSON {
    let root = URL(fileURLWithPath: #filePath).deletingLastPathComponent().deletingLastPathComponent()
      .deletingLastPathComponent()
    return try JSON.parse(
      String(contentsOf: root.appendingPathComponent("docs/recipe.schema.json"), encoding: .utf8))
  }

  static func keys(_ json: JSON?) -> Set<String> {
    Set(json?["properties"]?.objectValue?.members.map(\.key) ?? [])
  }

  @Test func namesEveryMethodAndParameter() throws {
    let schema = try Self.schema()
    let methods = Set((schema["$defs"]?["method"]?["enum"]?.arrayValue ?? []).compactMap(\.stringValue))
    let parameters = Self.keys(schema["$defs"]?["parameters"])
    var known: Set<String> = []
    for type in FusionMethods.all {
      let description = type.description
      for name in [description.name] + description.aliases {
        #expect(methods.contains(name) && methods.contains(name.replacing("-", with: "_")))
        known.formUnion([name, name.replacing("-", with: "_")])
      }
      for parameter in description.parameters { #expect(parameters.contains(parameter.name)) }
    }
    #expect(methods == known)
    #expect(parameters == Set(FusionMethods.all.flatMap { $0.description.parameters.map(\.name) }))
  }

  /// A key that the schema has is one that the reader takes, and the other way round.
  @Test func namesTheReadersKeys() throws {
    let schema = try Self.schema()
    for key in Self.keys(schema) {
      let error = #expect(throws: EmbedFuseError.self) {
        try RecipeFile(text: "\(key): {}\nzzzzzzzz: 1", path: "r")
      }
      #expect(error?.problem.contains("no key 'zzzzzzzz'") == true, "\(key): \(error?.problem ?? "")")
      let remedy = try #require(error?.remedy)
      #expect(remedy.contains(key))
      // The remedy lists the reader's keys.
      let listed = remedy.dropFirst("its keys are: ".count).prefix { $0 != ";" }.split(separator: ",").map {
        $0.trimmingCharacters(in: .whitespaces)
      }
      #expect(Set(listed) == Self.keys(schema))
    }
  }
}
