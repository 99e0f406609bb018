import EmbedFuse
import Foundation
import TestSupport
import Testing

/// Outputs that are stored as differences to another checkpoint, on the command line.
@Suite struct RelativeOutputTests {
  private let work: Workspace

  init() throws {
    work = try Workspace()
    let merge = try work.run(
      "merge", "--base", "base", "retrieval", "similarity", "-o", "delta.h5", "--relative-to", "base")
    #expect(merge.code == 0, "\(merge.error)")
  }

  @Test func holdsTheSameAndVerifies() throws {
    #expect(try work.run("merge", "--base", "base", "retrieval", "similarity", "-o", "full.h5").code == 0)
    let (full, delta) = (
      try TensorValues(work.folder("full.h5")), try TensorValues(work.folder("delta.h5"))
    )
    #expect(full.names == delta.names && full.names.count == 40)
    for name in full.names { #expect(full.tensors[name]?.bytes == delta.tensors[name]?.bytes, "\(name)") }
    let verify = try work.run("verify", "delta.h5", "--rerun")
    #expect(verify.code == 0, "\(verify.error)")
    #expect(verify.output.contains("stored as differences to base"))
    #expect(try JSON.parse(try work.run("verify", "delta.h5", "--json").output)["relative_to"] == "base")
    #expect(try JSON.parse(try work.run("verify", "full.h5", "--json").output)["relative_to"] == .null)
  }

  @Test func isAnInputLikeOthers() throws {
    #expect(try work.run("merge", "--base", "base", "retrieval", "similarity", "-o", "full.h5").code == 0)
    for name in ["full", "delta"] {
      let merge = try work.run("merge", "--base", "base", "\(name).h5", "-o", "\(name).safetensors")
      #expect(merge.code == 0, "\(merge.error)")
    }
    let (full, delta) = (
      try TensorValues(work.folder("full.safetensors")), try TensorValues(work.folder("delta.safetensors"))
    )
    for name in full.names { #expect(full.tensors[name]?.bytes == delta.tensors[name]?.bytes, "\(name)") }
  }

  @Test func inspectSaysWhatItIsEvenWithoutTheBase() throws {
    try FileManager.default.moveItem(atPath: work.folder("base"), toPath: work.folder("moved"))
    let text = try work.run("inspect", "delta.h5")
    #expect(text.code == 0, "\(text.error)")
    #expect(text.output.contains("tensors are stored as differences to base (digest "))
    #expect(text.output.contains("embeddings.word_embeddings.weight"))
    #expect(try JSON.parse(try work.run("inspect", "delta.h5", "--json").output)["relative_to"] == "base")
  }

  @Test func aMovedBaseIsNamed() throws {
    try FileManager.default.moveItem(atPath: work.folder("base"), toPath: work.folder("moved"))
    let missing = try work.run("verify", "delta.h5")
    #expect(missing.code == 66)
    #expect(missing.error.contains("delta.h5") && missing.error.contains("--delta-base"))
    #expect(try work.run("verify", "delta.h5", "--delta-base", "moved").code == 0)
    let merge = try work.run(
      "merge", "--base", "moved", "delta.h5", "-o", "out.h5", "--delta-base", "moved")
    #expect(merge.code == 0, "\(merge.error)")
  }

  /// A fine-tune has other values than its base, and not all of its tensors.
  @Test func anotherBaseIsRefused() throws {
    let verify = try work.run("verify", "delta.h5", "--delta-base", "similarity")
    #expect(verify.code == 65)
    #expect(verify.error.contains("similarity is not the base to which it was stored: the tensor has other"))
  }

  /// From another directory the base is found beside the file.
  @Test func theBaseIsFoundFromElsewhere() throws {
    let run = try Command.run("verify", work.folder("delta.h5"), in: "/")
    #expect(run.code == 0, "\(run.error)")
  }

  @Test func theBaseIsFoundFromWhereTheOutputWasMade() throws {
    try FileManager.default.createDirectory(
      atPath: work.folder("out"), withIntermediateDirectories: false)
    let arguments = ["merge", "--base", "base", "retrieval", "-o", "out/delta.h5", "--relative-to", "base"]
    #expect(try Command.run(arguments, in: work.folder.path).code == 0)
    #expect(try work.run("verify", "out/delta.h5").code == 0)
  }

  @Test(arguments: ["fused", "fused.safetensors"]) func onlyHDF5IsRelative(output: String) throws {
    let merge = try work.run("merge", "--base", "base", "retrieval", "-o", output, "--relative-to", "base")
    #expect(merge.code == 64)
    #expect(work.added == ["delta.h5"])
  }

  /// The outputs of a recipe may be stored relative to checkpoints of their own.
  @Test func aRecipeSaysWhatItsOutputsAreRelativeTo() throws {
    let text = """
      base: base
      models: [retrieval, similarity]
      method: delta-guided
      outputs:
        - {path: one.h5, relative_to: base}
        - {path: other.h5, relative_to: retrieval, method: soup}
        - {path: full.h5}
      """
    try Data(text.utf8).write(to: URL(fileURLWithPath: work.folder("r.yaml")))
    let merge = try work.run("merge", "r.yaml")
    #expect(merge.code == 0, "\(merge.error)")
    let bases = try ["one.h5", "other.h5", "full.h5"].map { name in
      try JSON.parse(try work.run("verify", name, "--rerun", "--json").output)["relative_to"]
    }
    #expect(bases == ["base", "retrieval", .null])
    let (one, delta) = (
      FileManager.default.contents(atPath: work.folder("one.h5")),
      FileManager.default.contents(atPath: work.folder("delta.h5"))
    )
    #expect(one != nil && one?.count == delta?.count)
  }

  @Test func aRecipeWithOneOutputSaysItToo() throws {
    let text = "base: base\nmodels: [retrieval]\nmethod: soup\nrelative_to: base\noutput: fused.h5\n"
    try Data(text.utf8).write(to: URL(fileURLWithPath: work.folder("r.yaml")))
    #expect(try work.run("merge", "r.yaml").code == 0)
    #expect(try JSON.parse(try work.run("verify", "fused.h5", "--json").output)["relative_to"] == "base")
    let directory = try work.run("merge", "r.yaml", "-o", "fused")
    #expect(directory.code == 64 && directory.error.contains("relative_to"))
    #expect(work.added == ["delta.h5", "fused.h5", "r.yaml"])
  }

  @Test func anotherElementTypeHasNothingInCommon() throws {
    let merge = try work.run(
      "merge", "--base", "base", "retrieval", "-o", "out.h5", "--relative-to", "base", "--dtype", "bf16")
    #expect(merge.code == 64)
    #expect(merge.error.contains("base has no tensor of the name, element type and shape"))
    #expect(work.added == ["delta.h5"])
  }

  @Test func differencesAreNotStoredRelativeToDifferences() throws {
    let merge = try work.run(
      "merge", "--base", "base", "retrieval", "-o", "out.h5", "--relative-to", "delta.h5")
    #expect(merge.code == 64)
    #expect(merge.error.contains("delta.h5: is itself stored relative to another checkpoint"))
    #expect(work.added == ["delta.h5"])
  }

  @Test func theCheckpointThatItIsRelativeToIsNotReplaced() throws {
    #expect(try work.run("merge", "--base", "base", "retrieval", "-o", "other.h5").code == 0)
    let before = FileManager.default.contents(atPath: work.folder("other.h5"))
    let merge = try work.run(
      "merge", "--base", "base", "similarity", "-o", "other.h5", "--relative-to", "other.h5", "--force")
    #expect(merge.code == 73)
    #expect(FileManager.default.contents(atPath: work.folder("other.h5")) == before)
  }
}
