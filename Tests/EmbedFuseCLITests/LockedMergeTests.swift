import EmbedFuse
import Foundation
import TestSupport
import Testing

/// `merge --locked`, `--if-changed` and `--depfile`, and what `verify` finds of inputs.
@Suite struct LockedMergeTests {
  static let merge = ["merge", "--base", "base", "retrieval", "similarity"]

  private static func fuse(_ work: Workspace, _ arguments: String...) throws -> Command.Outcome {
    try Command.run(merge + arguments, in: work.folder.path)
  }

  static func change(_ work: Workspace, tensor: String, of model: String) throws {
    let path = work.folder("\(model)/model.safetensors")
    let values = try TensorValues(path)
    var tensors: [SafetensorsBuilder.Tensor] = values.names.map { name in
      let (info, bytes) = values.tensors[name]!
      return (name, info.elementType, info.shape.dimensions, bytes)
    }
    let place = try #require(tensors.firstIndex { $0.name == tensor })
    tensors[place].bytes[0] ^= 1
    try SafetensorsBuilder.write(tensors, to: path)
  }

  @Test func aLockedMergeGivesTheSameBytes() throws {
    let work = try Workspace()
    #expect(try Self.fuse(work, "-o", "fused", "--power", "1.5").code == 0)
    let again = try work.run("merge", "--locked", "fused/embedfuse.json", "-o", "again")
    #expect(again.code == 0, "\(again.error)")
    for file in ["model.safetensors", "embedfuse.json", "README.md", "tokenizer.json"] {
      #expect(
        FileManager.default.contents(atPath: work.folder("again/\(file)"))
          == FileManager.default.contents(atPath: work.folder("fused/\(file)")), "\(file)")
    }
    // The manifest may be inside an output, and the inputs elsewhere and in another format.
    #expect(try work.run("convert", "retrieval", "-o", "elsewhere.h5").code == 0)
    #expect(try Self.fuse(work, "-o", "fused.safetensors").code == 0)
    let elsewhere = try work.run(
      "merge", "--locked", "fused.safetensors", "--base", "./base", "elsewhere.h5", "similarity", "-o", "e.h5"
    )
    #expect(elsewhere.code == 0, "\(elsewhere.error)")
  }

  @Test func aLockedMergeRefusesAChangedTensorByName() throws {
    let work = try Workspace()
    #expect(try Self.fuse(work, "-o", "fused").code == 0)
    try Self.change(work, tensor: "pooler.dense.bias", of: "similarity")
    let refused = try work.run("merge", "--locked", "fused", "-o", "again.h5")
    #expect(refused.code == 65)
    #expect(refused.error.contains("similarity: the tensor pooler.dense.bias has changed"))
    #expect(refused.error.contains("bring back the inputs that it was made from"))
    #expect(!refused.error.contains("retrieval:"))
    #expect(work.added == ["fused"])
  }

  @Test func aLockedMergeRefusesAChangedFileOfTheBase() throws {
    let work = try Workspace()
    #expect(try Self.fuse(work, "-o", "fused").code == 0)
    try "x".write(toFile: work.folder("base/special_tokens.txt"), atomically: true, encoding: .utf8)
    let added = try work.run("merge", "--locked", "fused", "-o", "again")
    #expect(added.code == 65)
    #expect(added.error.contains("base: the file special_tokens.txt is new"))
    try FileManager.default.removeItem(atPath: work.folder("base/special_tokens.txt"))
    let path = work.folder("base/tokenizer_config.json")
    try (String(contentsOfFile: path, encoding: .utf8) + "\n")
      .write(toFile: path, atomically: true, encoding: .utf8)
    let changed = try work.run("merge", "--locked", "fused", "-o", "again")
    #expect(changed.error.contains("base: the file tokenizer_config.json has changed"))
    #expect(work.added == ["fused"])
  }

  @Test func aLockedMergeRefusesAnotherRecipe() throws {
    let work = try Workspace()
    #expect(try Self.fuse(work, "-o", "fused").code == 0)
    let power = try Self.fuse(work, "--locked", "fused", "--power", "2", "-o", "again")
    #expect(power.code == 65)
    #expect(power.error.contains("power: 2, but 1 in the manifest"))
    let fewer = try work.run("merge", "--locked", "fused", "--base", "base", "retrieval", "-o", "again")
    #expect(fewer.code == 64)
    #expect(fewer.error.contains("base, retrieval, similarity"))
    let method = try Self.fuse(work, "--locked", "fused", "--method", "soup", "-o", "again")
    #expect(method.error.contains("method: \"soup\", but \"delta-guided\" in the manifest"))
    let noInputs = try work.run("merge", "--locked", "fused", "--dtype", "bf16", "-o", "again")
    #expect(noInputs.code == 64)
    #expect(noInputs.error.contains("settings are given, but no inputs\n  name the inputs too"))
    #expect(work.added == ["fused"])
  }

  @Test func anOutputThatStaysAsItIsIsToldToPrograms() throws {
    let work = try Workspace()
    #expect(try Self.fuse(work, "-o", "fused").code == 0)
    let again = try Self.fuse(work, "-o", "fused", "--if-changed", "--force", "--json")
    #expect(again.code == 0)
    #expect(try JSON.parse(again.output) == ["output": "fused", "unchanged": true])
  }

  /// The steps' inputs are pinned too, and each output is held to a manifest of its own.
  @Test func stepsAndSeveralOutputsAreLocked() throws {
    let work = try Workspace()
    try """
    name: step
    method: soup
    models: [retrieval, similarity]
    ---
    method: delta-guided
    base: base
    models: [step, retrieval]
    outputs:
      - path: one.safetensors
      - path: two.h5
        method: task-arithmetic
    """.write(toFile: work.folder("recipe.yaml"), atomically: true, encoding: .utf8)
    #expect(try work.run("merge", "recipe.yaml").code == 0)
    for name in ["one.safetensors", "two.h5"] {
      let verify = try work.run("verify", name, "--rerun")
      #expect(verify.code == 0, "\(verify.error)")
      try FileManager.default.moveItem(atPath: work.folder(name), toPath: work.folder("old-" + name))
    }
    let one = try work.run("merge", "recipe.yaml", "--locked", "old-one.safetensors")
    #expect(one.code == 64)
    #expect(one.error.contains("there are 2 outputs, but 1 manifests"))
    let locked = ["merge", "recipe.yaml", "--locked", "old-one.safetensors", "--locked", "old-two.h5"]
    #expect(try Command.run(locked, in: work.folder.path).code == 0)
    try Self.change(work, tensor: "pooler.dense.bias", of: "similarity")
    let refused = try Command.run(locked + ["--force"], in: work.folder.path)
    #expect(refused.code == 65)
    #expect(refused.error.contains("similarity of the step step: the tensor pooler.dense.bias has changed"))
    let unchanged = try work.run("merge", "recipe.yaml", "--if-changed")
    #expect(unchanged.error.contains("similarity of the step step: the tensor pooler.dense.bias has changed"))
  }

  @Test(arguments: ["fused", "fused.safetensors", "fused.h5"])
  func nothingIsDoneIfNothingChanged(output: String) throws {
    let work = try Workspace()
    #expect(try Self.fuse(work, "-o", output, "--if-changed").code == 0)
    func time() throws -> Date? {
      try FileManager.default.attributesOfItem(atPath: work.folder(output))[.modificationDate] as? Date
    }
    let before = try time()
    // Other times, threads and memory are no change.
    for name in ["base", "retrieval"] {
      try FileManager.default.setAttributes(
        [.modificationDate: Date()], ofItemAtPath: work.folder("\(name)/model.safetensors"))
    }
    let again = try Self.fuse(work, "-o", output, "--if-changed", "--threads", "1", "--memory", "1G")
    #expect(again.code == 0)
    #expect(again.error == "\(output): nothing changed since it was made\n")
    #expect(try time() == before)
    // An input, a setting or the output itself is another: it is made.
    func remakes(_ reason: String, _ more: String...) throws {
      let outcome = try Command.run(
        Self.merge + ["-o", output, "--if-changed", "--force"] + more, in: work.folder.path)
      #expect(outcome.code == 0, "\(outcome.error)")
      #expect(outcome.error.contains("\(output): is made, since \(reason)"), "\(outcome.error)")
    }
    try remakes("power: 2, but 1 in the manifest", "--power", "2")
    try remakes("power: 1, but 2 in the manifest")
    try Self.change(work, tensor: "pooler.dense.bias", of: "retrieval")
    try remakes("retrieval: the tensor pooler.dense.bias has changed")
    let path = work.folder(output == "fused" ? "fused/model.safetensors" : output)
    var bytes = try Data(contentsOf: URL(fileURLWithPath: path))
    bytes[bytes.count / 2] ^= 4
    try bytes.write(to: URL(fileURLWithPath: path))
    try remakes("the output ")
    if output == "fused" {
      try remakes("it is to be written in another way", "--max-shard-size", "10KB")
      try FileManager.default.removeItem(atPath: work.folder("fused/tokenizer.json"))
      try remakes("the output is damaged", "--max-shard-size", "10KB")
    }
    #expect(try work.run("verify", output, "--rerun").code == 0)
  }

  /// make itself reads the file: every file that is named is there, and a removed one is no error.
  @Test func theDependencyFileIsForMake() throws {
    let work = try Workspace()
    let odd = "a b#c$d%e:f~g\\ h"
    try FileManager.default.moveItem(atPath: work.folder("similarity"), toPath: work.folder(odd))
    try "method: soup\nbase: base\nmodels: [retrieval, '\(odd)']\noutput: fused\n"
      .write(toFile: work.folder("my recipe.yaml"), atomically: true, encoding: .utf8)
    let merge = try work.run("merge", "my recipe.yaml", "--depfile", "fused.d", "--max-shard-size", "10KB")
    #expect(merge.code == 0, "\(merge.error)")
    let first = try String(contentsOfFile: work.folder("fused.d"), encoding: .utf8)
    #expect(first.hasPrefix("fused/embedfuse.json: \\\n"))
    for name in ["my\\ recipe.yaml", "base/config.json", "base/vocab.txt", "retrieval/model.safetensors"] {
      #expect(first.contains("\n  \(name)"), "\(name)")
      #expect(first.contains("\n\(name):\n"), "\(name)")
    }
    try "include fused.d\nfused/embedfuse.json:\n\t@echo remade\n"
      .write(toFile: work.folder("Makefile"), atomically: true, encoding: .utf8)
    func make() throws -> String {
      let process = Process()
      process.executableURL = URL(fileURLWithPath: "/usr/bin/env")
      process.arguments = ["make", "--no-print-directory"]
      process.currentDirectoryURL = URL(fileURLWithPath: work.folder.path)
      let output = Pipe()
      (process.standardOutput, process.standardError) = (output, output)
      try process.run()
      let text = output.fileHandleForReading.readDataToEndOfFile()
      process.waitUntilExit()
      return String(decoding: text, as: UTF8.self)
    }
    #expect(try make().contains("up to date"))
    let weights = work.folder(odd + "/model.safetensors")
    try FileManager.default.setAttributes(
      [.modificationDate: Date(timeIntervalSinceNow: 60)], ofItemAtPath: weights)
    #expect(try make().contains("remade\n"))
    // If nothing was done, the file is the same.
    let nothing = try work.run(
      "merge", "my recipe.yaml", "--if-changed", "--depfile", "fused.d", "--max-shard-size", "10KB")
    #expect(nothing.error == "fused: nothing changed since it was made\n")
    #expect(try String(contentsOfFile: work.folder("fused.d"), encoding: .utf8) == first)
    try FileManager.default.removeItem(atPath: weights)
    #expect(try make().contains("remade\n"))
  }

  /// A rule for an output that is held to a manifest is redone when that changes.
  @Test(arguments: ["fused", "fused.safetensors"])
  func theManifestIsADependency(pinned: String) throws {
    let work = try Workspace()
    #expect(try Self.fuse(work, "-o", pinned).code == 0)
    #expect(try work.run("merge", "--locked", pinned, "-o", "again", "--depfile", "again.d").code == 0)
    let rule = try String(contentsOfFile: work.folder("again.d"), encoding: .utf8)
    let file = pinned == "fused" ? "fused/embedfuse.json" : pinned
    #expect(rule.contains("\n  \(file)") && rule.contains("\n\(file):\n"), "\(rule)")
    // An output that is repeated in its place doesn't depend on itself.
    let itself = try work.run("merge", "--locked", pinned, "-o", pinned, "--force", "--depfile", "itself.d")
    #expect(itself.code == 0, "\(itself.error)")
    #expect(try !String(contentsOfFile: work.folder("itself.d"), encoding: .utf8).contains("\n  \(file)"))
  }

  @Test func verifyFindsInputsThatWereGivenByAbsolutePaths() throws {
    let work = try Workspace()
    let names = ["base", "retrieval", "similarity"]
    let paths = names.map { work.folder($0) }
    #expect(
      try Command.run(["merge", "--base", paths[0], paths[1], paths[2], "-o", "fused"], in: work.folder.path)
        .code == 0)
    // Beside the output, from elsewhere.
    let beside = try Command.run("verify", work.folder("fused"), "--rerun", in: "/")
    #expect(beside.code == 0, "\(beside.error)")
    // Moved: not found, until they are named.
    try FileManager.default.createDirectory(
      atPath: work.folder("moved"), withIntermediateDirectories: false)
    for name in names {
      try FileManager.default.moveItem(atPath: work.folder(name), toPath: work.folder("moved/\(name)"))
    }
    let missing = try work.run("verify", "fused", "--rerun")
    #expect(missing.code == 66)
    #expect(missing.error.contains("base, retrieval, similarity: not to be found here"))
    #expect(try work.run("verify", "fused", "--rerun", "moved/base").code == 64)
    let moved = names.map { "moved/\($0)" }
    #expect(try Command.run(["verify", "fused", "--rerun"] + moved, in: work.folder.path).code == 0)
    let swapped = try work.run("verify", "fused", "--rerun", moved[0], moved[2], moved[1])
    #expect(swapped.code == 65)
    #expect(swapped.error.contains("the inputs are those of the manifest, but in another order"))
    #expect(swapped.error.contains("name them in this order: moved/base moved/retrieval moved/similarity\n"))
    #expect(!swapped.error.contains("tensor"))
    let locked = try work.run(
      "merge", "--locked", "fused", "--base", moved[0], moved[2], moved[1], "-o", "again")
    #expect(locked.code == 65)
    #expect(
      locked.error.contains("name them in this order: moved/base moved/retrieval moved/similarity"),
      "\(locked.error)")
  }
}
