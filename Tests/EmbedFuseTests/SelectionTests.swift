import Foundation
import TestSupport
import Testing

@testable import EmbedFuse

/// Checkpoints of training runs in the place of models.
@Suite struct SelectionTests {
  static let run = Fixtures.path("samples/trainer/run")

  static func recipe(_ selection: CheckpointSelection, _ models: [String] = [run]) throws -> Recipe {
    var recipe = Recipe(base: run, models: models, method: try .init(named: "soup"))
    recipe.selection = selection
    return recipe
  }

  @Test func eachSelectedCheckpointIsAFineTune() async throws {
    let folder = try TemporaryFolder()
    let plan = try FusionPlan(try Self.recipe(.steps([4, 12])))
    #expect(plan.recipe.models == [Self.run + "/checkpoint-4", Self.run + "/checkpoint-12"])
    #expect(plan.recipe.selection == nil && plan.inputs.map(\.path) == [Self.run] + plan.recipe.models)
    let result = try await plan.run(
      to: folder("selected.safetensors"), options: OutputOptions(synchronize: false))
    #expect(result.models == plan.recipe.models)
    let named = Recipe(base: Self.run, models: plan.recipe.models, method: try .init(named: "soup"))
    try await FusionPlan(named).run(
      to: folder("named.safetensors"), options: OutputOptions(synchronize: false))
    let files = ["selected", "named"].map {
      FileManager.default.contents(atPath: folder($0 + ".safetensors"))
    }
    #expect(files[0] != nil && files[0] == files[1])
  }

  @Test func modelsThatAreNoRunsStay() throws {
    let model = Self.run + "/checkpoint-8"
    var recipe = try Self.recipe(.last(2), [model, Self.run, model])
    recipe.weights = [1, 2, 3].map { TensorValue($0) }
    recipe.modelParameters = [["weight": TensorValue(1)], [:], ["weight": TensorValue(5)]]
    recipe.configFrom = 3
    let (selected, notes) = try recipe.selectingCheckpoints()
    #expect(
      selected.models.map { FilePath.name(of: $0) } == [
        "checkpoint-8", "checkpoint-8", "checkpoint-12", "checkpoint-8",
      ])
    #expect(selected.weights == [1, 2, 2, 3].map { TensorValue($0) })
    #expect(
      selected.modelParameters.map(\.count) == [1, 0, 0, 1] && selected.configFrom == 4 && notes.isEmpty)
    recipe.configFrom = 2
    #expect(try recipe.selectingCheckpoints().recipe.configFrom == 2)
    recipe.configFrom = 0
    #expect(try recipe.selectingCheckpoints().recipe.configFrom == 0)
  }

  @Test func aWeightForEachCheckpointServesToo() throws {
    var recipe = try Self.recipe(.last(2))
    recipe.weights = [1, 3].map { TensorValue($0) }
    #expect(try FusionPlan(recipe).recipe.weights == recipe.weights)
    recipe.weights = [1, 2, 3].map { TensorValue($0) }
    let error = try #require(throws: EmbedFuseError.self) { try FusionPlan(recipe) }
    #expect(error.code == .usage && error.problem.contains("3 weights for 2 models"), "\(error)")
  }

  @Test func theReasonOfAChoiceIsTold() throws {
    let plan = try FusionPlan(try Self.recipe(.best(metric: "loss", count: 2, order: nil)))
    #expect(plan.notes.contains { $0.contains("the lowest eval_loss counts as best") }, "\(plan.notes)")
  }

  @Test func aSelectionNeedsARun() throws {
    let error = try #require(throws: EmbedFuseError.self) {
      try FusionPlan(try Self.recipe(.last(1), [Self.run + "/checkpoint-4"]))
    }
    #expect(
      error.code == .usage && error.problem.contains("none of the models is a training run"), "\(error)")
  }

  @Test func slicesTakeOneModelEach() throws {
    var recipe = try Self.recipe(.last(2))
    recipe.slices = [.init(sources: [.init(model: 0, layers: 0..<1)])]
    let error = try #require(throws: EmbedFuseError.self) { try recipe.selectingCheckpoints() }
    #expect(error.code == .usage && error.problem.contains("slices take one model each"), "\(error)")
    recipe.slices = []
    recipe.companions = ["fisher"]
    #expect(throws: EmbedFuseError.self) { try recipe.selectingCheckpoints() }
    recipe.selection = .last(1)
    #expect(try recipe.selectingCheckpoints().recipe.models.count == 1)
  }

  @Test func recipeFilesSelect() throws {
    let text = "base: \(Self.run)\nmethod: soup\nselect: steps:4,8\nmodels:\n  - \(Self.run)\n"
    let file = try RecipeFile(text: text, path: "r.yaml")
    #expect(
      try FusionPlan(file.outputs[0].recipe).recipe.models.map { FilePath.name(of: $0) } == [
        "checkpoint-4", "checkpoint-8",
      ])
    let error = try #require(throws: EmbedFuseError.self) {
      try RecipeFile(text: text.replacing("steps:4,8", with: "some"), path: "r.yaml")
    }
    #expect(error.problem.contains("line 3: 'some' doesn't say which checkpoints"), "\(error)")
  }

  @Test func checkpointsMayBeAdapters() throws {
    let folder = try TemporaryFolder()
    for (step, kind) in [(2, "lora"), (10, "dora")] {
      let target = folder("run/checkpoint-\(step)")
      try FileManager.default.createDirectory(atPath: folder("run"), withIntermediateDirectories: true)
      try FileManager.default.copyItem(atPath: AdapterFusionTests.sample(kind), toPath: target)
    }
    var recipe = Recipe(base: AdapterFusionTests.sample("base"), models: [folder("run")])
    recipe.selection = .last(2)
    let plan = try FusionPlan(recipe)
    #expect(plan.inputs.map { FilePath.name(of: $0.path) } == ["base", "checkpoint-2", "checkpoint-10"])
    // Without a selection, the adapter at the root would be the fine-tune.
    try FileManager.default.copyItem(
      atPath: folder("run/checkpoint-10/adapter_config.json"), toPath: folder("run/adapter_config.json"))
    try FileManager.default.copyItem(
      atPath: folder("run/checkpoint-10/adapter_model.safetensors"),
      toPath: folder("run/adapter_model.safetensors"))
    recipe.selection = nil
    #expect(try FusionPlan(recipe).notes.contains { $0.contains("its checkpoints (2, 10)") })
  }
}
