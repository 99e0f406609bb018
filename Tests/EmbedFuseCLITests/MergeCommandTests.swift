import EmbedFuse
import Foundation
import TestSupport
import Testing

@Suite struct MergeCommandTests {
  @Test(arguments: ["fused", "fused.safetensors", "fused.h5"])
  func fusesVerifiesAndFusesAgain(output: String) throws {
    let work = try Workspace()
    let merge = try work.run("merge", "--base", "base", "retrieval", "similarity", "-o", output)
    #expect(merge.code == 0, "\(merge.error)")
    #expect(merge.output.isEmpty)
    #expect(merge.error.contains("39 tensors fused, 1 carried over"))
    #expect(work.added == [output])
    let verify = try work.run("verify", output, "--rerun")
    #expect(verify.code == 0, "\(verify.error)")
    #expect(verify.output.contains("fusing again from the inputs gives the same"))
    #expect(work.inputsAreUntouched)
  }

  @Test func theDirectoryIsTheBasesButForTheWeights() throws {
    let work = try Workspace()
    #expect(try work.run("merge", "--base", "base", "retrieval", "similarity", "-o", "fused/").code == 0)
    let files = try #require(FileManager.default.subpaths(atPath: work.folder("fused")))
    for file in try #require(FileManager.default.subpaths(atPath: work.folder("base"))) {
      #expect(files.contains(file))
      guard file != "model.safetensors" else { continue }
      #expect(
        FileManager.default.contents(atPath: work.folder("base/" + file))
          == FileManager.default.contents(atPath: work.folder("fused/" + file)), "\(file)")
    }
    #expect(
      Set(files).subtracting(FileManager.default.subpaths(atPath: work.folder("base"))!) == [
        "README.md", "embedfuse.json",
      ])
  }

  @Test func theManifestTellsNothingOfMachineOrTime() throws {
    let work = try Workspace()
    let absolute = work.folder("base")
    #expect(try work.run("merge", "--base", absolute, "retrieval", "similarity", "-o", "a").code == 0)
    #expect(try work.run("merge", "--base", absolute, "retrieval", "similarity", "-o", "b").code == 0)
    let first = try String(contentsOfFile: work.folder("a/embedfuse.json"), encoding: .utf8)
    let second = try String(contentsOfFile: work.folder("b/embedfuse.json"), encoding: .utf8)
    #expect(first == second)
    #expect(!first.contains(work.folder.path))
  }

  /// A sum takes weights as they are, and they are told as they are, however long they would be without a power of ten.
  @Test func aWeightOfAnySizeIsTold() throws {
    let work = try Workspace()
    let merge = try work.run(
      "merge", "--base", "base", "retrieval", "similarity", "--method", "task-arithmetic", "-o",
      "x.safetensors",
      "--weights", "1e160,1e-5")
    #expect(merge.code == 0, "\(merge.error)")
    #expect(merge.error.contains(/weight [0-9.]+e\+1(59|60)\n/) && merge.error.contains("weight 0.000"))
    #expect(merge.error.contains("warning: values too large for F32"))
  }

  @Test func everyInstructionSetWritesTheSameBytes() throws {
    let work = try Workspace()
    let outputs = try ["baseline", "v3", "v4"].map { name in
      let arguments = [
        "merge", "--base", "base", "retrieval", "similarity", "-o", "\(name).safetensors", "--power", "1.5",
      ]
      let run = try Command.start(arguments, in: work.folder.path, environment: ["EMBEDFUSE_KERNELS": name])
      #expect(try Command.outcome(of: run).code == 0)
      return FileManager.default.contents(atPath: work.folder("\(name).safetensors"))
    }
    #expect(outputs[0] != nil && outputs[1] == outputs[0] && outputs[2] == outputs[0])
  }

  @Test func announcesTheElementTypeInTheConfiguration() throws {
    let work = try Workspace()
    #expect(
      try work.run("merge", "--base", "base", "retrieval", "-o", "fused", "--dtype", "bfloat16").code == 0)
    let config = try String(contentsOfFile: work.folder("fused/config.json"), encoding: .utf8)
    #expect(try JSON.parse(config)["torch_dtype"] == "bfloat16")
    #expect(try TensorValues(work.folder("fused")).tensors["pooler.dense.bias"]?.info.elementType == .bf16)
  }

  @Test func takesConfigurationFromAnotherInput() throws {
    let work = try Workspace()
    let arguments = ["merge", "--base", "base", "retrieval", "-o", "fused", "--config-from", "retrieval"]
    #expect(try Command.run(arguments, in: work.folder.path).code == 0)
    #expect(
      FileManager.default.contents(atPath: work.folder("fused/tokenizer.json"))
        == FileManager.default.contents(atPath: work.folder("retrieval/tokenizer.json")))
  }

  @Test func reportsAsJSON() throws {
    let work = try Workspace()
    let outcome = try work.run(
      "merge", "--base", "base", "retrieval", "similarity", "-o", "out.h5", "--json", "--weights-report",
      "w.json")
    #expect(outcome.code == 0 && outcome.error.isEmpty)
    let json = try JSON.parse(outcome.output)
    #expect(json["fused_tensors"]?.intValue == 39)
    #expect(json["weight_shares"]?.arrayValue?.count == 2)
    let report = try JSON.parse(try String(contentsOfFile: work.folder("w.json"), encoding: .utf8))
    let tensors = try #require(report["tensors"]?.arrayValue)
    #expect(tensors.count == 39)
    #expect(
      tensors.allSatisfy { $0["magnitudes"]?.arrayValue?.count == 2 && $0["weights"]?.arrayValue?.count == 2 }
    )
  }

  @Test func saysWhenOneModelTakesAlmostAll() throws {
    let work = try Workspace()
    let outcome = try work.run(
      "merge", "--base", "base", "retrieval", "similarity", "-o", "out.h5", "--weights", "50,1",
      "--granularity", "model")
    #expect(outcome.error.contains("retrieval takes "))
    #expect(outcome.error.contains("--balance model"))
  }

  @Test func planShowsWhatWouldBeDone() throws {
    let work = try Workspace()
    let outcome = try work.run("plan", "--base", "base", "retrieval", "similarity", "--granularity", "layer")
    #expect(outcome.code == 0)
    #expect(outcome.output.contains("granularity: layer"))
    #expect(outcome.output.contains("encoder.layer.1"))
    let json = try JSON.parse(try work.run("plan", "--base", "base", "retrieval", "--json").output)
    #expect(json["tensors"]?.arrayValue?.count == 40)
    #expect(work.added.isEmpty)
  }

  @Test func inspectListsTensors() throws {
    let work = try Workspace()
    let outcome = try work.run("inspect", "base")
    #expect(outcome.output.contains("embeddings.word_embeddings.weight"))
    #expect(outcome.output.contains("module: Pooling in 1_Pooling"))
    #expect(
      try JSON.parse(try work.run("inspect", "base", "--json").output)["tensors"]?.arrayValue?.count == 40)
  }

  @Test func helpAndVersionEndWell() throws {
    #expect(try Command.run("--version").output == "\(embedFuseVersion)\n")
    #expect(try Command.run("--help").code == 0)
    #expect(try Command.run("merge", "--help").output.contains("--granularity"))
  }
}
