import Foundation
import TestSupport
import Testing

/// Inputs and settings that are refused, beside those of BadInputTests, which break one file of a family.
@Suite struct RefusalTests {
  @Test(arguments: [
    ("notes.txt", "is no kind of file that can be read", "name a model directory"),
    ("__0_0.distcp", "is a piece of a distributed checkpoint", "name its folder"),
  ])
  func aFileOfAKindThatIsNotRead(name: String, problem: String, remedy: String) throws {
    let work = try Workspace()
    try Data("some text".utf8).write(to: URL(fileURLWithPath: work.folder(name)))
    let outcome = try work.run("inspect", name)
    #expect(outcome.code == 66 && outcome.output.isEmpty)
    #expect(
      outcome.error.contains("\(name): \(problem)") && outcome.error.contains(remedy), "\(outcome.error)")
  }

  /// Byte-pair merges are compared by content: `["a b"]` and `[["a", "b"]]` are the same list.
  @Test(arguments: [(#"[["a", "b"], ["c", "d"]]"#, true), (#"[["c", "d"], ["a", "b"]]"#, false)])
  func mergesOfTheTokenizers(theirs: String, areTheSame: Bool) throws {
    let work = try Workspace()
    for (model, merges) in [("base", #"["a b", "c d"]"#), ("retrieval", theirs)] {
      let path = work.folder("\(model)/tokenizer.json")
      let text = try String(contentsOfFile: path, encoding: .utf8)
      let changed = text.replacingOccurrences(of: "\"model\": {", with: "\"model\": {\"merges\": \(merges),")
      #expect(changed != text)
      try changed.write(toFile: path, atomically: true, encoding: .utf8)
    }
    let outcome = try work.run("merge", "--base", "base", "retrieval", "-o", "fused", "--no-sync")
    #expect(outcome.code == (areTheSame ? 0 : 65), "\(outcome.error)")
    #expect(outcome.error.contains("retrieval: the list of merges") != areTheSame, "\(outcome.error)")
    #expect(work.added == (areTheSame ? ["fused"] : []))
  }

  @Test(arguments: [
    (["--weights=1,-1"], "sum to 0, so their mean is undefined"),
    (["--base", "base", "--set", "normalize=false", "--lambda", "auto"], "lambda scales a mean"),
  ])
  func aMeanThatIsUndefined(settings: [String], problem: String) throws {
    let work = try Workspace()
    let outcome = try Command.run(
      ["merge", "--method", "soup", "retrieval", "similarity", "-o", "fused"] + settings,
      in: work.folder.path)
    #expect(outcome.code == 64 && outcome.error.contains(problem), "\(outcome.error)")
    #expect(work.added.isEmpty)
  }
}
