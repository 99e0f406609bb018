import EmbedFuse
import Foundation
import TestSupport
import Testing

/// Recipes and methods on the command line.
@Suite struct RecipeCommandTests {
  static func write(_ text: String, to path: String) throws {
    try Data(text.utf8).write(to: URL(fileURLWithPath: path))
  }

  static let ties = """
    base: base
    models: [retrieval, {model: similarity, weight: 0.5}]
    method: ties
    parameters: {density: [0.3, 0.8]}
    output: fused
    """

  @Test func aRecipeIsFusedVerifiedAndMadeAgain() throws {
    let work = try Workspace()
    try Self.write(Self.ties, to: work.folder("r.yaml"))
    let merge = try work.run("merge", "r.yaml")
    #expect(merge.code == 0, "\(merge.error)")
    #expect(work.added == ["fused", "r.yaml"])
    let verify = try work.run("verify", "fused", "--rerun")
    #expect(verify.code == 0, "\(verify.error)")
    #expect(work.inputsAreUntouched)
  }

  @Test func theSameArgumentsGiveTheSameBytes() throws {
    let work = try Workspace()
    try Self.write(
      "base: base\nmodels: [retrieval, similarity]\nmethod: dare-ties\nparameters: {density: 0.4}\nseed: 3",
      to: work.folder("r.yaml"))
    #expect(try work.run("merge", "r.yaml", "-o", "a.safetensors").code == 0)
    let merge = try work.run(
      "merge", "--base", "base", "retrieval", "similarity", "--method", "dare_ties", "--set", "density=0.4",
      "--seed", "3", "-o", "b.safetensors")
    #expect(merge.code == 0, "\(merge.error)")
    let (a, b) = (
      try TensorValues(work.folder("a.safetensors")), try TensorValues(work.folder("b.safetensors"))
    )
    for name in a.names { #expect(a.tensors[name]?.bytes == b.tensors[name]?.bytes) }
  }

  @Test func severalOutputsArePublishedTogether() throws {
    let work = try Workspace()
    try Self.write(
      "base: base\nmodels: [retrieval, similarity]\nmethod: task-arithmetic\noutputs:\n  - {path: 'l{lambda}', grid: {lambda: [0.5, 1]}}",
      to: work.folder("r.yml"))
    let merge = try work.run("merge", "r.yml", "--json")
    #expect(merge.code == 0, "\(merge.error)")
    #expect(try JSON.parse(merge.output).arrayValue?.count == 2)
    #expect(work.added == ["l0.5", "l1", "r.yml"])
    let again = try work.run("merge", "r.yml")
    #expect(again.code == 73)
    let named = try work.run("merge", "r.yml", "-o", "x")
    #expect(named.code == 64 && named.error.contains("leave -o out"))
    #expect(work.added == ["l0.5", "l1", "r.yml"])
  }

  @Test func aMistakeInARecipeIsNamedWithItsLine() throws {
    let work = try Workspace()
    try Self.write(
      "base: base\nmodels: [retrieval]\nmethod: ties\nparametres: {}\n", to: work.folder("r.yaml"))
    let merge = try work.run("merge", "r.yaml", "-o", "x")
    #expect(merge.code == 65)
    #expect(merge.error.contains("line 4") && merge.error.contains("did you mean 'parameters'?"))
    let lenient = try work.run("merge", "r.yaml", "-o", "x", "--lenient")
    #expect(lenient.code == 0)
    #expect(lenient.error.contains("warning") && lenient.error.contains("ignored"))
  }

  @Test(arguments: [
    (["--base", "base"], "--base is given besides the recipe"),
    (["--set", "density=1"], "--set is given besides"),
    (["similarity"], "a second path is given besides"),
  ])
  func whatStandsInARecipeIsNotGivenBesides(arguments: [String], problem: String) throws {
    let work = try Workspace()
    try Self.write(Self.ties, to: work.folder("r.yaml"))
    let merge = try Command.run(["merge", "r.yaml", "-o", "x"] + arguments, in: work.folder.path)
    #expect(merge.code == 64)
    #expect(merge.error.contains(problem), "\(merge.error)")
  }

  @Test(arguments: [
    (["--method", "tie"], "did you mean ties?"),
    (["--method", "ties", "--set", "densty=0.5"], "did you mean density?"),
    (["--method", "ties", "--set", "density=2"], "it must be a number from 0 to 1"),
    (["--method", "ties", "--set", "density=0.5,0.5,0.5"], "gives 3 values for 2 models"),
    (
      ["--method", "slerp", "--set", "t=0.5"], "slerp takes exactly 1 model besides the base, but there are 2"
    ),
    (["--method", "della", "--set", "density=0.9"], "gives probabilities from"),
    (["--method", "fisher"], "needs a file of Fisher diagonals for each of the 2 models"),
    (["--method", "magmax", "--weights", "1,2"], "magmax takes no weights"),
    (["--method", "nearswap", "--set", "t=1"], "nearswap takes exactly 1 model"),
    (["--fisher", "base"], "takes no files besides the models"),
    (["--lenient"], "--lenient is for recipe files"),
  ])
  func wrongSettingsAreNamed(arguments: [String], problem: String) throws {
    let work = try Workspace()
    let merge = try Command.run(
      ["merge", "--base", "base", "retrieval", "similarity", "-o", "x"] + arguments, in: work.folder.path)
    #expect(merge.code == 64)
    #expect(merge.error.contains(problem), "\(merge.error)")
    #expect(work.added.isEmpty)
  }

  @Test func aRequiredParameterIsAskedFor() throws {
    let work = try Workspace()
    let merge = try work.run("merge", "--base", "base", "retrieval", "--method", "slerp", "-o", "x")
    #expect(merge.code == 64)
    #expect(merge.error.contains("slerp needs the parameter t") && merge.error.contains("--set t=VALUE"))
  }

  @Test func aPlanSaysWhereValuesComeFrom() throws {
    let work = try Workspace()
    try Self.write(Self.ties, to: work.folder("r.yaml"))
    let plan = try work.run("plan", "r.yaml")
    #expect(plan.code == 0, "\(plan.error)")
    #expect(plan.output.contains("weight = 0.5 from model 2"))
    #expect(plan.output.contains("recipe, gradient at 0.0"))
    let json = try JSON.parse(try work.run("plan", "r.yaml", "--json").output)
    let tensor = try #require(json["tensors"]?.arrayValue?.first { $0["making"]?.stringValue == "fused" })
    let parameters = try #require(tensor["parameters"]?.arrayValue)
    #expect(
      parameters.contains { $0["name"]?.stringValue == "density" && $0["values"]?.arrayValue?.count == 2 })
    #expect(work.added == ["r.yaml"])
  }

  @Test func methodsAreListedAndDescribed() throws {
    let list = try Command.run("methods")
    #expect(list.code == 0)
    for type in FusionMethods.all { #expect(list.output.contains(type.description.name)) }
    let one = try Command.run("methods", "dare_ties")
    #expect(one.output.contains("arXiv 2311.03099") && one.output.contains("density: share of the elements"))
    let wrong = try Command.run("methods", "darety")
    #expect(wrong.code == 64)
  }
}
