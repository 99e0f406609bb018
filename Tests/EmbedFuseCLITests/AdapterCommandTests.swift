import EmbedFuse
import Foundation
import TestSupport
import Testing

/// Adapters and training runs on the command line.
@Suite struct AdapterCommandTests {
  /// A folder with copies of the samples.
  static func workspace(_ names: [String]) throws -> TemporaryFolder {
    let folder = try TemporaryFolder()
    for name in names {
      try FileManager.default.copyItem(
        atPath: Fixtures.path("samples/\(name)"), toPath: folder(FilePath.name(of: name)))
    }
    return folder
  }

  @Test func adaptersAreFineTunes() throws {
    let folder = try Self.workspace(["peft/base", "peft/lora", "peft/dora"])
    let merge = try Command.run("merge", "--base", "base", "lora", "dora/", "-o", "fused", in: folder.path)
    #expect(merge.code == 0, "\(merge.error)")
    #expect(merge.error.contains("39 tensors fused") && merge.error.contains("of the weight"))
    #expect(try Command.run("verify", "fused", "--rerun", in: folder.path).code == 0)
    let error = try Command.run("merge", "--base", "lora", "dora", "-o", "wrong", in: folder.path)
    #expect(error.code == 64 && error.error.contains("can't be the base"), "\(error.error)")
    #expect(!folder.names.contains("wrong"))
  }

  @Test func inspectShowsAnAdaptersOwnTensors() throws {
    let folder = try Self.workspace(["peft/dora"])
    let inspect = try Command.run("inspect", "dora", in: folder.path)
    #expect(inspect.code == 0, "\(inspect.error)")
    #expect(
      inspect.output.contains("a LoRA adapter, to be named as a fine-tune of its base (peft/base): 4 weights")
    )
    #expect(inspect.output.contains("encoder.layer.1.attention.self.value.lora_magnitude_vector"))
  }

  @Test func runsGiveTheirCheckpoints() throws {
    let folder = try Self.workspace(["trainer/run"])
    let start = ["merge", "--base", "run", "run", "--method", "soup"]
    let merge = try Command.run(
      start + ["--select", "best:eval_loss:2", "--weights", "1,3", "-o", "fused"], in: folder.path)
    #expect(merge.code == 0, "\(merge.error)")
    #expect(
      merge.error.contains("run/checkpoint-8   25.0 %") && merge.error.contains("run/checkpoint-12  75.0 %"))
    #expect(merge.error.contains("the lowest eval_loss counts as best"))
    #expect(try Command.run("verify", "fused", "--rerun", in: folder.path).code == 0)
    let wrong = try Command.run(start + ["--select", "newest", "-o", "wrong"], in: folder.path)
    #expect(wrong.code == 64 && wrong.error.contains("use last:3"), "\(wrong.error)")
    let plan = try Command.run(
      "plan", "--base", "run", "run", "--select", "last:2", "--json", in: folder.path)
    #expect(plan.code == 0 && plan.output.contains("run/checkpoint-12"))
  }
}
