import Foundation
import Glibc
import TestSupport
import Testing

/// What is printed arrives, or the command fails: a script would take half a report for a whole one.
@Suite struct StandardOutputTests {
  private static let full = #"exec "$@" >/dev/full"#

  @Test(arguments: [
    ["inspect", "base"], ["inspect", "base", "--json"], ["diff", "base", "retrieval"],
    ["diff", "base", "retrieval", "--json"], ["plan", "--base", "base", "retrieval"],
    ["plan", "--base", "base", "retrieval", "--json"], ["methods"], ["methods", "soup"],
    ["methods", "--json"],
    ["--help"], ["merge", "--help"], ["--version"], ["--generate-completion-script", "bash"],
  ])
  func aFullDiskIsTold(arguments: [String]) throws {
    let outcome = try Command.run(arguments, by: Self.full, in: Fixtures.path("family"))
    #expect(outcome.code == 74)
    #expect(
      outcome.error == """
        embedfuse: error: standard output: can't be written: No space left on device
          what was printed is incomplete: make room, or print it elsewhere

        """)
  }

  @Test(arguments: [
    (["merge", "--base", "base", "retrieval", "-o", "out"], "out"),
    (
      ["merge", "--base", "base", "retrieval", "-o", "out", "--part", "1/1"], "out.parts/part-00001-of-00001"
    ),
    (["convert", "base", "-o", "out.h5"], "out.h5"),
  ])
  func anOutputStandsWhoseReportIsLost(arguments: [String], output: String) throws {
    let work = try Workspace()
    let outcome = try Command.run(arguments + ["--json", "--no-sync"], by: Self.full, in: work.folder.path)
    #expect(outcome.code == 74)
    #expect(outcome.error.contains("standard output: can't be written: No space left on device"))
    #expect(outcome.error.contains("what was made stands, whole: \(output)"), "\(outcome.error)")
    #expect(FileManager.default.fileExists(atPath: work.folder(output)))
    if arguments[0] == "convert" { return }
    let last = try Command.run(
      output == "out" ? ["verify", "out", "--json"] : ["finalize", "out", "--json", "--no-sync"],
      by: Self.full,
      in: work.folder.path)
    #expect(last.code == 74)
    #expect(last.error.contains("stands, whole: out") == (output != "out"), "\(last.error)")
    #expect(try work.run("verify", "out").code == 0)
  }

  @Test func aLimitOfFileSizesIsTold() throws {
    let work = try Workspace()
    let outcome = try Command.run(
      ["inspect", "base", "--json"], by: #"ulimit -f 1; exec "$@" >list"#, in: work.folder.path)
    #expect(outcome.code == 74 && outcome.error.contains("File too large"), "\(outcome.error)")
  }

  /// As with `| head`: whoever reads has seen enough. Where SIGPIPE isn't ignored it ends the command.
  @Test func aReaderThatHasGoneIsNoError() throws {
    let outcome = try Command.run(
      ["inspect", "base"],
      by: #"trap "" PIPE; { sleep 1; "$@"; echo "ended with $?" >&2; } | exec <&-"#,
      in: Fixtures.path("family"))
    #expect(outcome.error == "ended with 0\n")
  }

  /// A pipe that takes little at a time, and says so instead of blocking, gets everything.
  @Test func aPipeThatDoesNotBlockGetsEverything() throws {
    let arguments = ["methods", "--json"]
    let expected = try Command.run(arguments).output
    let (process, output) = (Process(), Pipe())
    process.executableURL = URL(fileURLWithPath: Command.path)
    process.arguments = arguments
    process.standardOutput = output
    let descriptor = output.fileHandleForWriting.fileDescriptor
    // F_SETPIPE_SZ, which the module of the C library lacks.
    try #require(fcntl(descriptor, 1031, 4096) == 4096 && expected.utf8.count > 8192)
    try #require(fcntl(descriptor, F_SETFL, O_NONBLOCK) == 0)
    try process.run()
    Thread.sleep(forTimeInterval: 0.5)
    let read = output.fileHandleForReading.readDataToEndOfFile()
    process.waitUntilExit()
    #expect(process.terminationStatus == 0)
    #expect(String(decoding: read, as: UTF8.self) == expected)
  }
}
