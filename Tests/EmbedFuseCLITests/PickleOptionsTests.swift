import EmbedFuse
import Foundation
import TestSupport
import Testing

/// `--key` and `--strict-pickle` wherever checkpoints are read: on the command line and in recipes.
@Suite struct PickleOptionsTests {
  private let work: Workspace

  /// `two_state_dicts.pt` holds `model` (w = 1, 1) and `ema` (w = 0, 0).
  init() throws {
    work = try Workspace()
    for name in ["two_state_dicts.pt", "namespace.pt"] {
      try FileManager.default.copyItem(
        atPath: Fixtures.path("samples/torch/\(name)"), toPath: work.folder(name))
    }
  }

  private func recipe(_ lines: String) throws {
    try Data(lines.utf8).write(to: URL(fileURLWithPath: work.folder("r.yaml")))
  }

  private func values(_ name: String) throws -> [UInt8]? {
    try TensorValues(work.folder(name)).tensors["w"]?.bytes
  }

  @Test(arguments: ["inspect", "convert", "plan", "merge"])
  func severalStateDictsAreNamed(command: String) throws {
    let inputs =
      ["plan", "merge"].contains(command)
      ? ["--base", "two_state_dicts.pt", "two_state_dicts.pt"] : ["two_state_dicts.pt"]
    let output = ["convert", "merge"].contains(command) ? ["-o", "out.safetensors"] : []
    let refused = try Command.run([command] + inputs + output, in: work.folder.path)
    #expect(refused.code == 65)
    #expect(refused.error.contains("choose one with --key model"))
    let chosen = try Command.run([command] + inputs + output + ["--key", "ema"], in: work.folder.path)
    #expect(chosen.code == 0, "\(chosen.error)")
  }

  @Test func theKeyChoosesAndIsKept() throws {
    for key in ["model", "ema"] {
      let merge = try work.run(
        "merge", "--base", "two_state_dicts.pt", "two_state_dicts.pt", "--key", key, "-o",
        "\(key).safetensors")
      #expect(merge.code == 0, "\(merge.error)")
      let verify = try work.run("verify", "\(key).safetensors", "--rerun")
      #expect(verify.code == 0, "\(verify.error)")
    }
    #expect(try values("model.safetensors") == [0, 0, 128, 63, 0, 0, 128, 63])
    #expect(try values("ema.safetensors") == [UInt8](repeating: 0, count: 8))
  }

  @Test func aRecipeNamesTheKey() throws {
    try recipe("base: two_state_dicts.pt\nmodels: [two_state_dicts.pt]\nmethod: soup\nkey: ema\n")
    #expect(try work.run("plan", "r.yaml").code == 0)
    #expect(try work.run("merge", "r.yaml", "-o", "ema.safetensors").code == 0)
    #expect(try values("ema.safetensors") == [UInt8](repeating: 0, count: 8))
    // What the command says goes first.
    #expect(try work.run("merge", "r.yaml", "-o", "model.safetensors", "--key", "model").code == 0)
    #expect(try values("model.safetensors") == [0, 0, 128, 63, 0, 0, 128, 63])
  }

  @Test func theKeyHoldsForSteps() throws {
    try recipe(
      """
      name: step
      method: soup
      models: [two_state_dicts.pt]
      ---
      method: soup
      models: [step, two_state_dicts.pt]
      key: ema
      """)
    let merge = try work.run("merge", "r.yaml", "-o", "ema.safetensors")
    #expect(merge.code == 0, "\(merge.error)")
    #expect(try values("ema.safetensors") == [UInt8](repeating: 0, count: 8))
  }

  /// The file's `args` are an `argparse.Namespace`, which torch's weights-only loader refuses.
  @Test(arguments: ["inspect", "convert", "plan", "merge"])
  func strictRefusesWhatTorchRefuses(command: String) throws {
    let inputs =
      ["plan", "merge"].contains(command) ? ["--base", "namespace.pt", "namespace.pt"] : ["namespace.pt"]
    let output = ["convert", "merge"].contains(command) ? ["-o", "out.safetensors"] : []
    let strict = try Command.run([command] + inputs + output + ["--strict-pickle"], in: work.folder.path)
    #expect(strict.code == 65)
    #expect(strict.error.contains("the pickle names argparse.Namespace"))
    let tolerant = try Command.run([command] + inputs + output, in: work.folder.path)
    #expect(tolerant.code == 0, "\(tolerant.error)")
  }

  @Test func aRecipeIsStrict() throws {
    try recipe("models: [namespace.pt]\nmethod: soup\nstrict_pickle: true\n")
    let merge = try work.run("merge", "r.yaml", "-o", "out.safetensors")
    #expect(merge.code == 65 && merge.error.contains("the pickle names argparse.Namespace"))
    try recipe("models: [namespace.pt]\nmethod: soup\nstrict_pickle: maybe\n")
    let unclear = try work.run("plan", "r.yaml")
    #expect(unclear.code == 65 && unclear.error.contains("line 3: strict_pickle is 'maybe'"))
  }
}
