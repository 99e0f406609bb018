import TestSupport
import Testing

@testable import Checkpoints
@testable import TensorCore

@Suite struct NameMappingTests {
  static let names = [
    "embeddings.word_embeddings.weight", "embeddings.LayerNorm.bias",
    "encoder.layer.0.attention.self.query.weight",
    "encoder.layer.1.attention.self.query.weight", "pooler.dense.weight",
  ]

  static func map(_ base: [String], _ input: [String]) throws(EmbedFuseError) -> NameMapping {
    try NameMapping(base: base, input: input, path: "input")
  }

  @Test(arguments: [
    "", "module.", "_orig_mod.", "model.", "bert.", "roberta.", "0.auto_model.", "0.model.",
    "base_model.model.",
    "_forward_module.", "module._orig_mod.", "_orig_mod.module.", "model.bert.", "module.0.auto_model.",
    "module._orig_mod.model.bert.",
  ]) func takesOffWrapperPrefixes(prefix: String) throws {
    let wrapped = Self.names.map { prefix + $0 }
    let mapping = try Self.map(Self.names, wrapped)
    #expect(mapping.inputNames == Dictionary(uniqueKeysWithValues: zip(Self.names, wrapped)))
    #expect(mapping.missing.isEmpty && mapping.extra.isEmpty)
    // And the other way round: the base is the one that is wrapped.
    let reverse = try Self.map(wrapped, Self.names)
    #expect(reverse.inputNames == Dictionary(uniqueKeysWithValues: zip(wrapped, Self.names)))
  }

  @Test(arguments: ["_orig_mod.", "_fsdp_wrapped_module.", "_checkpoint_wrapped_module."])
  func takesThemOutOfTheMiddle(part: String) throws {
    let wrapped = Self.names.map { $0.replacing("layer.", with: "layer." + part, maxReplacements: 1) }
    let mapping = try Self.map(Self.names, wrapped)
    #expect(mapping.missing.isEmpty && mapping.extra.isEmpty)
  }

  /// A compiled module beside itself: without what compilers insert two names are one, so they are compared as they are.
  @Test(arguments: ["_orig_mod.", "_fsdp_wrapped_module."])
  func namesThatDifferOnlyInWhatCompilersInsert(part: String) throws {
    let inserted = Self.names.map { $0.replacing("layer.", with: "layer." + part, maxReplacements: 1) }
    let twin = "encoder.layer.\(part)0.attention.self.query.weight"
    let mapping = try Self.map(Self.names, Self.names + [twin])
    #expect(mapping.inputNames == Dictionary(uniqueKeysWithValues: zip(Self.names, Self.names)))
    #expect(mapping.extra == [twin] && mapping.missing.isEmpty)
    let reverse = try Self.map(Self.names + [twin], Self.names)
    #expect(reverse.missing == [twin] && reverse.extra.isEmpty)
    // The others still lose what is inserted.
    let mixed = try Self.map(Self.names, inserted + [Self.names[2]])
    #expect(mixed.extra == [twin] && mixed.missing.isEmpty)
    #expect(mixed.inputNames[Self.names[3]] == inserted[3])
  }

  @Test func namesThatAppearTwice() throws {
    for (base, input) in [(["a", "a"], ["a", "a"]), (["a", "a"], ["b"]), (["b"], ["a", "a"])] {
      let error = try #require(throws: EmbedFuseError.self) { try Self.map(base, input) }
      #expect(error.code == .badData && error.description.contains("'a'"), "\(error)")
    }
  }

  @Test func keepsAPrefixThatBelongsToTheModel() throws {
    // T5 and Qwen really have names that start with model.
    let names = ["model.embed_tokens.weight", "model.layers.0.mlp.up_proj.weight", "model.norm.weight"]
    let mapping = try Self.map(names, names)
    #expect(mapping.inputPrefix.isEmpty && mapping.basePrefix.isEmpty)
    #expect(mapping.inputNames.allSatisfy { $0.key == $0.value })
    #expect(try Self.map(names, names.map { "module." + $0 }).inputPrefix == "module.")
  }

  @Test func leavesAHeadOutsideThePrefixAlone() throws {
    let input = Self.names.map { "bert." + $0 } + ["cls.predictions.bias"]
    let mapping = try Self.map(Self.names, input)
    #expect(mapping.extra == ["cls.predictions.bias"])
    #expect(mapping.missing.isEmpty)
  }

  @Test func tellsWhatEachSideLacks() throws {
    let mapping = try Self.map(Self.names, Array(Self.names.dropLast()) + ["classifier.weight"])
    #expect(mapping.missing == ["pooler.dense.weight"])
    #expect(mapping.extra == ["classifier.weight"])
  }

  @Test func doesNotGuessWhereTwoFit() throws {
    // With the prefix one tensor fits, without it another.
    let error = #expect(throws: EmbedFuseError.self) {
      try Self.map(
        ["a.weight", "module.b.weight"], ["module.a.weight", "module.b.weight", "module.c.weight"])
    }
    #expect(error?.code == .badData && error?.path == "input")
    #expect(error?.problem.contains("in two ways") == true, "\(error?.problem ?? "")")
  }

  /// Only what most names carry wraps a model: a second copy of it is extra.
  @Test func takesThePrefixOfMostNames() throws {
    let copy = Self.names.map { "model." + $0 }
    let mapping = try Self.map(Self.names, Self.names.map { "module." + $0 } + copy + ["module.x"])
    #expect(mapping.inputPrefix == "module." && mapping.missing.isEmpty)
    #expect(mapping.extra == copy + ["module.x"])
  }

  @Test func matchesTheGoldenFileWithAPrefix() throws {
    let base = try Checkpoint.openSafetensors(at: Fixtures.path("golden/inputs/base.f32.safetensors"))
    let wrapped = try Checkpoint.openSafetensors(
      at: Fixtures.path("golden/inputs/ft1_module_prefix.f32.safetensors"))
    let mapping = try Self.map(base.tensors.map(\.info.name), wrapped.tensors.map(\.info.name))
    #expect(mapping.inputPrefix == "module.")
    #expect(mapping.extra.isEmpty)
  }
}
