import EmbedFuse
import Foundation
import TestSupport
import Testing

/// Arguments that don't go together are refused before anything is read, and what commands print beside results.
@Suite struct UsageTests {
  @Test(arguments: [
    (["merge", "-o", "x"], "there is nothing to fuse"),
    (["merge", "--base", "base", "-o", "x"], "there is nothing to fuse"),
    (
      ["merge", "retrieval", "similarity", "--method", "soup", "--lambda", "0.5", "-o", "x"],
      "soup needs a base, but there is none\n  name the pretrained checkpoint with --base, or leave out lambda"
    ),
    (["merge", "--base", "base", "retrieval", "-o", "x", "--set", "power"], "is not of the form KEY=VALUE"),
    (
      ["merge", "--base", "base", "retrieval", "-o", "x", "--set", "power=1", "--set", "power=2"],
      "--set gives power twice"
    ),
    (
      ["merge", "--base", "base", "retrieval", "-o", "x", "--power", "1", "--set", "power=2"],
      "power is given by --power and by --set"
    ),
    (
      ["merge", "--base", "base", "retrieval", "-o", "x", "--part", "1/2", "--depfile", "x.d"],
      "--depfile is about whole outputs, but --part is given"
    ),
    (
      ["merge", "retrieval", "similarity", "--method", "soup", "--nonfinite", "base", "-o", "x"],
      "takes the base's values, but there is no base"
    ),
    (
      ["merge", "--base", "base", "retrieval", "-o", "x.h5", "--compression-level", "23"],
      "--compression-level must be 1 to 22"
    ),
    (["verify", "base", "retrieval"], "inputs are read only by --rerun"),
    (["verify", "base", "--threads", "0"], "--threads must be at least 1"),
    (["verify", "base", "--threads=-3"], "--threads must be at least 1"),
    (
      ["merge", "--base", "base", "retrieval", "--base=similarity", "-o", "x"],
      "--base is given twice: base and similarity\n  give it once"
    ),
    (
      ["merge", "--base", "base", "retrieval", "-o", "x", "--output", "y"],
      "--output is given twice: x and y"
    ),
    (
      ["convert", "base", "-o", "x", "--dtype", "f16", "--dtype", "bf16"],
      "--dtype is given twice: f16 and bf16"
    ),
    (
      ["merge", "--base", "base", "retrieval", "similarity", "-o", "x", "--weights", "nan,1"],
      "--weights gives nan, but a weight must be a finite number"
    ),
    (
      ["merge", "--base", "base", "retrieval", "similarity", "-o", "x", "--weights", "1,-inf"],
      "--weights gives -inf"
    ),
  ])
  func argumentsThatDoNotGoTogether(arguments: [String], problem: String) throws {
    let work = try Workspace()
    let outcome = try Command.run(arguments, in: work.folder.path)
    #expect(outcome.code == 64 && outcome.error.contains(problem), "\(outcome.error)")
    #expect(outcome.output.isEmpty && work.added.isEmpty)
  }

  @Test(arguments: [
    ("mrege", "did you mean 'merge'?"), ("verfy", "did you mean 'verify'?"),
    ("base", "the commands are: merge,"),
  ])
  func aCommandThatThereIsNot(name: String, remedy: String) throws {
    let outcome = try Command.run([name, "--base", "base", "retrieval", "-o", "x"])
    #expect(outcome.code == 64 && outcome.output.isEmpty)
    #expect(
      outcome.error.hasPrefix("embedfuse: error: there is no command '\(name)'\n  \(remedy)"),
      "\(outcome.error)")
  }

  /// A check of reproducibility with a mistyped name would compare the best with itself.
  @Test func anInstructionSetThatThereIsNot() throws {
    let work = try Workspace()
    func plan(on name: String) throws -> Command.Outcome {
      try Command.outcome(
        of: try Command.start(
          ["plan", "--base", "base", "retrieval"], in: work.folder.path,
          environment: ["EMBEDFUSE_KERNELS": name]))
    }
    let outcome = try plan(on: "v5")
    #expect(outcome.code == 64 && outcome.output.isEmpty)
    #expect(
      outcome.error == """
        embedfuse: error: the environment's EMBEDFUSE_KERNELS names no instruction set, but 'v5'
          leave it out for the best, or name one of baseline, v3, v4

        """)
    #expect(try plan(on: "").code == 0)
  }

  /// Flags say the same twice; lists grow.
  @Test func whatMayBeSaidTwice() throws {
    let work = try Workspace()
    let outcome = try work.run(
      "merge", "--base", "base", "retrieval", "similarity", "--method", "ties", "--set", "density=0.5",
      "--set",
      "lambda=0.9", "--no-sync", "--quiet", "--quiet", "-o", "x")
    #expect(outcome.code == 0, "\(outcome.error)")
  }

  /// Of two values of one parameter none is taken in silence, whether they are for all models or for each.
  @Test(arguments: [["0.5", "0.1,0.9"], ["0.1,0.9", "0.5"], ["0.1,0.9", "0.2,0.8"]])
  func aParameterOfEachModelGivenTwice(values: [String]) throws {
    let work = try Workspace()
    let outcome = try Command.run(
      ["merge", "--base", "base", "retrieval", "similarity", "--method", "ties", "-o", "x"]
        + values.flatMap { ["--set", "density=\($0)"] }, in: work.folder.path)
    #expect(outcome.code == 64 && outcome.error.contains("--set gives density twice"), "\(outcome.error)")
    #expect(work.added.isEmpty)
  }

  @Test func aParameterMayDifferFromModelToModel() throws {
    let work = try Workspace()
    var outputs: [Data?] = []
    for density in ["0.5", "0.5,0.5", "0.2,0.8"] {
      let outcome = try work.run(
        "merge", "--base", "base", "retrieval", "similarity", "--method", "ties", "--set",
        "density=\(density)",
        "-o", "x", "--force", "--no-sync")
      #expect(outcome.code == 0, "\(outcome.error)")
      outputs.append(FileManager.default.contents(atPath: work.folder("x/model.safetensors")))
    }
    #expect(outputs[0] != nil && outputs[0] == outputs[1] && outputs[0] != outputs[2])
  }

  /// make takes an output without its file of dependencies for up to date, whatever becomes of its inputs.
  @Test(arguments: [
    ("x", "nowhere/x.d", "mkdir -p nowhere"), ("x", "similarity", "is a directory"),
    ("a\nb.h5", "x.d", "line break"),
  ])
  func aFileOfDependenciesThatCannotBeWritten(output: String, file: String, message: String) throws {
    let work = try Workspace()
    let outcome = try work.run(
      "merge", "--base", "base", "retrieval", "-o", output, "--depfile", file, "--no-sync")
    #expect(outcome.code == 73 && outcome.error.contains(message), "\(outcome.error)")
    #expect(work.added.isEmpty && work.inputsAreUntouched)
  }

  @Test(arguments: [
    (["--weights-report", "w.json"], "same.h5", 64, "a weights report is written for one output"),
    ([], "./one.h5", 73, "two outputs have this path"),
  ])
  func outputsThatDisagree(arguments: [String], second: String, code: Int32, problem: String) throws {
    let work = try Workspace()
    let recipe = """
      method: soup
      models: [retrieval, similarity]
      outputs:
        - path: one.h5
        - path: \(second)
          parameters: {weight: 2}
      """
    try recipe.write(toFile: work.folder("r.yaml"), atomically: true, encoding: .utf8)
    let outcome = try Command.run(["merge", "r.yaml"] + arguments, in: work.folder.path)
    #expect(outcome.code == code && outcome.error.contains(problem), "\(outcome.error)")
    #expect(work.added == ["r.yaml"])
  }

  @Test func methodsAsJSONHaveAllThatTheTableHas() throws {
    let outcome = try Command.run("methods", "--json")
    let methods = try #require(
      try JSONSerialization.jsonObject(with: Data(outcome.output.utf8)) as? [[String: Any]])
    #expect(methods.compactMap { $0["name"] as? String } == FusionMethods.all.map { $0.description.name })
    let ties = try Command.run("methods", "ties", "--json")
    let described = try #require(
      try JSONSerialization.jsonObject(with: Data(ties.output.utf8)) as? [[String: Any]])
    let parameters = try #require(described.first?["parameters"] as? [[String: Any]])
    #expect(described.count == 1 && described[0]["combines"] as? String == "deltas")
    let density = try #require(parameters.first { $0["name"] as? String == "density" })
    #expect(density["values"] as? String == "a number from 0 to 1")
  }

  @Test func inspectNamesTensorsThatShareTheirValues() throws {
    let outcome = try Command.run("inspect", Fixtures.path("samples/hdf5/filters.h5"))
    #expect(outcome.code == 0 && outcome.output.contains("alias: tied stands for contiguous\n"))
  }

  @Test func diffNamesWhatItCannotCompare() throws {
    let folder = try TemporaryFolder()
    func write(_ name: String, _ tensors: [(String, [UInt])]) throws {
      try SafetensorsBuilder.write(
        tensors.map { name, shape in
          (name, .f32, shape, [UInt8](repeating: 63, count: 4 * Int(shape.reduce(1, *))))
        }, to: folder(name))
    }
    try write("base.safetensors", [("w", [2, 2]), ("gone", [3]), ("turned", [2, 3])])
    try write("ft.safetensors", [("w", [2, 2]), ("new\nline", [3]), ("turned", [3, 2])])
    let outcome = try Command.run("diff", "base.safetensors", "ft.safetensors", in: folder.path)
    #expect(outcome.code == 0, "\(outcome.error)")
    let section = outcome.output.components(separatedBy: "\nnot compared:\n").last ?? ""
    for line in ["gone is missing in ", "new\\u{a}line is only in ", "turned has another shape or kind in "] {
      #expect(section.contains("  \(line)"), "\(outcome.output)")
    }
  }
}
