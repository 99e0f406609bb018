import EmbedFuse
import Foundation
import TestSupport
import Testing

/// What `verify` says of an output in which something is otherwise, and which files it looks for.
@Suite struct VerifyCommandTests {
  private static func fused(_ work: Workspace, _ output: String = "fused") throws {
    #expect(try Command.run(LockedMergeTests.merge + ["-o", output], in: work.folder.path).code == 0)
  }

  private static func add(_ name: String, to work: Workspace) throws {
    let path = URL(fileURLWithPath: work.folder("fused/\(name)"))
    try FileManager.default.createDirectory(
      at: path.deletingLastPathComponent(), withIntermediateDirectories: true)
    try Data("{}".utf8).write(to: path)
  }

  /// Loaders take some of these for the model's: an adapter, other weights, tokens, code.
  @Test(arguments: [
    "added_tokens.json", "1_Dense/config.json", "modeling.py", "spiece.model", "trainer_state.json", "notes",
  ])
  func aFileThatWasAddedIsNamed(name: String) throws {
    let work = try Workspace()
    try Self.fused(work)
    try Self.add(name, to: work)
    let verify = try work.run("verify", "fused")
    #expect(verify.code == 65)
    #expect(verify.error.contains("fused: is not what its manifest says:\n  file \(name) was added\n"))
    // It may be somebody's notes: an output isn't replaced for them.
    let merge = try Command.run(
      LockedMergeTests.merge + ["-o", "fused", "--if-changed", "--force"], in: work.folder.path)
    #expect(merge.code == 0 && merge.error.contains("nothing changed"), "\(merge.error)")
    #expect(FileManager.default.fileExists(atPath: work.folder("fused/\(name)")))
  }

  @Test(arguments: [
    "adapter_config.json", "adapter_model.safetensors", "pytorch_model.bin", "model2.safetensors",
    "model.safetensors.index.json", "onnx/model.onnx",
  ])
  func anOutputToWhichWeightsWereAddedIsMadeAgain(name: String) throws {
    let work = try Workspace()
    try Self.fused(work)
    try Self.add(name, to: work)
    #expect(try work.run("verify", "fused").code == 65)
    let merge = try Command.run(
      LockedMergeTests.merge + ["-o", "fused", "--if-changed", "--force"], in: work.folder.path)
    #expect(merge.code == 0 && merge.error.contains("is made, since the output is damaged"), "\(merge.error)")
    #expect(try work.run("verify", "fused").code == 0)
  }

  @Test func aFolderThatIsALinkIsNamed() throws {
    let work = try Workspace()
    try Self.fused(work)
    try FileManager.default.createSymbolicLink(
      atPath: work.folder("fused/1_Dense"), withDestinationPath: "../base")
    let verify = try work.run("verify", "fused")
    #expect(verify.code == 65 && verify.error.contains("file 1_Dense/ was added"), "\(verify.error)")
  }

  @Test func hiddenFilesDontCount() throws {
    let work = try Workspace()
    try Self.fused(work)
    for name in [".git/config", ".cache/huggingface/x.json", ".gitattributes"] {
      try Self.add(name, to: work)
    }
    let verify = try work.run("verify", "fused")
    #expect(verify.code == 0, "\(verify.error)")
  }

  @Test func failuresAreToldToProgramsToo() throws {
    let work = try Workspace()
    try Self.fused(work)
    #expect(try JSON.parse(try work.run("verify", "fused", "--json").output)["ok"] == true)
    try LockedMergeTests.change(work, tensor: "pooler.dense.bias", of: "fused")
    try FileManager.default.removeItem(atPath: work.folder("fused/tokenizer.json"))
    try Self.add("pytorch_model.bin", to: work)
    let verify = try work.run("verify", "fused", "--json")
    #expect(verify.code == 65 && verify.error.contains("tensor pooler.dense.bias has other content"))
    let json = try JSON.parse(verify.output)
    #expect(json["ok"] == false)
    let problems = try #require(json["problems"]?.arrayValue)
    func found(_ path: String, _ tensor: JSON, _ problem: String) -> Bool {
      problems.contains {
        $0["path"] == .string(path) && $0["tensor"] == tensor && $0["problem"] == .string(problem)
          && $0["remedy"]?.stringValue?.contains("fuse again") == true
      }
    }
    #expect(found("fused", "pooler.dense.bias", "has other content"), "\(verify.output)")
    #expect(found("fused/tokenizer.json", .null, "is missing"), "\(verify.output)")
    #expect(found("fused/pytorch_model.bin", .null, "was added"), "\(verify.output)")
  }

  @Test func whatCantBeCheckedIsToldToProgramsToo() throws {
    let work = try Workspace()
    let nothing = try work.run("verify", "base", "--json")
    #expect(nothing.code == 66)
    let problem = try JSON.parse(nothing.output)["problems"]?.arrayValue?.first
    #expect(problem?["path"] == "base", "\(nothing.output)")
    #expect(nothing.error.contains(try #require(problem?["problem"]?.stringValue)))
    try Self.fused(work)
    try LockedMergeTests.change(work, tensor: "pooler.dense.bias", of: "similarity")
    let rerun = try work.run("verify", "fused", "--rerun", "--json")
    #expect(rerun.code == 65)
    let json = try JSON.parse(rerun.output)
    #expect(json["ok"] == false)
    #expect(
      json["problems"]?.arrayValue?.first?["problem"]
        == "similarity: the tensor pooler.dense.bias has changed", "\(rerun.output)")
  }
}
