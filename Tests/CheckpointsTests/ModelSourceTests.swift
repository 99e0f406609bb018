import Foundation
import TestSupport
import Testing

@testable import Checkpoints
@testable import TensorCore

@Suite struct ModelSourceTests {
  /// A copy of the fixture family's base.
  static func copy(_ folder: TemporaryFolder, _ name: String = "model", of family: String = "base") throws
    -> String
  {
    try FileManager.default.copyItem(atPath: Fixtures.path("family/\(family)"), toPath: folder(name))
    return folder(name)
  }

  static func write(_ text: String, to path: String) throws {
    try FileManager.default.createDirectory(
      atPath: FilePath.folder(of: path), withIntermediateDirectories: true)
    try text.write(toFile: path, atomically: true, encoding: .utf8)
  }

  // MARK: Opening

  @Test func opensASentenceTransformersDirectory() throws {
    let source = try ModelSource.open(Fixtures.path("family/base"))
    #expect(source.modules.map(\.type) == ["Transformer", "Pooling", "Normalize"])
    #expect(source.tensors.count == 40)
    #expect(source.companions.map(\.relativePath).contains("1_Pooling/config.json"))
    #expect(!source.companions.map(\.relativePath).contains("model.safetensors"))
  }

  @Test func readsTheWeightsOfEveryModule() throws {
    let source = try ModelSource.open(Fixtures.path("samples/st/with_dense"))
    let dense = source.tensors.filter { $0.module == "2_Dense" }
    #expect(Set(dense.map(\.name)) == ["2_Dense/linear.weight", "2_Dense/linear.bias"])
    #expect(source.tensors.contains { $0.name == "embeddings.word_embeddings.weight" })
  }

  /// Newer libraries write the transformer as safetensors and a Dense module as a file of torch.
  @Test func modulesMayBeOfDifferentFormats() throws {
    let source = try ModelSource.open(Fixtures.path("samples/st/with_dense_bin"))
    let dense = source.tensors.filter { $0.module == "2_Dense" }
    #expect(Set(dense.map(\.name)) == ["2_Dense/linear.weight", "2_Dense/linear.bias"])
    let twin = try ModelSource.open(Fixtures.path("samples/st/with_dense"))
    #expect(Set(source.tensors.map(\.name)) == Set(twin.tensors.map(\.name)))
  }

  @Test func readsADirectoryOfTorch() throws {
    let folder = try TemporaryFolder()
    let samples = Fixtures.path("samples/torch")
    try FileManager.default.copyItem(atPath: samples + "/sharded", toPath: folder("shards"))
    let shards = try ModelSource.open(folder("shards"))
    #expect(shards.format == .pytorch && shards.tensors.map(\.name) == ["a", "b"])
    #expect(shards.aliases == ["c": "b"])
    try FileManager.default.copyItem(
      atPath: samples + "/state_dict.pt", toPath: folder("shards/pytorch_model.bin"))
    let single = try ModelSource.open(folder("shards"))
    #expect(single.tensors.map(\.name) == ["embeddings.weight", "encoder.0.bias"])
    #expect(single.notes.joined().contains("ignores the index beside it"))
  }

  @Test func followsTheLinksOfTheHuggingFaceCache() throws {
    let folder = try TemporaryFolder()
    let model = try Self.copy(folder, "plain")
    for file in ["model.safetensors", "config.json", "modules.json"] {
      try FileManager.default.createDirectory(atPath: folder("blobs"), withIntermediateDirectories: true)
      try FileManager.default.createDirectory(
        atPath: folder("snapshots/abc"), withIntermediateDirectories: true)
      try FileManager.default.moveItem(atPath: model + "/" + file, toPath: folder("blobs/" + file + ".blob"))
      try FileManager.default.createSymbolicLink(
        atPath: folder("snapshots/abc/" + file), withDestinationPath: "../../blobs/\(file).blob")
    }
    let source = try ModelSource.open(folder("snapshots/abc"))
    #expect(source.tensors.count == 40)
    #expect(source.companions.map(\.relativePath) == ["config.json", "modules.json"])
  }

  @Test func leavesOutOtherWeightsAndTrainingDebris() throws {
    let folder = try TemporaryFolder()
    let model = try Self.copy(folder)
    let debris = [
      "pytorch_model.bin", "optimizer.pt", "rng_state.pth", "trainer_state.json", "training_args.bin",
      "onnx/model.onnx",
      "checkpoint-10/model.safetensors", "README.md", ".gitattributes", "tf_model.h5", "openvino/model.xml",
    ]
    for file in debris { try Self.write("x", to: model + "/" + file) }
    let files = try ModelSource.open(model).companions.map(\.relativePath)
    #expect(Set(files).isDisjoint(with: debris))
    #expect(files.contains("vocab.txt") && files.contains("tokenizer.json"))
  }

  @Test(arguments: [
    (#"[{"idx":0,"name":"0","path":"../..","type":"a.Transformer"}]"#, "no folder of this directory"),
    (#"[{"idx":0,"name":"0","path":"/etc","type":"a.Transformer"}]"#, "no folder of this directory"),
    (#"[{"path":"","type":"a.Transformer"},{"path":"","type":"a.Pooling"}]"#, "two modules"),
    (#"[{"idx":0}]"#, "without path or type"),
    ("{}", "no list of modules"), ("[]", "no list of modules"), ("[", "invalid JSON"),
  ]) func rejectsAHostileModuleList(text: String, message: String) throws {
    let folder = try TemporaryFolder()
    let model = try Self.copy(folder)
    try Self.write(text, to: model + "/modules.json")
    let error = try #require(throws: EmbedFuseError.self) { try ModelSource.open(model) }
    #expect(error.code == .badData && error.description.contains(message), "\(error)")
  }

  @Test func aTensorThatIsCalledAsOneOfAnotherModuleIsRefused() throws {
    let folder = try TemporaryFolder()
    let model = folder("model")
    try FileManager.default.copyItem(atPath: Fixtures.path("samples/st/with_dense"), toPath: model)
    try SafetensorsBuilder.write(
      [("2_Dense/linear.weight", .f32, [1], [0, 0, 0, 0])], to: model + "/model.safetensors")
    let error = try #require(throws: EmbedFuseError.self) { try ModelSource.open(model) }
    #expect(error.code == .badData && error.tensor == "2_Dense/linear.weight", "\(error)")
  }

  @Test(arguments: [
    (["zero_to_fp32.py", "latest"], "DeepSpeed"),
    (["checkpoint-2/x", "checkpoint-10/x"], "checkpoint-10"),
    (["adapter_config.json", "adapter_model.safetensors"], "LoRA adapter"),
    (["__0_0.distcp"], "dcp_to_torch"),
  ]) func adviseAboutDirectoriesOfOtherKinds(files: [String], advice: String) throws {
    let folder = try TemporaryFolder()
    for file in files { try Self.write("x", to: folder("model/" + file)) }
    let error = try #require(throws: EmbedFuseError.self) { try ModelSource.open(folder("model")) }
    #expect(error.code == .missingInput && error.description.contains(advice), "\(error)")
  }

  // MARK: Comparing

  static func findings(_ change: (String) throws -> Void) throws -> [Finding] {
    let folder = try TemporaryFolder()
    let other = try copy(folder)
    try change(other)
    return try Compatibility(with: try ModelSource.open(Fixtures.path("family/base")))
      .findings(of: try ModelSource.open(other))
  }

  static func edit(_ file: String, _ from: String, _ to: String) -> (String) throws -> Void {
    { model in
      let text = try String(contentsOfFile: model + "/" + file, encoding: .utf8)
      try #require(text.contains(from))
      try write(text.replacingOccurrences(of: from, with: to), to: model + "/" + file)
    }
  }

  @Test func findsNothingBetweenRealFineTunes() throws {
    let compatibility = Compatibility(with: try ModelSource.open(Fixtures.path("family/base")))
    for name in ["retrieval", "similarity"] {
      // Other white space in the tokenizer, the newer spelling of pooling, no vocab.txt.
      let model = try ModelSource.open(Fixtures.path("family/\(name)"))
      #expect(try compatibility.findings(of: model).isEmpty)
    }
  }

  @Test(arguments: [
    ("hidden_act", "\"gelu\"", "\"relu\""),
    ("num_attention_heads", "\"num_attention_heads\": 2", "\"num_attention_heads\": 4"),
    ("layer_norm_eps", "1e-12", "1e-5"),
  ]) func architectureIsIncompatible(key: String, from: String, to: String) throws {
    let findings = try Self.findings(Self.edit("config.json", from, to))
    #expect(findings.count == 1 && findings[0].isIncompatible && findings[0].message.contains(key))
  }

  @Test func spellingsAndNoiseAreNoDifference() throws {
    #expect(try Self.findings(Self.edit("config.json", "1e-12", "1.0e-12")).isEmpty)
    #expect(try Self.findings(Self.edit("config.json", "\"float32\"", "\"bfloat16\"")).isEmpty)
    let newTypes = Self.edit(
      "modules.json", "sentence_transformers.models.Pooling",
      "sentence_transformers.sentence_transformer.modules.pooling.Pooling")
    #expect(try Self.findings(newTypes).isEmpty)
  }

  @Test func settingsOfUseAreReportedTogether() throws {
    let findings = try Self.findings { model in
      try Self.edit("sentence_bert_config.json", "\"max_seq_length\": 16", "\"max_seq_length\": 8")(model)
      try Self.edit("config_sentence_transformers.json", "\"cosine\"", "\"dot\"")(model)
    }
    #expect(findings.count == 1 && !findings[0].isIncompatible)
    #expect(findings[0].message.contains("max_seq_length 8 (16)"))
    #expect(findings[0].message.contains("similarity_fn_name \"dot\" (\"cosine\")"))
  }

  @Test func moduleListsMustAgree() throws {
    let findings = try Self.findings(Self.edit("modules.json", "models.Normalize", "models.Dense"))
    #expect(findings.contains { $0.isIncompatible && $0.message.contains("the list of modules") })
  }

  @Test func vocabulariesAreComparedByContent() throws {
    let swapped = try Self.findings(Self.edit("tokenizer.json", "\"##l\": 39", "\"##q\": 39"))
    #expect(swapped.contains { $0.isIncompatible && $0.message.contains("the vocabulary (2 tokens differ") })
    // A vocab.txt alone is the same vocabulary.
    #expect(try Self.findings { try FileManager.default.removeItem(atPath: $0 + "/tokenizer.json") }.isEmpty)
    // And without any there is nothing to compare.
    #expect(
      try Self.findings { model in
        for file in ["tokenizer.json", "vocab.txt"] {
          try FileManager.default.removeItem(atPath: model + "/" + file)
        }
      }.isEmpty)
  }

  @Test func vocabularyFilesAloneAreCompared() throws {
    let folder = try TemporaryFolder()
    let models = try [("base", "a\nb\n"), ("same", "a\nb\n"), ("other", "a\nc\n"), ("again", "a\r\nb\n")].map
    {
      let model = try Self.copy(folder, $0.0)
      try FileManager.default.removeItem(atPath: model + "/tokenizer.json")
      try Self.write($0.1, to: model + "/vocab.txt")
      return try ModelSource.open(model)
    }
    let compatibility = Compatibility(with: models[0])
    #expect(try models.map { try compatibility.findings(of: $0).count } == [0, 0, 1, 0])
  }

  /// Settings that don't change what weights mean are told, of objects the members that differ, all in one finding.
  @Test func settingsOfUseAreTold() throws {
    let folder = try TemporaryFolder()
    let (base, other) = (try Self.copy(folder, "base"), try Self.copy(folder, "other"))
    for (model, query, dropout) in [(base, "query: ", "0.1"), (other, "search: ", "0.3")] {
      try Self.edit(
        "config_sentence_transformers.json", "\"prompts\": {}",
        "\"prompts\": {\"query\": \"\(query)\", \"document\": \"\"}")(model)
      try Self.edit("config.json", "{", "{\"classifier_scale\": \(dropout),")(model)
    }
    let findings = try Compatibility(with: try ModelSource.open(base)).findings(
      of: try ModelSource.open(other))
    #expect(findings.count == 1 && !findings[0].isIncompatible)
    let message = try #require(findings.first?.message)
    #expect(message.contains("prompts.query \"search: \" (\"query: \")"), "\(message)")
    #expect(message.contains("classifier_scale 0.3 (0.1)") && !message.contains("document"), "\(message)")
  }

  @Test func unigramVocabulariesAreReadToo() throws {
    let findings = try Self.findings { model in
      try FileManager.default.removeItem(atPath: model + "/vocab.txt")
      try Self.write(
        #"{"model":{"type":"Unigram","vocab":[["<s>",0],["a",-1.5]]},"added_tokens":[]}"#,
        to: model + "/tokenizer.json")
    }
    #expect(
      findings.contains { $0.isIncompatible && $0.message.contains("is none of 2, but 36 of 40") },
      "\(findings.map(\.message))")
  }

  @Test func aVocabularyListIsMadeAgainFromTheTokenizer() throws {
    let folder = Fixtures.path("family/base")
    let tokenizer = Array(try Data(contentsOf: URL(fileURLWithPath: folder + "/tokenizer.json")))
    let list = Array(try Data(contentsOf: URL(fileURLWithPath: folder + "/vocab.txt")))
    let files = [("tokenizer.json", tokenizer), ("vocab.txt", list), ("other/vocab.txt", list)]
    #expect(WordPieceList.withoutDerived(files).map(\.0) == ["tokenizer.json", "other/vocab.txt"])
    #expect(
      WordPieceList.withoutDerived([("tokenizer.json", tokenizer), ("vocab.txt", list + [10])]).count == 2)
  }
}
