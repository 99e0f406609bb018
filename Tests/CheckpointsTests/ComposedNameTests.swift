import Foundation
import TestSupport
import Testing

@testable import Checkpoints
@testable import TensorCore

/// Names that differ only in how their characters are composed: é as one character, and as e with an accent. To files they
/// are two, to `String` one.
@Suite struct ComposedNameTests {
  static let composed = "\u{E9}"
  static let decomposed = "e\u{301}"

  private func refusal(
    _ path: String, sourceLocation: SourceLocation = #_sourceLocation
  ) throws -> EmbedFuseError {
    try #require(throws: EmbedFuseError.self, sourceLocation: sourceLocation) {
      _ = try ModelSource.open(path)
    }
  }

  /// Checks what is said of two such names, and that it shows how they differ.
  private func expectRefusal(
    of path: String, names: [String] = ["e\\u{301}", "\\u{e9}"],
    sourceLocation: SourceLocation = #_sourceLocation
  ) throws {
    let error = try refusal(path, sourceLocation: sourceLocation)
    #expect(error.code == .badData, sourceLocation: sourceLocation)
    #expect(
      error.problem.hasPrefix("two names differ only in how their characters are composed (Unicode"),
      "\(error)", sourceLocation: sourceLocation)
    for name in names {
      #expect(error.problem.contains("'\(name)'"), "\(error)", sourceLocation: sourceLocation)
    }
    #expect(error.remedy == "rename one of the two", sourceLocation: sourceLocation)
  }

  private func write(_ bytes: [UInt8], to path: String) throws {
    try Data(bytes).write(to: URL(fileURLWithPath: path))
  }

  // MARK: Tensors

  @Test func safetensorsFiles() throws {
    let folder = try TemporaryFolder()
    let path = folder("a.safetensors")
    try SafetensorsBuilder.write(
      [(Self.decomposed, .u8, [1], [1]), (Self.composed, .u8, [1], [2])], to: path)
    try expectRefusal(of: path)
  }

  @Test func aNameInASCIIHasTwinsToo() throws {
    let folder = try TemporaryFolder()
    let path = folder("a.safetensors")
    // The sign of the kelvin is to Unicode the letter K.
    try SafetensorsBuilder.write([("K", .u8, [1], [1]), ("\u{212A}", .u8, [1], [2])], to: path)
    try expectRefusal(of: path, names: ["K", "\\u{212a}"])
  }

  @Test func metadataOfSafetensorsFiles() throws {
    let folder = try TemporaryFolder()
    let path = folder("a.safetensors")
    let metadata = #"{"__metadata__":{"e\u0301":"1","\u00e9":"2"}}"#
    try write(SafetensorsBuilder.file(header: metadata), to: path)
    try expectRefusal(of: path)
  }

  @Test func shardsAndTheirIndex() throws {
    let folder = try TemporaryFolder()
    let index = folder("model.safetensors.index.json")
    try SafetensorsBuilder.write([(Self.decomposed, .u8, [1], [1])], to: folder("1.safetensors"))
    try SafetensorsBuilder.write([(Self.composed, .u8, [1], [2])], to: folder("2.safetensors"))
    func expectRefusal(ofMap map: String, names: [String] = ["e\\u{301}", "\\u{e9}"]) throws {
      try write(Array(#"{"weight_map":{\#(map)}}"#.utf8), to: index)
      try self.expectRefusal(of: index, names: names)
    }
    try expectRefusal(ofMap: #""e\u0301":"1.safetensors","\u00e9":"2.safetensors""#)
    try expectRefusal(
      ofMap: #""a":"e\u0301.safetensors","b":"\u00e9.safetensors""#,
      names: ["e\\u{301}.safetensors", "\\u{e9}.safetensors"])
    // The index names the tensor otherwise than the shard does.
    try expectRefusal(ofMap: #""\u00e9":"1.safetensors""#)
  }

  @Test func hdf5Files() throws {
    try expectRefusal(of: Fixtures.path("samples/hdf5/composed_names.h5"))
  }

  @Test func torchFiles() throws {
    try expectRefusal(of: Fixtures.path("samples/torch/composed_names.pt"))
  }

  @Test func ggufFiles() throws {
    let folder = try TemporaryFolder()
    var builder = GGUFBuilder()
    builder.add("general.architecture", 8, GGUFBuilder.string("bert"))
    builder.add(tensor: Self.decomposed, [8], type: 0, at: 0)
    builder.add(tensor: Self.composed, [8], type: 0, at: 32)
    builder.data = [UInt8](repeating: 0, count: 64)
    try write(builder.bytes, to: folder("a.gguf"))
    try expectRefusal(of: folder("a.gguf"))
    // Keys are read by none but other programs.
    builder = .small
    builder.add(Self.decomposed, 8, GGUFBuilder.string("1"))
    builder.add(Self.composed, 8, GGUFBuilder.string("2"))
    try write(builder.bytes, to: folder("b.gguf"))
    #expect(try ModelSource.open(folder("b.gguf")).tensors.count == 1)
  }

  @Test func tensorsOfAModulesFolder() throws {
    let folder = try TemporaryFolder()
    let model = folder("model")
    try ModelSourceTests.write(
      #"[{"path":"","type":"x.Transformer"},{"path":"2_\#(Self.composed)","type":"x.Dense"}]"#,
      to: model + "/modules.json")
    try ModelSourceTests.write("{}", to: model + "/2_\(Self.composed)/config.json")
    try SafetensorsBuilder.write(
      [("2_\(Self.decomposed)/w", .u8, [1], [1])], to: model + "/model.safetensors")
    try SafetensorsBuilder.write([("w", .u8, [1], [1])], to: model + "/2_\(Self.composed)/model.safetensors")
    try expectRefusal(of: model, names: ["2_e\\u{301}/w", "2_\\u{e9}/w"])
  }

  @Test func groupsOfAnHDF5FileMayBeTwins() throws {
    let folder = try TemporaryFolder()
    var sample = HDF5Sample()
    sample.add("\(Self.composed)/a", .f32, [4])
    sample.add("\(Self.decomposed)/b", .f32, [4])
    try sample.write(to: folder("a.h5"))
    let names = try ModelSource.open(folder("a.h5")).tensors.map(\.name)
    #expect(names.map { Array($0.utf8) } == sample.tensors.map { Array($0.name.utf8) })
  }

  @Test func tensorsOfTwoModelsAreNotTakenForOne() throws {
    for (base, input) in [(Self.composed, Self.decomposed), ("a.\(Self.composed)", "a.\(Self.decomposed)")] {
      for rest in [[], ["b"]] {
        let error = try #require(throws: EmbedFuseError.self) {
          _ = try NameMapping(base: [base] + rest, input: [input], path: "x")
        }
        #expect(error.problem.contains("differ only in how their characters are composed"))
        #expect(error.remedy == "give the tensor the same name in both models, byte for byte")
      }
    }
    let mapping = try NameMapping(
      base: ["module.a", "module.\(Self.composed)"], input: ["a", Self.decomposed], path: "x")
    #expect(mapping.inputNames == ["module.a": "a"])
  }

  // MARK: Files

  @Test func companionFiles() throws {
    let folder = try TemporaryFolder()
    let model = try ModelSourceTests.copy(folder)
    try ModelSourceTests.write("1", to: model + "/caf\(Self.composed).txt")
    #expect(try ModelSource.open(model).companions.contains { $0.relativePath == "café.txt" })
    try ModelSourceTests.write("2", to: model + "/caf\(Self.decomposed).txt")
    try expectRefusal(of: model, names: ["cafe\\u{301}.txt", "caf\\u{e9}.txt"])
  }

  @Test func aSlashBeforeAnAccentSeparates() {
    #expect(FilePath.folder(of: "a/\u{301}b") == "a")
    #expect(FilePath.name(of: "a/\u{301}b") == "\u{301}b")
  }

  // MARK: Vocabularies

  private static func tokenizer(_ vocabulary: String, merges: String = "[]", added: String = "[]") -> String {
    #"{"added_tokens":\#(added),"model":{"vocab":\#(vocabulary),"merges":\#(merges)}}"#
  }

  /// Pairs of a tokenizer's files that differ.
  static let vocabularies: [(file: String, ours: String, theirs: String, message: String)] = [
    (
      "tokenizer.json", tokenizer(#"{"a":0,"\u00e9":1,"e\u0301":2}"#),
      tokenizer(#"{"a":0,"e\u0301":1,"\u00e9":2}"#), "2 tokens differ"
    ),
    ("tokenizer.json", tokenizer(#"{"\u00e9":0}"#), tokenizer(#"{"e\u0301":0}"#), "2 tokens differ"),
    (
      "tokenizer.json", tokenizer(#"[["\u00e9",0],["e\u0301",0]]"#),
      tokenizer(#"[["e\u0301",0],["\u00e9",0]]"#), "2 tokens differ"
    ),
    (
      "tokenizer.json", tokenizer(#"{"a":0}"#, added: #"[{"id":1,"content":"\u00e9"}]"#),
      tokenizer(#"{"a":0}"#, added: #"[{"id":1,"content":"e\u0301"}]"#), "2 tokens differ"
    ),
    (
      "tokenizer.json", tokenizer(#"{"a":0}"#, merges: #"["a \u00e9"]"#),
      tokenizer(#"{"a":0}"#, merges: #"["a e\u0301"]"#), "the list of merges"
    ),
    (
      "tokenizer.json", tokenizer(#"{"a":0}"#, merges: #"[["a","\u00e9"]]"#),
      tokenizer(#"{"a":0}"#, merges: #"[["a","e\u0301"]]"#), "the list of merges"
    ),
    ("vocab.txt", "a\n\(composed)\n\(decomposed)\n", "a\n\(decomposed)\n\(composed)\n", "2 tokens differ"),
    ("vocab.txt", "\(composed)\n", "\(decomposed)\n", "2 tokens differ"),
  ]

  @Test(arguments: vocabularies.indices) func vocabulariesAreComparedByBytes(_ index: Int) throws {
    let (file, ours, theirs, message) = Self.vocabularies[index]
    let folder = try TemporaryFolder()
    var models: [ModelSource] = []
    // The third has the first's vocabulary, in a file of other bytes.
    let other = file == "vocab.txt" ? ours.replacingOccurrences(of: "\n", with: "\r\n") : ours + "\n"
    for (name, text) in [("ours", ours), ("theirs", theirs), ("same", other)] {
      let model = try ModelSourceTests.copy(folder, name)
      for file in ["vocab.txt", "tokenizer.json"] {
        try? FileManager.default.removeItem(atPath: model + "/" + file)
      }
      try ModelSourceTests.write(text, to: model + "/" + file)
      models.append(try ModelSource.open(model))
    }
    let compatibility = Compatibility(with: models[0])
    let findings = try compatibility.findings(of: models[1]).filter(\.isIncompatible)
    #expect(findings.count == 1 && findings[0].message.contains(message), "\(findings)")
    #expect(try compatibility.findings(of: models[2]).filter(\.isIncompatible).isEmpty)
  }

  @Test func bothSpellingsOfATokenHaveTheirNumbers() throws {
    let folder = try TemporaryFolder()
    let model = try ModelSourceTests.copy(folder)
    let text = Self.tokenizer(#"{"a":0,"\u00e9":1,"e\u0301":2}"#)
    try ModelSourceTests.write(text, to: model + "/tokenizer.json")
    let tokens = try #require(try ModelSource.open(model).tokens())
    #expect(tokens.count == 3)
    #expect(Array((tokens[1] ?? "").utf8) == Array(Self.composed.utf8))
    #expect(Array((tokens[2] ?? "").utf8) == Array(Self.decomposed.utf8))
    let list = try #require(WordPieceList.bytes(fromTokenizer: Array(text.utf8)))
    #expect(list == Array("a\n\(Self.composed)\n\(Self.decomposed)\n".utf8))
  }
}
