import Foundation
import TestSupport
import Testing

@testable import EmbedFuse

/// Adapters among the inputs of a fusion.
@Suite struct AdapterFusionTests {
  static func sample(_ name: String) -> String { Fixtures.path("samples/peft/\(name)") }

  /// Writes each adapter's merged twin: what it stands for, as a safetensors file of its own.
  static func twin(of adapter: String, on base: String, in folder: TemporaryFolder) throws -> String {
    let values = try TensorValues(try ModelSource.open(base).applying(adapter: adapter))
    let path = folder(FilePath.name(of: adapter) + ".safetensors")
    try SafetensorsBuilder.write(
      values.names.map { name in
        let (info, bytes) = values.tensors[name]!
        return (name, info.elementType, info.shape.dimensions, bytes)
      }, to: path)
    return path
  }

  @Test(arguments: ["delta-guided", "soup", "ties", "karcher"])
  func mergesAsItsTwinDoes(method: String) async throws {
    let folder = try TemporaryFolder()
    let base = Self.sample("base")
    let adapters = ["dora", "embedding"].map(Self.sample)
    let twins = try adapters.map { try Self.twin(of: $0, on: base, in: folder) }
    let settings = try MethodSettings(named: method)
    for (models, output) in [(adapters, "adapters"), (twins, "twins"), ([adapters[0], twins[1]], "mixed")] {
      try await FusionPlan(Recipe(base: base, models: models, method: settings)).run(
        to: folder(output), options: OutputOptions(synchronize: false))
    }
    let expected = try TensorValues(folder("twins"))
    for output in ["adapters", "mixed"] {
      let values = try TensorValues(folder(output))
      #expect(values.names == expected.names)
      #expect(values.names.allSatisfy { values.tensors[$0]!.bytes == expected.tensors[$0]!.bytes })
    }
  }

  @Test func formatsMayBeMixed() async throws {
    let folder = try TemporaryFolder()
    let base = Self.sample("base")
    // A pickled base, a safetensors fine-tune, an HDF5 one, an adapter in safetensors and one in a pickle.
    let models = ["lora", "dora", "embedding", "pickled"].map(Self.sample)
    let twins = try models.map { try Self.twin(of: $0, on: base, in: folder) }
    let compressed = folder("dora.h5")
    try await FusionPlan(Recipe(base: base, models: [models[1]], method: try .init(named: "soup")))
      .run(to: compressed, options: OutputOptions(synchronize: false))
    for (inputs, output) in [
      ([Self.sample("base_pickled"), twins[0], compressed, models[2], models[3]], "mixed"),
      ([base] + twins, "twins"),
    ] {
      try await FusionPlan(Recipe(base: inputs[0], models: Array(inputs[1...])))
        .run(to: folder(output), options: OutputOptions(synchronize: false))
    }
    let (mixed, expected) = (try TensorValues(folder("mixed")), try TensorValues(folder("twins")))
    #expect(mixed.names == expected.names)
    #expect(mixed.names.allSatisfy { mixed.tensors[$0]!.bytes == expected.tensors[$0]!.bytes })
  }

  @Test func oneAdapterAloneGivesTheMergedModel() async throws {
    let folder = try TemporaryFolder()
    let recipe = Recipe(
      base: Self.sample("base"), models: [Self.sample("lora")], method: try .init(named: "soup"))
    try await FusionPlan(recipe).run(to: folder("out"))
    let twin = try TensorValues(try Self.twin(of: Self.sample("lora"), on: Self.sample("base"), in: folder))
    let values = try TensorValues(folder("out"))
    #expect(values.names.allSatisfy { values.tensors[$0]!.bytes == twin.tensors[$0]!.bytes })
    #expect(FileManager.default.fileExists(atPath: folder("out/config.json")))
    #expect(!FileManager.default.fileExists(atPath: folder("out/adapter_config.json")))
  }

  @Test func anAdapterOfASentenceTransformer() async throws {
    let folder = try TemporaryFolder()
    // The fine-tune is a directory with modules.json, its adapter at the root, and a changed module of its own.
    let base = Fixtures.path("samples/st/with_dense")
    let tuned = folder("tuned")
    try FileManager.default.copyItem(atPath: base, toPath: tuned)
    try FileManager.default.removeItem(atPath: tuned + "/model.safetensors")
    let name = "base_model.model.encoder.layer.0.attention.self.query"
    let width = try #require(
      try ModelSource.open(base).tensors.first { $0.name == "encoder.layer.0.attention.self.query.weight" }
    ).stored.info.shape.dimensions[0]
    let ones = [Float](repeating: 1, count: Int(width)).flatMap { value in
      (0..<4).map { UInt8(truncatingIfNeeded: value.bitPattern >> (8 * $0)) }
    }
    try SafetensorsBuilder.write(
      [
        (name + ".lora_A.weight", .f32, [1, width], ones), (name + ".lora_B.weight", .f32, [width, 1], ones),
      ],
      to: tuned + "/adapter_model.safetensors")
    try #"{"peft_type":"LORA","r":1,"lora_alpha":2}"#.write(
      toFile: tuned + "/adapter_config.json", atomically: true, encoding: .utf8)
    var dense = try TensorValues(tuned + "/2_Dense/model.safetensors").tensors["linear.bias"]!
    dense.bytes[0] ^= 0x40
    let weight = try TensorValues(tuned + "/2_Dense/model.safetensors").tensors["linear.weight"]!
    try SafetensorsBuilder.write(
      [
        ("linear.bias", .f32, dense.info.shape.dimensions, dense.bytes),
        ("linear.weight", .f32, weight.info.shape.dimensions, weight.bytes),
      ], to: tuned + "/2_Dense/model.safetensors")

    let plan = try FusionPlan(Recipe(base: base, models: [tuned], method: try .init(named: "soup")))
    try await plan.run(to: folder("out"))
    let values = try TensorValues(folder("out"))
    #expect(values.tensors["2_Dense/linear.bias"]!.bytes == dense.bytes)
    let before = try TensorValues(base).doubles("encoder.layer.0.attention.self.query.weight")
    let after = values.doubles("encoder.layer.0.attention.self.query.weight")
    #expect(after == before.map { Double(Float($0 + 2)) })
    #expect(
      values.doubles("embeddings.LayerNorm.weight")
        == (try TensorValues(base)).doubles("embeddings.LayerNorm.weight"))
  }

  @Test func aHeadThatTheBaseLacksIsTold() throws {
    let folder = try TemporaryFolder()
    try FileManager.default.copyItem(atPath: Self.sample("modules_to_save"), toPath: folder("adapter"))
    let path = folder("adapter/adapter_model.safetensors")
    let values = try TensorValues(path)
    try SafetensorsBuilder.write(
      values.names.map { name in
        let (info, bytes) = values.tensors[name]!
        return (
          name.replacingOccurrences(of: "pooler", with: "classifier"), info.elementType,
          info.shape.dimensions, bytes
        )
      }, to: path)
    var recipe = Recipe(base: Self.sample("base"), models: [folder("adapter")])
    let error = try #require(throws: EmbedFuseError.self) { try FusionPlan(recipe) }
    #expect(
      error.problem.contains("adapter has the tensor classifier.dense.weight (F32 [8, 8]), which"), "\(error)"
    )
    recipe.missing = .base
    #expect(try FusionPlan(recipe).notes.contains { $0.contains("classifier.dense.bias is left out") })
  }

  @Test func namesWithAPlusApplyAnAdapter() throws {
    let (base, lora, dora) = (Self.sample("base"), Self.sample("lora"), Self.sample("dora"))
    let plan = try FusionPlan(Recipe(base: base, models: ["\(base)+\(lora)", "\(base)+\(lora)+\(dora)"]))
    let both = try ModelSource.open(base).applying(adapter: lora).applying(adapter: dora)
    for (input, expected) in zip(
      plan.inputs[1...], [try ModelSource.open(base).applying(adapter: lora), both])
    {
      let (values, twin) = (try TensorValues(input), try TensorValues(expected))
      #expect(values.names.allSatisfy { values.tensors[$0]!.bytes == twin.tensors[$0]!.bytes })
    }
    let error = try #require(throws: EmbedFuseError.self) {
      try FusionPlan(Recipe(base: base, models: ["\(base)+nothing"]))
    }
    #expect(error.code == .missingInput)
  }

  @Test func anAdapterIsNoBase() throws {
    let recipe = Recipe(base: Self.sample("lora"), models: [Self.sample("base")])
    let error = try #require(throws: EmbedFuseError.self) { try FusionPlan(recipe) }
    #expect(error.code == .usage && error.problem.contains("can't be the base"), "\(error)")
  }

  @Test func anAdapterNeedsABase() throws {
    let recipe = Recipe(models: [Self.sample("lora"), Self.sample("dora")], method: try .init(named: "soup"))
    let error = try #require(throws: EmbedFuseError.self) { try FusionPlan(recipe) }
    #expect(error.code == .usage && error.problem.contains("but there is no base"), "\(error)")
    let alone = try #require(throws: EmbedFuseError.self) { try ModelSource.open(Self.sample("lora")) }
    #expect(alone.remedy?.contains("and the adapter as a fine-tune") == true, "\(alone)")
  }

  @Test func aMissingBaseIsSaidOnce() throws {
    let recipe = Recipe(base: "nowhere", models: [Self.sample("lora"), Self.sample("dora")])
    let error = try #require(throws: EmbedFuseError.self) { try FusionPlan(recipe) }
    #expect(error.code == .missingInput && error.path == "nowhere", "\(error)")
  }

  @Test func theModelUnderAnAdapterIsNeverReplaced() async throws {
    let folder = try TemporaryFolder()
    try FileManager.default.copyItem(atPath: Self.sample("base"), toPath: folder("model"))
    let recipe = Recipe(base: Self.sample("base"), models: ["\(folder("model"))+\(Self.sample("lora"))"])
    let plan = try FusionPlan(recipe)
    let error = await #expect(throws: EmbedFuseError.self) {
      try await plan.run(to: folder("model"), options: OutputOptions(overwrite: true))
    }
    #expect(error?.code == .cannotCreate)
  }

  @Test func memoryCountsWhatIsKept() throws {
    let plan = try FusionPlan(Recipe(base: Self.sample("base"), models: [Self.sample("lora")]))
    // Four updates of rank 2 on rows of 8.
    #expect(plan.inputs.map(\.cacheBytes) == [0, 4 * 2 * 8 * 8])
  }
}
