import EmbedFuse
import Foundation
import TestSupport
import Testing

/// Every way to go wrong ends in one message that names the place, the right exit code, no output and no leftovers.
@Suite struct BadInputTests {
  /// Runs a merge that must fail, and checks what every failure has in common.
  @discardableResult
  private func fails(
    _ work: Workspace, _ code: EmbedFuseError.Code, _ arguments: [String]? = nil, saying texts: String...
  ) throws -> String {
    let merge = arguments ?? ["merge", "--base", "base", "retrieval", "broken", "-o", "fused"]
    let namesBefore = work.added
    let outcome = try Command.run(merge, in: work.folder.path)
    #expect(outcome.code == code.rawValue, "\(outcome.error)")
    #expect(outcome.output.isEmpty)
    for text in texts { #expect(outcome.error.contains(text), "\(outcome.error)") }
    #expect(!outcome.error.contains("Fatal error") && !outcome.error.contains("backtrace"))
    #expect(work.added == namesBefore)
    #expect(work.inputsAreUntouched)
    return outcome.error
  }

  /// A copy of a family member with other weights.
  private func broken(_ edit: (inout [SafetensorsBuilder.Tensor]) throws -> Void) throws -> Workspace {
    let work = try Workspace()
    try FileManager.default.copyItem(atPath: work.folder("similarity"), toPath: work.folder("broken"))
    let values = try TensorValues(work.folder("similarity"))
    var tensors: [SafetensorsBuilder.Tensor] = values.names.map { name in
      let (info, bytes) = values.tensors[name]!
      return (name, info.elementType, info.shape.dimensions, bytes)
    }
    try edit(&tensors)
    try SafetensorsBuilder.write(tensors, to: work.folder("broken/model.safetensors"))
    return work
  }

  @Test func aTruncatedFile() throws {
    let work = try broken { _ in }
    let path = work.folder("broken/model.safetensors")
    let data = try Data(contentsOf: URL(fileURLWithPath: path))
    try data.dropLast(100).write(to: URL(fileURLWithPath: path))
    try fails(
      work, .badData, saying: "broken/model.safetensors", "100 are missing", "download or copy it again")
  }

  @Test func aHugeHeaderLength() throws {
    let work = try broken { _ in }
    let path = work.folder("broken/model.safetensors")
    var data = try Data(contentsOf: URL(fileURLWithPath: path))
    data[7] = 0x7F
    try data.write(to: URL(fileURLWithPath: path))
    try fails(work, .badData, saying: "broken/model.safetensors", "at most 100000000 is allowed")
  }

  @Test func aMissingTensor() throws {
    let work = try broken { $0.removeAll { $0.name == "pooler.dense.bias" } }
    try fails(
      work, .badData, saying: "broken lacks the tensor pooler.dense.bias (F32 [16])", "--missing base")
    let arguments = ["merge", "--base", "base", "retrieval", "broken", "--missing"]
    #expect(try Command.run(arguments + ["base", "-o", "kept"], in: work.folder.path).code == 0)
    let kept = try TensorValues(work.folder("kept")).tensors["pooler.dense.bias"]?.bytes
    let base = try TensorValues(work.folder("base")).tensors["pooler.dense.bias"]?.bytes
    #expect(kept == base)
    #expect(try Command.run(arguments + ["drop", "-o", "dropped"], in: work.folder.path).code == 0)
    #expect(try TensorValues(work.folder("dropped")).tensors["pooler.dense.bias"] == nil)
  }

  @Test func anotherShape() throws {
    let work = try broken { tensors in
      let place = tensors.firstIndex { $0.name == "pooler.dense.weight" }!
      tensors[place].shape = [8, 32]
    }
    try fails(work, .badData, saying: "pooler.dense.weight is F32 [8, 32], but F32 [16, 16] in base")
  }

  @Test func severalIncompatibilitiesTogether() throws {
    let work = try broken { tensors in
      tensors.removeAll { $0.name == "pooler.dense.bias" }
      let place = tensors.firstIndex { $0.name == "pooler.dense.weight" }!
      tensors[place].shape = [8, 32]
      tensors.append(("classifier.weight", .f32, [1], [0, 0, 0, 0]))
    }
    try fails(
      work, .badData, saying: "in 3 points", "lacks the tensor pooler.dense.bias",
      "pooler.dense.weight is F32 [8, 32]",
      "has the tensor classifier.weight")
  }

  /// Of hundreds of tensors the first are named, and what names them all.
  @Test func veryManyMissingTensors() throws {
    let extra = (0..<300).map {
      ("extra.\($0).weight", ElementType.f32, [1] as [UInt], [0, 0, 0, 0] as [UInt8])
    }
    let work = try broken { $0 += extra }
    try fails(
      work, .badData, saying: "in 300 points", "has the tensor extra.0.weight",
      "broken: 280 more of these; all: embedfuse diff base broken --json")
    let arguments = ["merge", "--base", "base", "broken", "--no-sync", "-o", "x"]
    #expect(try Command.run(arguments, in: work.folder.path).error.split(separator: "\n").count < 30)
    let kept = try Command.run(arguments + ["--missing", "base"], in: work.folder.path)
    #expect(kept.code == 0 && kept.error.split(separator: "\n").count < 30, "\(kept.error)")
    let all = try work.run("diff", "base", "broken", "--json").output
    #expect((0..<300).allSatisfy { all.contains("\"extra.\($0).weight\"") })
  }

  @Test func anotherVocabulary() throws {
    let work = try broken { _ in }
    let path = work.folder("broken/tokenizer.json")
    let text = try String(contentsOfFile: path, encoding: .utf8)
    try text.replacingOccurrences(of: "\"##l\": 39", with: "\"##z\": 39")
      .write(toFile: path, atomically: true, encoding: .utf8)
    try fails(
      work, .badData,
      saying:
        "broken: the vocabulary (2 tokens differ): the number of '##l' is none of 40, but 39 of 40 in base")
  }

  @Test func anotherPoolingMode() throws {
    let work = try broken { _ in }
    try #"{"embedding_dimension": 16, "pooling_mode": "cls"}"#
      .write(toFile: work.folder("broken/1_Pooling/config.json"), atomically: true, encoding: .utf8)
    try fails(work, .badData, saying: "pooling_mode", "\"cls\"", "\"mean\"")
  }

  @Test(arguments: [Float.nan, .infinity, -.infinity]) func aValueThatIsNotFinite(value: Float) throws {
    let work = try broken { tensors in
      let place = tensors.firstIndex { $0.name == "embeddings.word_embeddings.weight" }!
      for byte in 0..<4 {
        tensors[place].bytes[4 * 77 + byte] = UInt8(truncatingIfNeeded: value.bitPattern >> (8 * byte))
      }
    }
    try fails(
      work, .badData,
      saying: "broken/model.safetensors: tensor embeddings.word_embeddings.weight: element 77 is",
      value.isNaN ? "NaN" : "infinity", "--nonfinite base")
    let arguments = ["merge", "--base", "base", "retrieval", "broken", "--nonfinite"]
    #expect(try Command.run(arguments + ["base", "-o", "mended"], in: work.folder.path).code == 0)
    let mended = try TensorValues(work.folder("mended")).doubles("embeddings.word_embeddings.weight")
    #expect(!mended.contains { !$0.isFinite })
    #expect(try Command.run(arguments + ["allow", "-o", "allowed"], in: work.folder.path).code == 0)
    #expect(
      try !TensorValues(work.folder("allowed")).doubles("embeddings.word_embeddings.weight")[77].isFinite)
  }

  @Test func otherIntegers() throws {
    let work = try broken {
      $0.append(("embeddings.position_ids", .i64, [1, 16], Array(repeating: 1, count: 128)))
    }
    try fails(work, .badData, saying: "tensor embeddings.position_ids (I64) has other values than in base")
  }

  @Test func anInputThatIsNotThere() throws {
    try fails(
      try Workspace(), .missingInput, ["merge", "--base", "nowhere", "retrieval", "-o", "fused"],
      saying: "nowhere: there is no such file or directory")
  }

  @Test func severalInputsThatAreNotThere() throws {
    try fails(
      try Workspace(), .missingInput, ["merge", "--base", "nowhere", "neither", "-o", "fused"],
      saying: "2 inputs can't be read", "nowhere", "neither")
  }

  @Test func aDirectoryWithoutWeights() throws {
    let work = try broken { _ in }
    try FileManager.default.removeItem(atPath: work.folder("broken/model.safetensors"))
    try fails(work, .missingInput, saying: "broken", "holds no weights", "model.safetensors")
  }

  @Test func anExistingOutput() throws {
    let work = try Workspace()
    let arguments = ["merge", "--base", "base", "retrieval", "-o", "fused.h5"]
    #expect(try Command.run(arguments, in: work.folder.path).code == 0)
    let first = FileManager.default.contents(atPath: work.folder("fused.h5"))
    try fails(
      work, .cannotCreate, arguments + ["--power", "2"], saying: "fused.h5: the output exists already",
      "--force")
    #expect(FileManager.default.contents(atPath: work.folder("fused.h5")) == first)
    #expect(try Command.run(arguments + ["--method", "soup", "--force"], in: work.folder.path).code == 0)
    #expect(FileManager.default.contents(atPath: work.folder("fused.h5")) != first)
  }

  @Test func anExistingDirectoryIsReplacedOnlyIfItHoldsAModel() throws {
    let work = try Workspace()
    let arguments = ["merge", "--base", "base", "retrieval", "-o", "precious", "--force"]
    try FileManager.default.createDirectory(
      atPath: work.folder("precious/letters"), withIntermediateDirectories: true)
    try fails(work, .cannotCreate, arguments, saying: "precious: is a directory that holds no model")
    try FileManager.default.removeItem(atPath: work.folder("precious"))
    #expect(try Command.run(arguments, in: work.folder.path).code == 0)
    #expect(try Command.run(arguments, in: work.folder.path).code == 0)
    #expect(work.added == ["precious"])
  }

  @Test func anOutputThatIsAnInput() throws {
    try fails(
      try Workspace(), .cannotCreate, ["merge", "--base", "base", "retrieval", "-o", "base", "--force"],
      saying: "the output is one of the inputs")
  }

  /// It would replace the folder with all that it holds.
  @Test(arguments: ["models/base", "models/base/model.safetensors"])
  func anOutputThatHoldsAnInput(base: String) throws {
    let work = try Workspace()
    try FileManager.default.copyItem(atPath: work.folder("base"), toPath: work.folder("models"))
    try FileManager.default.copyItem(atPath: work.folder("base"), toPath: work.folder("models/base"))
    try fails(
      work, .cannotCreate, ["merge", "--method", "soup", base, base, "-o", "models", "--force"],
      saying: "the output is one of the inputs, or holds it", base)
    #expect(FileManager.default.fileExists(atPath: work.folder(base)))
  }

  @Test(arguments: [
    ("base/model.safetensors", "a file of an input"), ("fused", "the place of the output"),
    ("retrieval", "a file of an input"), ("no/where.json", "the folder no isn't there"),
  ])
  func aWeightsReportThatWouldReplaceSomething(report: String, message: String) throws {
    for force in [[], ["--force"]] {
      try fails(
        try Workspace(), .cannotCreate,
        ["merge", "--base", "base", "retrieval", "-o", "fused", "--weights-report", report] + force,
        saying: report, message)
    }
  }

  @Test func aWeightsReportIsReplacedOnlyWithForce() throws {
    let work = try Workspace()
    try Data("notes".utf8).write(to: URL(fileURLWithPath: work.folder("report.json")))
    let arguments = [
      "merge", "--base", "base", "retrieval", "-o", "fused", "--weights-report", "report.json",
    ]
    try fails(work, .cannotCreate, arguments, saying: "report.json: the output exists already")
    #expect(try Command.run(arguments + ["--force"], in: work.folder.path).code == 0)
    let report = try Data(contentsOf: URL(fileURLWithPath: work.folder("report.json")))
    #expect(try JSONSerialization.jsonObject(with: report) is [String: Any])
    #expect(work.added == ["fused", "report.json"])
  }

  @Test func aFolderThatIsNotThere() throws {
    try fails(
      try Workspace(), .cannotCreate, ["merge", "--base", "base", "retrieval", "-o", "no/where/fused"],
      saying: "the folder no/where isn't there", "mkdir -p no/where")
  }

  @Test(arguments: [
    (["merge", "retrieval", "similarity", "-o", "x"], "there is no base"),
    (
      ["merge", "--base", "base", "retrieval", "-o", "x", "--method", "average"],
      "there is no method 'average'"
    ),
    (
      ["merge", "--base", "base", "retrieval", "-o", "x", "--weights", "1,2"],
      "2 numbers, but there are 1 models"
    ),
    (["merge", "--base", "base", "retrieval", "-o", "x", "--weights", "-1"], "must be 0 or more"),
    (
      ["merge", "--base", "base", "retrieval", "-o", "x", "--set", "density=1"], "has no parameter 'density'"
    ),
    (["merge", "retrieval", "-o", "x", "--method", "soup", "--power", "2"], "soup has no parameter 'power'"),
    (["merge", "--base", "base", "retrieval", "-o", "x", "--lambda", "big"], "lambda"),
    (["merge", "--base", "base", "retrieval", "-o", "x", "--power", "nan"], "must be a finite number"),
    (
      ["merge", "--base", "base", "retrieval", "-o", "x", "--memory", "64K"],
      "65536 bytes of memory are too little for 2 inputs"
    ),
    (["merge", "--base", "base", "retrieval", "-o", "x", "--config-from", "other"], "none of the inputs"),
    (
      ["merge", "--base", "base", "retrieval", "-o", "x", "--compression-level", "3"], "for .h5 outputs only"
    ),
    (["merge", "--base", "base", "retrieval"], "output"),
  ]) func aWrongRequest(arguments: [String], message: String) throws {
    try fails(try Workspace(), .usage, arguments, saying: message)
  }

  @Test(arguments: ["fused", "fused.safetensors", "fused.h5"]) func aDiskWithoutRoom(output: String) throws {
    let work = try Workspace()
    let shell = Process()
    shell.executableURL = URL(fileURLWithPath: "/bin/bash")
    // A limit on the size of files stands for the full disk.
    shell.arguments = [
      "-c", "ulimit -f 4; exec \"$0\" merge --base base retrieval -o \(output) --no-sync",
      Command.path,
    ]
    shell.currentDirectoryURL = URL(fileURLWithPath: work.folder.path)
    let (standardOutput, error) = (Pipe(), Pipe())
    shell.standardOutput = standardOutput
    shell.standardError = error
    try shell.run()
    let outcome = try Command.outcome(of: (shell, standardOutput, error))
    #expect(outcome.code == EmbedFuseError.Code.inputOutput.rawValue, "\(outcome.code) \(outcome.error)")
    #expect(outcome.error.contains("fused"))
    #expect(work.added.isEmpty)
    #expect(work.inputsAreUntouched)
  }

  @Test(arguments: [SIGKILL, SIGTERM, SIGINT], ["fused", "fused.safetensors", "fused.h5"])
  func aSignalLeavesAWholeOutputOrNone(signal: Int32, output: String) throws {
    let work = try Workspace()
    for delay in 0..<8 {
      let run = try Command.start(
        ["merge", "--base", "base", "retrieval", "similarity", "-o", output], in: work.folder.path)
      Thread.sleep(forTimeInterval: 0.015 * Double(delay))
      kill(run.process.processIdentifier, signal)
      let outcome = try Command.outcome(of: run)
      if work.added.contains(output) {
        // It was too late, and the output is there with all that belongs to it.
        #expect(try work.run("verify", output).code == 0)
        try FileManager.default.removeItem(atPath: work.folder(output))
      } else if signal != SIGKILL {
        // Before the handlers are in place a signal ends the process at once.
        #expect(
          outcome.code == 128 + signal || run.process.terminationReason == .uncaughtSignal, "\(outcome)")
        #expect(work.added.isEmpty)
      }
    }
    #expect(work.inputsAreUntouched)
    // The next run removes what killed ones have left.
    #expect(try work.run("merge", "--base", "base", "retrieval", "similarity", "-o", output).code == 0)
    #expect(work.added == [output])
  }

  @Test func aDamagedOutputIsFound() throws {
    let work = try Workspace()
    for output in ["fused.h5", "fused.safetensors", "fused"] {
      #expect(try work.run("merge", "--base", "base", "retrieval", "-o", output).code == 0)
      let path = work.folder(output == "fused" ? "fused/model.safetensors" : output)
      var data = try Data(contentsOf: URL(fileURLWithPath: path))
      let expected = try TensorValues(work.folder(output)).tensors["pooler.dense.weight"]!.bytes
      // A bit of a value that is stored as it is, or of the chunk in which it is compressed.
      let place = data.range(of: Data(expected.prefix(32)))?.lowerBound ?? data.count * 3 / 4
      data[place] ^= 1
      try data.write(to: URL(fileURLWithPath: path))
      let outcome = try work.run("verify", output)
      #expect(outcome.code == 65, "\(output)")
      #expect(outcome.error.contains(output))
    }
  }
}
