import Foundation
import TestSupport
import Testing

/// No run replaces what it reads, or one thing that it writes by another; that is found before any work.
@Suite struct ReplacedFileTests {
  let work: Workspace

  init() throws {
    work = try Workspace()
  }

  /// Every file below the folder with its bytes.
  private func files() -> [String: Data] {
    let names = FileManager.default.subpaths(atPath: work.folder.path) ?? []
    return names.reduce(into: [:]) { $0[$1] = FileManager.default.contents(atPath: work.folder($1)) }
  }

  private func write(_ text: String, to name: String) throws {
    try text.write(toFile: work.folder(name), atomically: true, encoding: .utf8)
  }

  private func succeeds(_ arguments: String...) throws {
    let outcome = try Command.run(arguments + ["--no-sync", "--quiet"], in: work.folder.path)
    #expect(outcome.code == 0, "\(arguments): \(outcome.error)")
  }

  /// A run that must be refused, and leave all as it was.
  private func isRefused(_ arguments: [String], _ problem: String) throws {
    let before = files()
    let outcome = try Command.run(arguments, in: work.folder.path)
    #expect(outcome.code == 73, "\(arguments): \(outcome.error)")
    #expect(outcome.error.contains(problem), "\(arguments): \(outcome.error)")
    // The line below the problem says what to do.
    #expect(outcome.error.contains("\n  "), "\(arguments): \(outcome.error)")
    #expect(files() == before, "\(arguments)")
  }

  private static let recipe = "method: soup\nmodels: [retrieval, similarity]\n"

  @Test(arguments: [
    ("base/model.safetensors", "would replace a file of an input (base/model.safetensors)"),
    ("hard", "would replace a file of an input (base/model.safetensors)"),
    ("folder/config.json", "would replace a file of an input (base/config.json)"),
    ("base/new.d", "would stand in the input base"),
    ("r.json", "in the place of the weights report (r.json)"),
    ("x", "in the place of the output (x)"), ("./x", "in the place of the output (x)"),
    ("x/new.d", "in the place of the output (x)"), ("x/embedfuse.json", "in the place of the output (x)"),
    ("notes.txt", "no file of dependencies"), ("Makefile", "no file of dependencies"),
    ("other/embedfuse.json", "no file of dependencies"),
  ])
  func aFileOfDependenciesTakesNoOthersPlace(file: String, problem: String) throws {
    try FileManager.default.linkItem(
      atPath: work.folder("base/model.safetensors"), toPath: work.folder("hard"))
    try FileManager.default.createSymbolicLink(
      atPath: work.folder("folder"), withDestinationPath: work.folder("base"))
    try write("buy milk\n", to: "notes.txt")
    try write("x: \\\n  base\n\techo\n\nbase:\n", to: "Makefile")
    let merge = ["merge", "--base", "base", "retrieval"]
    for output in ["x", "other"] { try succeeds("merge", "--base", "base", "retrieval", "-o", output) }
    try isRefused(merge + ["-o", "x", "--force", "--weights-report", "r.json", "--depfile", file], problem)
  }

  @Test func aFileOfDependenciesIsReplacedByAnother() throws {
    try write("", to: "x.d")
    for more in [["base", "retrieval"], ["base", "retrieval", "similarity"]] {
      let merge = ["merge", "--base"] + more + ["-o", "x", "--force", "--no-sync", "--depfile", "x.d"]
      #expect(try Command.run(merge, in: work.folder.path).code == 0)
      let text = try String(contentsOfFile: work.folder("x.d"), encoding: .utf8)
      #expect(text.contains("x/embedfuse.json:"))
      #expect(text.contains("similarity/model.safetensors") == more.contains("similarity"))
    }
  }

  @Test func finalizeWritesItsFileOfDependenciesNowhereElse() throws {
    try succeeds("merge", "--base", "base", "retrieval", "-o", "x", "--part", "1/1")
    try isRefused(["finalize", "x", "--depfile", "retrieval/model.safetensors"], "a file of an input")
    try isRefused(["finalize", "x", "--depfile", "x.parts/x.d"], "would stand in the input x.parts")
    try isRefused(["finalize", "x", "--depfile", "x"], "in the place of the output (x)")
    try succeeds("finalize", "x", "--depfile", "x.d")
  }

  /// Without it nothing can be read of what is stored as differences.
  @Test func theBaseOfADifferenceIsAnInput() throws {
    try succeeds("convert", "base", "-o", "b.h5")
    try succeeds("convert", "retrieval", "-o", "d.h5", "--relative-to", "b.h5")
    try FileManager.default.createDirectory(
      atPath: work.folder("moved"), withIntermediateDirectories: false)
    try FileManager.default.copyItem(atPath: work.folder("b.h5"), toPath: work.folder("moved/b.h5"))
    try write("method: soup\nmodels: [d.h5, similarity]\noutput: b.h5\n", to: "r.yaml")
    let merge = ["merge", "--base", "base", "d.h5"]
    for arguments in [
      ["convert", "d.h5", "-o", "b.h5"], merge + ["-o", "b.h5"], ["merge", "r.yaml"],
      ["merge", "r.yaml", "--if-changed"],
      ["merge", "--method", "soup", "d.h5", "--delta-base", "moved/b.h5", "-o", "moved/b.h5"],
      merge + ["-o", "x", "--weights-report", "b.h5"], ["diff", "base", "d.h5", "--html", "b.h5"],
      merge + ["-o", "x.h5", "--relative-to", "moved/b.h5", "--weights-report", "moved/b.h5"],
    ] {
      try isRefused(arguments + ["--force"], "input")
    }
    try succeeds("convert", "d.h5", "-o", "x.h5", "--force")
  }

  @Test(arguments: ["base/model.safetensors", "retrieval/tokenizer.json", "base/page.html", "base"])
  func aPageTakesNoInputsPlace(page: String) throws {
    try isRefused(["diff", "base", "retrieval", "--html", page, "--force"], page)
  }

  @Test func aRecipeIsNotReplacedByWhatItAsksFor() throws {
    try write(Self.recipe, to: "r.yaml")
    try succeeds("merge", "r.yaml", "-o", "x")
    try write(Self.recipe, to: "x/r.yaml")
    try isRefused(["merge", "x/r.yaml", "-o", "x", "--force"], "or holds it (x/r.yaml)")
    try isRefused(["merge", "x/r.yaml", "-o", "x", "--part", "1/2", "--force"], "or holds it (x/r.yaml)")
    try isRefused(["merge", "r.yaml", "-o", "y", "--weights-report", "r.yaml", "--force"], "r.yaml")
  }

  @Test func aManifestIsReplacedByItsOutputAlone() throws {
    try write(Self.recipe, to: "r.yaml")
    try succeeds("merge", "r.yaml", "-o", "x")
    try succeeds("merge", "r.yaml", "-o", "x.safetensors")
    for output in ["x", "x.safetensors"] {
      let before = files()
      try succeeds("merge", "--locked", output, "-o", output, "--force")
      try succeeds("merge", "--locked", output, "-o", output, "--if-changed")
      #expect(files() == before)
    }
    try succeeds("merge", "--locked", "x/embedfuse.json", "-o", "./x/", "--force")
    try FileManager.default.copyItem(
      atPath: work.folder("x/embedfuse.json"), toPath: work.folder("x/copy.json"))
    try isRefused(["merge", "--locked", "x/copy.json", "-o", "x", "--force"], "or holds it (x/copy.json)")
    for manifest in ["x", "x/copy.json"] {
      let file = manifest == "x" ? "x/embedfuse.json" : manifest
      try isRefused(
        ["merge", "--locked", manifest, "-o", "y", "--weights-report", file, "--force"],
        "would replace a file of an input (\(file))")
    }
  }

  @Test func outputsDontStandInEachOther() throws {
    try succeeds("merge", "--base", "base", "retrieval", "-o", "x")
    try write(Self.recipe + "outputs: [{path: x/in.h5}, {path: x, dtype: bf16}]\n", to: "r.yaml")
    try isRefused(["merge", "r.yaml", "--force"], "one output would stand in another (x/in.h5)")
  }

  @Test func theFolderOfAnAdapterIsAnInput() throws {
    for (name, copy) in [("base", "pretrained"), ("lora", "lora")] {
      try FileManager.default.copyItem(
        atPath: Fixtures.path("samples/peft/\(name)"), toPath: work.folder(copy))
    }
    for arguments in [["merge", "--base", "pretrained", "lora"], ["convert", "pretrained+lora"]] {
      try isRefused(arguments + ["-o", "lora/x.h5"], "would stand in the input lora")
    }
    try isRefused(["convert", "pretrained+lora", "-o", "lora", "--force"], "or holds it (lora)")
  }

  /// The run's own model may have been meant, but its checkpoints would have gone along.
  @Test func aTrainingRunWithItsCheckpointsIsNotReplaced() throws {
    try FileManager.default.copyItem(atPath: work.folder("similarity"), toPath: work.folder("run"))
    try FileManager.default.copyItem(
      atPath: work.folder("similarity"), toPath: work.folder("run/checkpoint-100"))
    let merge = ["merge", "--base", "base", "retrieval", "-o", "run", "--force"]
    try isRefused(merge, "run: is a directory that holds other models (checkpoint-100)")
    // A training may have gone on where an output stands.
    try FileManager.default.removeItem(atPath: work.folder("run/checkpoint-100"))
    #expect(try Command.run(merge, in: work.folder.path).code == 0)
    try FileManager.default.copyItem(
      atPath: work.folder("similarity"), toPath: work.folder("run/checkpoint-100"))
    try isRefused(merge, "run: is a directory that holds other models (checkpoint-100)")
  }

  @Test func aFolderOfModelsIsNotReplaced() throws {
    for (name, path) in [("similarity", "models"), ("base", "models/base"), ("retrieval", "models/tuned")] {
      try FileManager.default.copyItem(atPath: work.folder(name), toPath: work.folder(path))
    }
    try isRefused(
      ["merge", "--base", "base", "retrieval", "-o", "models", "--force"], "other models (base, tuned)")
  }
}
