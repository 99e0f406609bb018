import Foundation
import TestSupport
import Testing

/// Names that differ only in how their characters are composed, as commands meet them: nothing is published that could not
/// be read again.
@Suite struct ComposedNameCommandTests {
  private static let composed = "\u{E9}"
  private static let decomposed = "e\u{301}"

  @Test(arguments: ["hdf5/composed_names.h5", "torch/composed_names.pt"])
  func checkpointsWithSuchTensorsAreRefusedBeforeAnyWork(sample: String) throws {
    let folder = try TemporaryFolder()
    let path = Fixtures.path("samples/\(sample)")
    for arguments in [
      ["merge", "--method", "soup", path, path, "-o", "out"], ["convert", path, "-o", "out.safetensors"],
      ["convert", path, "-o", "out.npz"], ["inspect", path], ["diff", path, path],
    ] {
      let outcome = try Command.run(arguments, in: folder.path)
      #expect(outcome.code == 65, "\(arguments)")
      #expect(
        outcome.error.contains(
          "two names differ only in how their characters are composed (Unicode normalization): 'e\\u{301}' and '\\u{e9}'\n"
        ), "\(outcome.error)")
      #expect(outcome.error.contains("  rename one of the two\n"), "\(outcome.error)")
      #expect(folder.names.isEmpty)
    }
  }

  @Test(arguments: ["out", "out.h5", "out.safetensors"])
  func modelsWithSuchFilesAreRefusedBeforeAnyWork(output: String) throws {
    let workspace = try Workspace()
    for (name, text) in [(Self.composed, "1"), (Self.decomposed, "2")] {
      try text.write(
        toFile: workspace.folder("base/caf\(name).txt"), atomically: true, encoding: .utf8)
    }
    let outcome = try workspace.run("merge", "--base", "base", "retrieval", "similarity", "-o", output)
    #expect(outcome.code == 65)
    #expect(outcome.error.contains("'cafe\\u{301}.txt' and 'caf\\u{e9}.txt'"), "\(outcome.error)")
    #expect(outcome.error.hasPrefix("embedfuse: error: base: two names differ only"), "\(outcome.error)")
    #expect(workspace.added.isEmpty)
  }

  /// Vocabularies of many languages hold both spellings of a token.
  @Test(arguments: ["out", "out.h5"]) func aVocabularyMayHoldBothSpellings(output: String) throws {
    let workspace = try Workspace()
    func tokenizer(_ first: String, _ second: String) -> String {
      #"{"model":{"type":"WordPiece","vocab":{"\#(first)":0,"\#(second)":1}}}"# + "\n"
    }
    let text = tokenizer(Self.decomposed, Self.composed)
    for model in ["base", "retrieval", "similarity"] {
      try? FileManager.default.removeItem(atPath: workspace.folder("\(model)/vocab.txt"))
      try text.write(
        toFile: workspace.folder("\(model)/tokenizer.json"), atomically: true, encoding: .utf8)
    }
    let merged = try workspace.run("merge", "--base", "base", "retrieval", "similarity", "-o", output)
    #expect(merged.code == 0, "\(merged.error)")
    #expect(try workspace.run("verify", output).code == 0)
    let converted = try workspace.run("convert", output, "-o", "copy")
    #expect(converted.code == 0, "\(converted.error)")
    let copy = FileManager.default.contents(atPath: workspace.folder("copy/tokenizer.json"))
    #expect(copy == Data(text.utf8))

    try tokenizer(Self.composed, Self.decomposed).write(
      toFile: workspace.folder("similarity/tokenizer.json"), atomically: true, encoding: .utf8)
    let refused = try workspace.run("merge", "--base", "base", "retrieval", "similarity", "-o", "other")
    #expect(refused.code == 65)
    #expect(refused.error.contains("the vocabulary (2 tokens differ)"), "\(refused.error)")
  }
}
