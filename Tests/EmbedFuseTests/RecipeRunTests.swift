import EmbedFuse
import Foundation
import TestSupport
import Testing

/// What recipe files make: several outputs from one reading, steps, methods of one's own.
@Suite struct RecipeRunTests {
  /// Two thinnings of the same deltas are independent: a quarter is left, not half.
  @Test func aStepDrawsRandomNumbersOfItsOwn() async throws {
    let folder = try TemporaryFolder()
    try PropertyTests.model(folder("base.safetensors"), seed: 1) { _, _ in 0 }
    try PropertyTests.model(folder("ft.safetensors"), seed: 1) { _, _ in 1 }
    _ = try await Self.run(
      """
      name: s
      method: dare
      base: OUT/base.safetensors
      models: [OUT/ft.safetensors]
      parameters: {density: 0.5}
      ---
      method: dare
      base: OUT/base.safetensors
      models: [s]
      parameters: {density: 0.5}
      output: OUT/out.safetensors
      """, in: folder)
    let values = try TensorValues(folder("out.safetensors")).doubles("encoder.layer.0.dense.weight")
    let kept = Double(values.count { $0 != 0 }) / Double(values.count)
    #expect(abs(kept - 0.25) < 0.03, "\(kept)")
  }

  @Test func theConfigurationHasTheOutputsLayers() async throws {
    let folder = try TemporaryFolder()
    let golden = try #require(GoldenTests.mergekit.first { $0.name == "yaml_passthrough_slices" })
    let text = golden.config.replacing("inputs/deep", with: RecipeFileTests.deep)
    try await FusionPlan(try RecipeFileTests.read(text).outputs[0].recipe).run(to: folder("out"))
    let config = try JSON.parse(String(contentsOfFile: folder("out/config.json"), encoding: .utf8))
    #expect(config["num_hidden_layers"]?.intValue == 7)
  }

  static func run(_ text: String, in folder: TemporaryFolder) async throws -> [FusionResult] {
    let text = text.replacing("IN", with: RecipeFileTests.golden).replacing("OUT", with: folder("."))
    let file = try RecipeFileTests.read(text)
    let plans = try FusionPlan.plans(for: file.outputs.map(\.recipe))
    return try await FusionPlan.run(plans, to: file.outputs.map { $0.path! })
  }

  @Test func aGridIsMadeFromOneReading() async throws {
    let folder = try TemporaryFolder()
    let results = try await Self.run(
      """
      base: IN/base.f32.safetensors
      models: [IN/ft1.f32.safetensors, IN/ft2.f32.safetensors]
      method: task-arithmetic
      outputs:
        - path: OUT/ta-{lambda}.safetensors
          grid: {lambda: [0.3, 0.7, 1]}
        - path: OUT/{method}-{density}.h5
          grid: {method: [ties, breadcrumbs], density: [0.2, 0.5]}
        - path: OUT/soup.safetensors
          method: soup
          dtype: bf16
      """, in: folder)
    #expect(results.count == 8)
    let bytes = try ["base", "ft1", "ft2"].reduce(0) { sum, name in
      try sum
        + TensorValues("\(RecipeFileTests.golden)/\(name).f32.safetensors").tensors.values.reduce(0) {
          $0 + $1.bytes.count
        }
    }
    // The fusing pass, and the passes of the searches, which all share.
    #expect(results[0].bytesRead <= 4 * bytes)
    let inputs = ["base", "ft1", "ft2"].map { "\(RecipeFileTests.golden)/\($0).f32.safetensors" }
    let alone: [(String, String, [String: String], ElementType?)] = [
      ("ta-0.7.safetensors", "task-arithmetic", ["lambda": "0.7"], nil),
      ("ties-0.2.h5", "ties", ["density": "0.2"], nil),
      ("breadcrumbs-0.5.h5", "breadcrumbs", ["density": "0.5"], nil),
      ("soup.safetensors", "soup", [:], .bf16),
    ]
    for (name, method, parameters, type) in alone {
      let recipe = Recipe(
        base: inputs[0], models: Array(inputs.dropFirst()),
        method: try MethodSettings(named: method, parameters: parameters), elementType: type)
      let expected = try await PropertyTests.fuse(recipe, to: folder("alone.safetensors"))
      let found = try TensorValues(folder(name))
      for tensor in expected.names {
        #expect(found.tensors[tensor]?.bytes == expected.tensors[tensor]?.bytes, "\(name) \(tensor)")
      }
    }
  }

  @Test func aStepGivesWhatAFileInBetweenWouldGive() async throws {
    let folder = try TemporaryFolder()
    _ = try await Self.run(
      """
      name: retrieval
      method: ties
      base: IN/base.f32.safetensors
      models: [IN/ft1.f32.safetensors, IN/ft2.f32.safetensors]
      parameters: {density: 0.4}
      dtype: bf16
      ---
      name: all
      method: soup
      models: [retrieval, IN/ft3.f32.safetensors]
      ---
      method: delta-guided
      base: IN/base.f32.safetensors
      models: [all, IN/ft4.f32.safetensors]
      parameters: {granularity: row}
      output: OUT/out.safetensors
      """, in: folder)
    let inputs = ["base", "ft1", "ft2", "ft3", "ft4"].map {
      "\(RecipeFileTests.golden)/\($0).f32.safetensors"
    }
    try await FusionPlan(
      Recipe(
        base: inputs[0], models: [inputs[1], inputs[2]],
        method: try MethodSettings(named: "ties", parameters: ["density": "0.4"]), elementType: .bf16)
    ).run(to: folder("first.safetensors"))
    try await FusionPlan(Recipe(models: [folder("first.safetensors"), inputs[3]], method: .soup())).run(
      to: folder("second.safetensors"))
    let expected = try await PropertyTests.fuse(
      Recipe(
        base: inputs[0], models: [folder("second.safetensors"), inputs[4]],
        method: .deltaGuided(DeltaGuided(granularity: .row))), to: folder("expected.safetensors"))
    let found = try TensorValues(folder("out.safetensors"))
    for tensor in expected.names {
      #expect(found.tensors[tensor]?.bytes == expected.tensors[tensor]?.bytes, "\(tensor)")
    }
  }

  @Test func aFusionFromARecipeCanBeVerifiedAndMadeAgain() async throws {
    let folder = try TemporaryFolder()
    let golden = try #require(GoldenTests.mergekit.first { $0.name == "yaml_slices_slerp" })
    let text = golden.config.replacing("inputs/deep", with: RecipeFileTests.deep)
    let recipe = try RecipeFileTests.read(text).outputs[0].recipe
    let manifest = try await FusionPlan(recipe).run(to: folder("out")).manifest
    #expect(manifest.json["recipe"]?["slices"]?.arrayValue?.count == 2)
    let report = try await Verification(of: folder("out")).run(rerun: true, inputs: recipe.inputs)
    #expect(
      report.reran && report.tensorCount == manifest.json["output"]?["tensors"]?.objectValue?.members.count)
  }

  /// A method of one's own is used like those of embedfuse.
  @Test func aMethodOfOnesOwnIsUsedLikeTheOthers() async throws {
    let folder = try TemporaryFolder()
    let inputs = ["base", "ft1", "ft2"].map { "\(RecipeFileTests.golden)/\($0).f32.safetensors" }
    let recipe = Recipe(
      base: inputs[0], models: Array(inputs.dropFirst()),
      method: try MethodSettings(LargestMove.self, ["threshold": 0.5]))
    let found = try await PropertyTests.fuse(recipe, to: folder("out.safetensors"))
    let files = try inputs.map { try TensorValues($0) }
    let name = "encoder.layer.0.intermediate.dense.weight"
    let (base, first, second) = (files[0].doubles(name), files[1].doubles(name), files[2].doubles(name))
    var largest = 0.0
    for i in base.indices { largest = max(largest, abs(first[i] - base[i]), abs(second[i] - base[i])) }
    let expected = base.indices.map { i -> Double in
      let mean: Double = (first[i] - base[i] + second[i] - base[i]) / 2
      return Double(Float(abs(mean) >= 0.5 * largest ? base[i] + mean : base[i]))
    }
    #expect(found.doubles(name) == expected)
  }
}
