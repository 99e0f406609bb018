import Foundation
import TestSupport
import Testing

/// `merge --part`, `finalize` and `merge --resume` as schedulers run them.
@Suite struct PartCommandTests {
  static let merge = [
    "merge", "--base", "base", "retrieval", "similarity", "--max-shard-size", "5K", "--no-sync",
  ]

  private func files(_ folder: String) -> [String: Data] {
    (FileManager.default.subpaths(atPath: folder) ?? []).reduce(into: [:]) {
      $0[$1] = FileManager.default.contents(atPath: folder + "/" + $1)
    }
  }

  @Test func theTasksOfAnArrayAndFinalizeMakeWhatOneRunMakes() throws {
    let workspace = try Workspace()
    let folder = workspace.folder
    #expect(try Command.run(Self.merge + ["-o", "one", "-q"], in: folder.path).code == 0)
    for (variable, value) in [("SLURM_ARRAY_TASK_ID", "3"), ("JOB_COMPLETION_INDEX", "0")] {
      let run = try Command.outcome(
        of: try Command.start(
          Self.merge + ["-o", "out", "--part", "\(variable)/3"], in: folder.path,
          environment: [variable: value]))
      #expect(
        run.code == 0 && run.error.hasPrefix("part \(value == "3" ? 3 : 1)/3: 2 of 6 files"), "\(run.error)")
    }
    let early = try Command.run("finalize", "out", in: folder.path)
    #expect(early.code == 66 && early.error.contains("1 of 3 parts is missing: 2/3"), "\(early.error)")
    #expect(try Command.run(Self.merge + ["-o", "out", "--part", "2/3", "-q"], in: folder.path).code == 0)
    let again = try Command.run(Self.merge + ["-o", "out", "--part", "2/3", "--json"], in: folder.path)
    let json = try JSONSerialization.jsonObject(with: Data(again.output.utf8)) as? [String: Any]
    #expect(json?["was_there"] as? Bool == true && json?["part"] as? Int == 2 && json?["of"] as? Int == 3)
    let last = try Command.run("finalize", "out/", "--json", in: folder.path)
    #expect(last.code == 0 && last.error.isEmpty, "\(last.error)")
    #expect(files(folder("out")) == files(folder("one")) && !files(folder("out")).isEmpty)
    #expect(workspace.added == ["one", "out"] && workspace.inputsAreUntouched)
  }

  @Test func finalizeFromAnotherFolderIsToldWhere() throws {
    let workspace = try Workspace()
    let folder = workspace.folder
    #expect(try Command.run(Self.merge + ["-o", "out", "--part", "1/1", "-q"], in: folder.path).code == 0)
    let elsewhere = try TemporaryFolder()
    let run = try Command.run("finalize", folder("out"), in: elsewhere.path)
    #expect(run.code == 66 && run.error.contains("the parts were made in"), "\(run.error)")
    #expect(try Command.run("finalize", folder("out"), in: folder.path).code == 0)
  }

  @Test(arguments: [
    (["-o", "out", "--part", "4/3"], "there is no part 4 of 3"),
    (["-o", "out", "--part", "three"], "not of the form I/N"),
    (["-o", "out", "--part", "NO_SUCH_VARIABLE/3"], "NO_SUCH_VARIABLE is not set"),
    (["-o", "out.h5", "--part", "1/3"], "can't be made in parts"),
    (["-o", "out.safetensors", "--resume"], "can't be continued"),
    (["-o", "out", "--part", "1/3", "--weights-report", "w.json"], "no weights report"),
    (["-o", "out", "--part", "1/3", "--if-changed"], "a part that is there and intact isn't made again"),
    (["-o", "out", "--part", "1/3", "--depfile", "out.d"], "give it to `embedfuse finalize`"),
  ])
  func whatCantBeDoneInPartsIsUsage(_ arguments: [String], _ problem: String) throws {
    let workspace = try Workspace()
    let run = try Command.run(Self.merge + arguments, in: workspace.folder.path)
    #expect(run.code == 64 && run.error.contains(problem), "\(run.error)")
    #expect(workspace.added.isEmpty)
  }

  /// Every task of an array holds what it reads and writes to the manifest, `finalize` all of it.
  @Test func partsAreLockedToAManifest() throws {
    let workspace = try Workspace()
    let folder = workspace.folder
    #expect(try Command.run(Self.merge + ["-o", "one", "-q"], in: folder.path).code == 0)
    let locked = ["merge", "--locked", "one", "--max-shard-size", "5K", "--no-sync", "-o", "out", "--part"]
    for part in ["1/2", "2/2", "2/2"] {
      let run = try Command.run(locked + [part], in: folder.path)
      #expect(run.code == 0, "\(run.error)")
    }
    let last = try workspace.run("finalize", "out", "--locked", "one/embedfuse.json", "--depfile", "out.d")
    #expect(last.code == 0, "\(last.error)")
    #expect(files(folder("out")) == files(folder("one")))
    let rule = try String(contentsOfFile: folder("out.d"), encoding: .utf8)
    #expect(rule.hasPrefix("out/embedfuse.json: \\\n"))
    for name in ["base/config.json", "retrieval/model.safetensors"] { #expect(rule.contains("\n  \(name)")) }
    #expect(!rule.contains("out.parts"))
  }

  @Test func lockedPartsRefuseWhatHasChanged() throws {
    let workspace = try Workspace()
    let folder = workspace.folder
    #expect(try Command.run(Self.merge + ["-o", "one", "-q"], in: folder.path).code == 0)
    try LockedMergeTests.change(workspace, tensor: "pooler.dense.bias", of: "similarity")
    var refusals: [Command.Outcome] = []
    for part in 1...3 {
      let run = try Command.run(
        ["merge", "--locked", "one", "--max-shard-size", "5K", "-o", "out", "--part", "\(part)/3"],
        in: folder.path)
      if run.code != 0 { refusals.append(run) }
    }
    // Only one part reads the tensor.
    #expect(refusals.map(\.code) == [65])
    #expect(refusals[0].error.contains("similarity: the tensor pooler.dense.bias has changed"))
    // Made without the manifest, the parts are refused when they are put together, and stay.
    for part in 1...3 {
      #expect(
        try Command.run(Self.merge + ["-o", "out", "--part", "\(part)/3", "-q"], in: folder.path).code == 0)
    }
    let last = try workspace.run("finalize", "out", "--locked", "one")
    #expect(last.code == 65)
    #expect(last.error.contains("similarity: the tensor pooler.dense.bias has changed"), "\(last.error)")
    #expect(workspace.added == ["one", "out.parts"])
    let recipe = try Command.run(
      Self.merge + ["--power", "2", "--locked", "one", "-o", "out", "--part", "1/3"], in: folder.path)
    #expect(recipe.code == 65 && recipe.error.contains("power: 2, but 1 in the manifest"), "\(recipe.error)")
  }

  @Test func aRecipeOfSeveralOutputsHasNoParts() throws {
    let workspace = try Workspace()
    let recipe = """
      base: base
      models: [retrieval, similarity]
      method: delta-guided
      outputs:
        - {path: a, method: soup}
        - {path: b, method: ties}
      """
    try Data(recipe.utf8).write(to: URL(fileURLWithPath: workspace.folder("recipe.yaml")))
    let run = try workspace.run("merge", "recipe.yaml", "--part", "1/2")
    #expect(run.code == 64 && run.error.contains("the recipe writes 2 outputs"), "\(run.error)")
  }
}

/// The examples in `docs/distributed`, run with the variables that schedulers set.
@Suite struct DistributedExampleTests {
  private static func example(_ name: String) -> String {
    Fixtures.root.deletingLastPathComponent().appendingPathComponent("docs/distributed/\(name)").path
  }

  /// A folder with inputs of the names that the recipe has.
  private static func folder() throws -> TemporaryFolder {
    let folder = try TemporaryFolder()
    for (name, model) in [
      ("base", "base"), ("ft1", "retrieval"), ("ft2", "similarity"), ("ft3", "retrieval"),
    ] {
      try FileManager.default.copyItem(atPath: Fixtures.path("family/\(model)"), toPath: folder(name))
    }
    try FileManager.default.copyItem(atPath: example("recipe.yaml"), toPath: folder("recipe.yaml"))
    #expect(
      try Command.run("merge", "recipe.yaml", "-o", "one", "-q", "--max-shard-size", "400MB", in: folder.path)
        .code == 0)
    return folder
  }

  private static func check(_ folder: TemporaryFolder) throws {
    let files = try ["one", "fused"].map { name in
      try FileManager.default.subpathsOfDirectory(atPath: folder(name)).sorted().map {
        ($0, FileManager.default.contents(atPath: folder("\(name)/\($0)")))
      }
    }
    #expect(files[0].map(\.0) == files[1].map(\.0) && files[0].map(\.1) == files[1].map(\.1))
  }

  @Test func theSlurmScriptMakesAllParts() throws {
    let folder = try Self.folder()
    let binaries = URL(fileURLWithPath: Command.path).deletingLastPathComponent().path
    for task in 1...4 {
      let process = Process()
      process.executableURL = URL(fileURLWithPath: "/bin/sh")
      process.arguments = [Self.example("slurm-array.sh")]
      process.currentDirectoryURL = URL(fileURLWithPath: folder.path)
      process.environment = ProcessInfo.processInfo.environment.merging([
        "SLURM_ARRAY_TASK_ID": "\(task)", "SLURM_CPUS_PER_TASK": "1", "PATH": "\(binaries):/usr/bin:/bin",
      ]) { $1 }
      process.standardError = Pipe()
      try process.run()
      process.waitUntilExit()
      #expect(process.terminationStatus == 0)
    }
    #expect(try Command.run("finalize", "fused", in: folder.path).code == 0)
    try Self.check(folder)
  }

  @Test func theCommandsOfTheKubernetesJobsMakeAllParts() throws {
    let folder = try Self.folder()
    for (file, indices) in [
      ("kubernetes-parts.yaml", ["0", "1", "2", "3"]), ("kubernetes-finalize.yaml", [""]),
    ] {
      let text = try String(contentsOfFile: Self.example(file), encoding: .utf8)
      let line = try #require(text.split(separator: "\n").first { $0.contains("command: [") })
      let list = line.drop { $0 != "[" }.dropFirst().dropLast()
      let words = list.split(separator: ",").map { $0.trimmingCharacters(in: .whitespaces) }
      #expect(words[0] == "embedfuse")
      for index in indices {
        let run = try Command.outcome(
          of: try Command.start(
            Array(words.dropFirst()), in: folder.path, environment: ["JOB_COMPLETION_INDEX": index]))
        #expect(run.code == 0, "\(run.error)")
      }
    }
    try Self.check(folder)
  }
}

/// Runs that are killed while they write shards.
@Suite struct KilledRunTests {
  /// A family of 24 tensors of 1 MB, slow enough to be killed between two of its 12 shards.
  private static func family() throws -> TemporaryFolder {
    let folder = try TemporaryFolder()
    for (model, fill) in [("base", UInt8(1)), ("a", 2), ("b", 3)] {
      try SafetensorsBuilder.write(
        (0..<24).map {
          ("w\($0).weight", .f32, [1024, 256], [UInt8](repeating: fill + UInt8($0), count: 1 << 20))
        }, to: folder(model + ".safetensors"))
    }
    return folder
  }

  private static let merge = [
    "merge", "--base", "base.safetensors", "a.safetensors", "b.safetensors", "--max-shard-size", "2M",
    "--no-sync",
    "--threads", "1", "-o", "out",
  ]

  private static func records(_ folder: TemporaryFolder) -> Int {
    guard let staging = folder.names.first(where: { $0.hasSuffix(".tmp") }) else { return 0 }
    let records = folder("\(staging)/finished")
    let names = try? FileManager.default.contentsOfDirectory(atPath: records)
    // One that was being written when the run died is empty.
    return names?.count {
      $0.hasPrefix("shard-") && FileManager.default.contents(atPath: "\(records)/\($0)")?.isEmpty == false
    } ?? 0
  }

  /// Starts a merge and sends it a signal when it has finished some shards; returns how many there were.
  private static func interrupt(_ folder: TemporaryFolder, by signal: Int32, _ more: [String]) throws -> Int {
    let run = try Command.start(merge + more, in: folder.path)
    while records(folder) < 3, run.process.isRunning { usleep(500) }
    kill(run.process.processIdentifier, signal)
    let outcome = try Command.outcome(of: run)
    #expect(outcome.code != 0 && !folder.names.contains("out"), "\(outcome.error)")
    return records(folder)
  }

  private static func checkContinued(_ folder: TemporaryFolder, finished: Int) throws {
    #expect(finished >= 3)
    let rest = try Command.run(merge + ["--resume"], in: folder.path)
    #expect(rest.code == 0 && rest.error.contains("continued: \(finished) of 12 shards"), "\(rest.error)")
    #expect(folder.names == ["a.safetensors", "b.safetensors", "base.safetensors", "out"])
    let verified = try Command.run("verify", "out", "--rerun", in: folder.path)
    #expect(verified.code == 0, "\(verified.error)")
  }

  @Test func killedWithoutWarningAndContinued() throws {
    let folder = try Self.family()
    try Self.checkContinued(folder, finished: try Self.interrupt(folder, by: SIGKILL, []))
  }

  @Test func terminatedUnderResumeAndContinued() throws {
    let folder = try Self.family()
    try Self.checkContinued(folder, finished: try Self.interrupt(folder, by: SIGTERM, ["--resume"]))
  }

  @Test func terminatedWithoutResumeLeavesNothing() throws {
    let folder = try Self.family()
    #expect(try Self.interrupt(folder, by: SIGTERM, []) == 0)
    #expect(folder.names == ["a.safetensors", "b.safetensors", "base.safetensors"])
  }
}
