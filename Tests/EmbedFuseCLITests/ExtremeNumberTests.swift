import Foundation
import TestSupport
import Testing

/// Numbers at the ends of what options take: a run does what is asked or refuses it in a message, and never traps.
@Suite struct ExtremeNumberTests {
  /// Runs the command and checks that it ended of itself.
  @discardableResult
  private func run(_ arguments: [String], in work: Workspace) throws -> Command.Outcome {
    let run = try Command.start(arguments, in: work.folder.path)
    let outcome = try Command.outcome(of: run)
    #expect(run.process.terminationReason == .exit, "\(arguments): \(outcome)")
    #expect([0, 64, 65, 66, 73].contains(outcome.code), "\(arguments): \(outcome)")
    #expect(outcome.code == 0 || outcome.error.contains("error: "), "\(arguments): \(outcome)")
    return outcome
  }

  @Test(arguments: [
    ["--method", "task-arithmetic", "--base", "base", "retrieval", "--weights", "1e19"],
    ["--method", "ties", "--base", "base", "retrieval", "--weights", "1e300"],
    ["--method", "dare-linear", "--base", "base", "retrieval", "--weights", "-1e19"],
    ["--method", "soup", "base", "retrieval", "--weights", "1e300,1", "--set", "normalize=false"],
    ["--method", "slerp", "--base", "base", "retrieval", "--set", "t=1e20"],
  ])
  func weightsBeyondAllIntegersAreTold(arguments: [String]) throws {
    let work = try Workspace()
    let outcome = try run(["merge", "--no-sync", "-o", "fused"] + arguments, in: work)
    #expect(outcome.code == 0 && work.added == ["fused"], "\(outcome)")
    #expect(outcome.error.contains("of tensors written"), "\(outcome)")
  }

  static let numbers = [
    "0", "-1", "9223372036854775807", "-9223372036854775808", "18446744073709551615", "1e300", "8E", "nan",
  ]

  @Test(arguments: numbers) func optionsOfDiff(number: String) throws {
    let work = try Workspace()
    for option in ["--rows", "--threads", "--memory"] {
      try run(["diff", "base", "retrieval", "\(option)=\(number)"], in: work)
    }
  }

  @Test(arguments: numbers) func optionsOfMerge(number: String) throws {
    let work = try Workspace()
    for option in [
      "--threads", "--memory", "--max-shard-size", "--seed", "--compression-level", "--power", "--lambda",
    ] {
      let output = option == "--compression-level" ? "fused.h5" : "fused"
      try run(
        [
          "merge", "--base", "base", "retrieval", "similarity", "-o", output, "--force", "--no-sync",
          "\(option)=\(number)",
        ], in: work)
    }
    for part in ["1/\(number)", "\(number)/1", "\(number)/\(number)"] {
      try run(["merge", "--base", "base", "retrieval", "-o", "parts", "--part=\(part)"], in: work)
    }
    for selection in ["last:\(number)", "steps:\(number)"] {
      try run(["merge", "--base", "base", "retrieval", "-o", "chosen", "--select=\(selection)"], in: work)
    }
  }

  @Test(arguments: numbers) func optionsOfOtherCommands(number: String) throws {
    let work = try Workspace()
    #expect(try work.run("merge", "--base", "base", "retrieval", "-o", "fused", "--no-sync").code == 0)
    for option in ["--threads", "--memory"] {
      try run(["verify", "fused", "\(option)=\(number)"], in: work)
      try run(["convert", "base", "-o", "c.h5", "--force", "--no-sync", "\(option)=\(number)"], in: work)
    }
    try run(["convert", "base", "-o", "d", "--force", "--max-shard-size=\(number)"], in: work)
    try run(["convert", "base", "-o", "e.h5", "--force", "--compression-level=\(number)"], in: work)
  }
}
