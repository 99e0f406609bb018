import Foundation
import TestSupport
import Testing

@testable import Checkpoints
@testable import TensorCore

/// Adapters that can't be merged right, or are malformed: each is refused by name.
@Suite struct AdapterRefusalTests {
  /// Applies a changed copy of the plain sample to its base.
  static func error(
    kind: String = "lora", _ change: (String) throws -> Void
  ) throws -> EmbedFuseError {
    let folder = try TemporaryFolder()
    let adapter = folder("adapter")
    try FileManager.default.copyItem(atPath: AdapterTests.sample(kind), toPath: adapter)
    try change(adapter)
    return try #require(throws: EmbedFuseError.self) {
      _ = try AdapterTests.base(of: kind).applying(adapter: adapter)
    }
  }

  /// Changes one setting of `adapter_config.json`; nil removes it.
  static func setting(_ key: String, _ value: JSON?) -> (String) throws -> Void {
    { adapter in
      var config = try #require(try JSON.read(adapter + "/adapter_config.json").objectValue)
      config[key] = value
      try JSON.object(config).prettyText.write(
        toFile: adapter + "/adapter_config.json", atomically: true, encoding: .utf8)
    }
  }

  /// Changes the tensors.
  static func tensors(_ edit: @escaping (inout [SafetensorsBuilder.Tensor]) throws -> Void) -> (String) throws
    -> Void
  {
    { adapter in
      let path = adapter + "/adapter_model.safetensors"
      let values = try TensorValues(path)
      var tensors: [SafetensorsBuilder.Tensor] = values.names.map { name in
        let (info, bytes) = values.tensors[name]!
        return (name, info.elementType, info.shape.dimensions, bytes)
      }
      try edit(&tensors)
      try SafetensorsBuilder.write(tensors, to: path)
    }
  }

  static let query = "base_model.model.encoder.layer.0.attention.self.query"

  // MARK: Kinds that can't be merged right

  @Test(
    arguments: [
      ("use_qalora", true), ("use_bdlora", ["nblocks": 2]), ("target_parameters", ["experts.w"]),
      ("trainable_token_indices", [1, 2]), ("layer_replication", [[0, 4]]), ("megatron_config", ["a": 1]),
      ("alora_invocation_tokens", [5]), ("arrow_config", ["top_k": 2]), ("kasa_config", ["beta": 1]),
      ("velora_config", ["num_groups": 2]), ("monteclora_config", ["num_samples": 2]), ("lora_bias", true),
    ] as [(String, JSON)]) func refusesWhatChangesTheMeaning(key: String, value: JSON) throws
  {
    let error = try Self.error(Self.setting(key, value))
    #expect(error.code == .badData && error.problem.contains("uses \(key) ("), "\(error)")
    #expect(error.remedy?.contains("merge_and_unload") == true)
  }

  @Test(arguments: ["pissa", "pissa_niter_16", "olora", "loftq", "corda", "lora_ga", "anything"])
  func refusesStartsThatChangedTheBase(start: String) throws {
    let error = try Self.error(Self.setting("init_lora_weights", .string(start)))
    #expect(error.code == .badData && error.problem.contains("init_lora_weights is \"\(start)\""), "\(error)")
  }

  @Test(arguments: [true, false, .null, "gaussian", "eva", "orthogonal", "mica"] as [JSON])
  func takesStartsThatLeftTheBase(start: JSON) throws {
    let folder = try TemporaryFolder()
    try FileManager.default.copyItem(atPath: AdapterTests.sample("lora"), toPath: folder("adapter"))
    try Self.setting("init_lora_weights", start)(folder("adapter"))
    #expect(try AdapterTests.base(of: "lora").applying(adapter: folder("adapter")).tensors.count == 39)
  }

  @Test(arguments: ["IA3", "LOHA", "ADALORA", "PREFIX_TUNING", .null] as [JSON])
  func refusesOtherKindsOfAdapters(kind: JSON) throws {
    let error = try Self.error(Self.setting("peft_type", kind))
    #expect(error.code == .badData && error.problem.contains("only LORA adapters can be read"), "\(error)")
  }

  @Test func refusesDoRAOnTransposedLayers() throws {
    let error = try Self.error(kind: "dora", Self.setting("fan_in_fan_out", true))
    #expect(error.problem.contains("DoRA on a transposed layer (fan_in_fan_out)"), "\(error)")
  }

  @Test func refusesDoRAOnEmbeddings() throws {
    let error = try Self.error(kind: "embedding") { adapter in
      try Self.setting("use_dora", true)(adapter)
      try Self.tensors { tensors in
        tensors.removeAll { $0.name.contains("query") }
        tensors.append(
          (
            "base_model.model.embeddings.word_embeddings.lora_magnitude_vector", .f32, [8],
            [UInt8](repeating: 0, count: 32)
          ))
      }(adapter)
    }
    #expect(error.problem.contains("DoRA on an embedding"), "\(error)")
  }

  @Test func refusesConvolutions() throws {
    let error = try Self.error(
      Self.tensors { tensors in
        let place = tensors.firstIndex { $0.name == Self.query + ".lora_A.weight" }!
        tensors[place].shape = [2, 2, 2, 2]
      })
    #expect(error.problem.contains("query is for a convolution"), "\(error)")
  }

  @Test(arguments: [
    "lora_B.bias", "lora_diag.default", "lora_embedding_C", "lora_A.other.weight", "lora_magnitude_vector.x",
    "trainable_tokens_delta",
  ]) func refusesTensorsThatItDoesNotKnow(name: String) throws {
    let error = try Self.error(
      Self.tensors { $0.append(("\(Self.query).\(name)", .f32, [8], [UInt8](repeating: 0, count: 32))) })
    #expect(error.problem.contains("no part of a LoRA adapter that is known"), "\(error)")
    #expect(error.tensor == "\(Self.query).\(name)")
  }

  @Test func refusesAQuantisedBase() throws {
    let folder = try TemporaryFolder()
    let values = try TensorValues(AdapterTests.sample("base"))
    let tensors: [SafetensorsBuilder.Tensor] = values.names.map { name in
      let (info, bytes) = values.tensors[name]!
      return name.hasSuffix("layer.1.attention.self.value.weight")
        ? (name, .i8, info.shape.dimensions, Array(bytes[..<64]))
        : (name, info.elementType, info.shape.dimensions, bytes)
    }
    try SafetensorsBuilder.write(tensors, to: folder("base.safetensors"))
    let base = try ModelSource.open(folder("base.safetensors"))
    let error = try #require(throws: EmbedFuseError.self) {
      try base.applying(adapter: AdapterTests.sample("lora"))
    }
    #expect(error.problem.hasPrefix("is I8") && error.remedy?.contains("quantised") == true, "\(error)")
  }

  // MARK: Adapters that don't fit

  @Test func refusesAnotherBase() throws {
    let base = try ModelSource.open(AdapterTests.sample("gpt2base"))
    let error = try #require(throws: EmbedFuseError.self) {
      try base.applying(adapter: AdapterTests.sample("lora"))
    }
    #expect(
      error.problem.contains("updates 4 weights that") && error.problem.contains("gpt2base lacks"), "\(error)"
    )
    #expect(error.remedy == "it belongs to another base: peft/base")
  }

  @Test func refusesABaseOfAnotherWidth() throws {
    let base = try ModelSource.open(Fixtures.path("family/base"))
    let error = try #require(throws: EmbedFuseError.self) {
      try base.applying(adapter: AdapterTests.sample("lora"))
    }
    #expect(error.problem.contains("is for a weight of [8, 8], but that is [16, 16]"), "\(error)")
  }

  @Test func refusesARankThatItsTensorsLack() throws {
    let error = try Self.error(Self.setting("r", 4))
    #expect(
      error.problem.contains("has rank 4 by adapter_config.json, but A is [2, 8] and B [8, 2]"), "\(error)")
    let pattern = try Self.error(Self.setting("rank_pattern", ["layer.1.*value": 3]))
    #expect(pattern.problem.contains("layer.1.attention.self.value has rank 3"), "\(pattern)")
  }

  @Test func refusesHalfAnUpdate() throws {
    for part in ["A", "B"] {
      let error = try Self.error(
        Self.tensors { $0.removeAll { $0.name == "\(Self.query).lora_\(part).weight" } })
      #expect(error.problem.contains("query lacks its \(part)"), "\(error)")
    }
  }

  @Test func refusesUpdatesOfIntegers() throws {
    let error = try Self.error(
      Self.tensors { tensors in
        let place = tensors.firstIndex { $0.name == Self.query + ".lora_A.weight" }!
        tensors[place].type = .i32
      })
    #expect(error.problem.contains("types that can't be computed with: I32 and F32"), "\(error)")
  }

  @Test func refusesMagnitudesThatDoNotFit() throws {
    let without = try Self.error(Self.setting("use_dora", true))
    #expect(without.problem.contains("lacks the magnitudes of DoRA"), "\(without)")
    let unset = try Self.error(kind: "dora", Self.setting("use_dora", false))
    #expect(unset.problem.contains("has magnitudes of DoRA, but use_dora isn't set"), "\(unset)")
    let short = try Self.error(
      kind: "dora",
      Self.tensors { tensors in
        let place = tensors.firstIndex { $0.name.hasSuffix("magnitude_vector") }!
        tensors[place].shape = [7]
        tensors[place].bytes.removeLast(4)
      })
    #expect(short.problem.contains("has magnitudes F32 [7], but B is [8, 2]"), "\(short)")
  }

  @Test func refusesTwoTensorsForOne() throws {
    let error = try Self.error(
      Self.tensors { tensors in
        for middle in ["", "base_layer."] {
          tensors.append(("\(Self.query).\(middle)bias", .f32, [8], [UInt8](repeating: 0, count: 32)))
        }
      })
    #expect(error.problem.contains("two tensors for one of the base's"), "\(error)")
  }

  // MARK: Malformed files

  @Test(
    arguments: [
      ("r", 0, "no rank r"), ("r", "2", "no rank r"), ("r", nil, "no rank r"),
      ("lora_alpha", nil, "no number lora_alpha"),
      ("use_rslora", "yes", "use_rslora is \"yes\""), ("use_dora", 1, "use_dora is 1"),
      ("rank_pattern", [1], "rank_pattern is no object"), ("rank_pattern", ["a": 0], "which is no rank"),
      ("rank_pattern", ["a": .number(1.5)], "which is no rank"),
      ("alpha_pattern", ["a": "x"], "not a number"),
      ("rank_pattern", ["(": 2], "lacks a ')'"),
    ] as [(String, JSON?, String)]) func refusesSettingsThatAreNone(
      key: String, value: JSON?, problem: String
    ) throws
  {
    let error = try Self.error(Self.setting(key, value))
    #expect(error.code == .badData && error.problem.contains(problem), "\(error)")
    #expect(error.path?.hasSuffix("adapter/adapter_config.json") == true)
  }

  @Test func refusesAConfigurationThatIsNoObject() throws {
    for (text, problem) in [("[]", "is no JSON object"), ("{", "invalid JSON"), ("", "invalid JSON")] {
      let error = try Self.error {
        try text.write(toFile: $0 + "/adapter_config.json", atomically: true, encoding: .utf8)
      }
      #expect(error.code == .badData && error.problem.contains(problem), "\(error)")
    }
  }

  @Test func saysWhichFileIsMissing() throws {
    let settings = try Self.error { try FileManager.default.removeItem(atPath: $0 + "/adapter_config.json") }
    #expect(settings.code == .missingInput && settings.problem.contains("no adapter_config.json"))
    let weights = try Self.error {
      try FileManager.default.removeItem(atPath: $0 + "/adapter_model.safetensors")
    }
    #expect(weights.code == .missingInput && weights.problem.contains("holds no tensors"), "\(weights)")
  }

  /// Files with a few bytes changed are read or refused, and nothing else.
  @Test(arguments: ["adapter_config.json", "adapter_model.safetensors"]) func damageIsNoCrash(file: String)
    throws
  {
    var generator = SeededGenerator(seed: 5)
    let folder = try TemporaryFolder()
    try FileManager.default.copyItem(atPath: AdapterTests.sample("patterns"), toPath: folder("adapter"))
    let url = URL(fileURLWithPath: folder("adapter/" + file))
    let good = try Data(contentsOf: url)
    let base = try AdapterTests.base(of: "lora")
    var refused = 0
    for _ in 0..<400 {
      var bad = good
      for _ in 0..<Int.random(in: 1...4, using: &generator) {
        let place = Int.random(in: 0..<min(bad.count, 4000), using: &generator)
        bad[place] = UInt8.random(in: 32...126, using: &generator)
      }
      try bad.write(to: url)
      do throws(EmbedFuseError) {
        let merged = try base.applying(adapter: folder("adapter"))
        for tensor in merged.tensors {
          _ = try tensor.stored.widened(0..<tensor.stored.info.shape.elementCount)
        }
      } catch {
        #expect(error.code != .internalError && !error.problem.isEmpty)
        refused += 1
      }
    }
    #expect(refused > 100)
  }

  @Test func tellsOfSettingsThatItDoesNotKnow() throws {
    let folder = try TemporaryFolder()
    try FileManager.default.copyItem(atPath: AdapterTests.sample("lora"), toPath: folder("adapter"))
    try Self.setting("base_model_name_or_path", "org/other-model")(folder("adapter"))
    try Self.setting("made_by", "x")(folder("adapter"))
    let notes = try AdapterTests.base(of: "lora").applying(adapter: folder("adapter")).notes
    #expect(notes.count == 2 && notes[0].contains("the setting made_by is not known"), "\(notes)")
    #expect(notes[1].contains("was trained on a base named org/other-model"))
  }
}
