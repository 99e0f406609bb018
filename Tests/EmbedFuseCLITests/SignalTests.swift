import Foundation
import Glibc
import TestSupport
import Testing

/// What signals do to a run, from its start to its last word.
@Suite struct SignalTests {
  private static let signals: [Int32] = [SIGHUP, SIGINT, SIGTERM]
  /// The slowest method, which takes a second or so.
  private static let merge = [
    "merge", "--method", "pcb", "--threads", "1", "-o", "fused.safetensors", "--no-sync", "--base",
    "base.safetensors", "first.safetensors", "second.safetensors",
  ]

  private static func models() throws -> TemporaryFolder {
    let folder = try TemporaryFolder()
    for (seed, name) in merge.suffix(3).enumerated() {
      var generator = SeededGenerator(seed: UInt64(seed))
      let bytes = (0..<200_000).flatMap { _ in
        let bits = Float(generator.normal()).bitPattern
        return (0..<4).map { UInt8(truncatingIfNeeded: bits >> (8 * $0)) }
      }
      try SafetensorsBuilder.write([("encoder.layer.0.weight", .f32, [500, 400], bytes)], to: folder(name))
    }
    return folder
  }

  /// Starts a merge by way of a script and waits until it is at work.
  private static func start(
    by script: String = #"exec "$@""#, in folder: TemporaryFolder
  ) throws -> (process: Process, error: Pipe) {
    let (process, error) = (Process(), Pipe())
    process.executableURL = URL(fileURLWithPath: "/bin/sh")
    process.arguments = ["-c", script, "sh", Command.path] + merge
    process.currentDirectoryURL = URL(fileURLWithPath: folder.path)
    process.standardOutput = FileHandle.nullDevice
    process.standardError = error
    try process.run()
    while process.isRunning, !folder.names.contains(where: { $0.hasPrefix(".fused") }) { usleep(1000) }
    return (process, error)
  }

  @Test(arguments: signals)
  func anInterruptedMergeLeavesNothing(number: Int32) throws {
    let folder = try Self.models()
    let names = folder.names
    let (process, error) = try Self.start(in: folder)
    // Impatience changes nothing.
    while process.isRunning {
      kill(process.processIdentifier, number)
      usleep(50)
    }
    let text = String(decoding: error.fileHandleForReading.readDataToEndOfFile(), as: UTF8.self)
    process.waitUntilExit()
    #expect(process.terminationReason == .exit && process.terminationStatus == 128 + number)
    #expect(text == "embedfuse: interrupted; no output was written\n")
    #expect(folder.names == names)
  }

  /// As under `nohup`, and behind `&` in a script.
  @Test(arguments: signals) func anIgnoredSignalStaysIgnored(number: Int32) throws {
    let folder = try Self.models()
    let (process, error) = try Self.start(by: #"trap "" \#(number); exec "$@""#, in: folder)
    kill(process.processIdentifier, number)
    _ = error.fileHandleForReading.readDataToEndOfFile()
    process.waitUntilExit()
    #expect(process.terminationReason == .exit && process.terminationStatus == 0)
    #expect(folder.names.contains("fused.safetensors"))
  }

  /// Once the output stands, a signal ends a command that waits for somebody to read its report.
  @Test(arguments: signals) func aReportThatNobodyReadsCanBeInterrupted(number: Int32)
    throws
  {
    let work = try Workspace()
    let process = Process()
    let output = Pipe()
    try #require(fcntl(output.fileHandleForWriting.fileDescriptor, 1031, 4096) == 4096)
    process.executableURL = URL(fileURLWithPath: Command.path)
    process.arguments = ["merge", "--base", "base", "retrieval", "-o", "out", "--json", "--no-sync"]
    process.currentDirectoryURL = URL(fileURLWithPath: work.folder.path)
    process.standardOutput = output
    try process.run()
    while process.isRunning, work.added != ["out"] { usleep(1000) }
    let deadline = Date(timeIntervalSinceNow: 20)
    while process.isRunning, Date() < deadline {
      usleep(100_000)
      kill(process.processIdentifier, number)
    }
    let ended = !process.isRunning
    process.terminate()
    if !ended { kill(process.processIdentifier, SIGKILL) }
    process.waitUntilExit()
    #expect(ended && process.terminationReason == .uncaughtSignal && process.terminationStatus == number)
    #expect(work.added == ["out"])
    #expect(try work.run("verify", "out").code == 0)
  }
}
