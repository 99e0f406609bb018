import Foundation
import TestSupport

/// The built `embedfuse`, run as users run it.
struct Command {
  /// What a run ended with.
  struct Outcome {
    let code: Int32
    let output: String
    let error: String
  }

  /// The binary, which the package's tests are built beside.
  static let path: String = {
    var folder = URL(fileURLWithPath: CommandLine.arguments[0]).deletingLastPathComponent()
    // The test runner of some toolchains is elsewhere; the bundle's path is then among the arguments.
    if let bundle = CommandLine.arguments.first(where: { $0.hasSuffix(".xctest") }) {
      folder = URL(fileURLWithPath: bundle).deletingLastPathComponent()
    }
    return folder.appendingPathComponent("embedfuse").path
  }()

  /// Starts it without waiting.
  static func start(
    _ arguments: [String], in folder: String? = nil, environment: [String: String] = [:]
  ) throws -> (
    process: Process, output: Pipe, error: Pipe
  ) {
    let process = Process()
    process.executableURL = URL(fileURLWithPath: path)
    process.arguments = arguments
    process.environment = ProcessInfo.processInfo.environment.merging(environment) { $1 }
    if let folder { process.currentDirectoryURL = URL(fileURLWithPath: folder) }
    let (output, error) = (Pipe(), Pipe())
    process.standardOutput = output
    process.standardError = error
    try process.run()
    return (process, output, error)
  }

  /// Runs it to its end.
  static func run(_ arguments: String..., in folder: String? = nil) throws -> Outcome {
    try outcome(of: try start(arguments, in: folder))
  }

  /// Runs it to its end.
  static func run(_ arguments: [String], in folder: String? = nil) throws -> Outcome {
    try outcome(of: try start(arguments, in: folder))
  }

  /// Runs it by way of a script for the shell, to which it is `"$@"`.
  static func run(_ arguments: [String], by script: String, in folder: String) throws -> Outcome {
    let process = Process()
    process.executableURL = URL(fileURLWithPath: "/bin/sh")
    process.arguments = ["-c", script, "sh", path] + arguments
    process.currentDirectoryURL = URL(fileURLWithPath: folder)
    let (output, error) = (Pipe(), Pipe())
    (process.standardOutput, process.standardError) = (output, error)
    try process.run()
    return try outcome(of: (process, output, error))
  }

  /// Waits for a run.
  static func outcome(of run: (process: Process, output: Pipe, error: Pipe)) throws -> Outcome {
    let output = run.output.fileHandleForReading.readDataToEndOfFile()
    let error = run.error.fileHandleForReading.readDataToEndOfFile()
    run.process.waitUntilExit()
    return Outcome(
      code: run.process.terminationStatus, output: String(decoding: output, as: UTF8.self),
      error: String(decoding: error, as: UTF8.self))
  }
}

/// A folder with copies of the fixture family, and a record of its bytes.
final class Workspace {
  let folder: TemporaryFolder
  private let before: [String: Data]

  init() throws {
    folder = try TemporaryFolder()
    for name in ["base", "retrieval", "similarity"] {
      try FileManager.default.copyItem(atPath: Fixtures.path("family/\(name)"), toPath: folder(name))
    }
    before = Self.contents(folder.path)
  }

  private static func contents(_ path: String) -> [String: Data] {
    let names = FileManager.default.subpaths(atPath: path) ?? []
    return names.reduce(into: [:]) { $0[$1] = FileManager.default.contents(atPath: path + "/" + $1) }
  }

  /// True if everything that was there at first is as it was.
  var inputsAreUntouched: Bool {
    let now = Self.contents(folder.path)
    return before.allSatisfy { now[$0.key] == $0.value }
  }

  /// The names in the folder beside the family's.
  var added: [String] { folder.names.filter { !["base", "retrieval", "similarity"].contains($0) } }

  /// Runs the command in the folder.
  func run(_ arguments: String...) throws -> Command.Outcome {
    try Command.run(arguments, in: folder.path)
  }
}
