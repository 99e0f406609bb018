import EmbedFuse
import Foundation
import TestSupport
import Testing

/// What the campaigns in Scripts/campaigns found, kept as tests.
@Suite struct OddCircumstanceTests {
  private static let merge = ["merge", "--base", "base", "retrieval", "similarity"]

  @Test func aNameThatIsTooLongIsRefusedBeforeAnyWork() throws {
    let work = try Workspace()
    let outcome = try Command.run(
      Self.merge + ["-o", String(repeating: "x", count: 256)], in: work.folder.path)
    #expect(outcome.code == 73)
    #expect(outcome.error.contains("its name has 256 bytes, but at most 255 are allowed"))
    let long = String(repeating: "y", count: 252) + ".h5"
    #expect(try Command.run(Self.merge + ["-o", long], in: work.folder.path).code == 0)
    #expect(work.added == [long])
  }

  /// Else the output would be the first file opened, number 2, and messages would be written into it.
  @Test func closedStreamsDontMakeAFileTakeTheirPlace() throws {
    let work = try Workspace()
    #expect(try Command.run(Self.merge + ["-o", "a.safetensors"], in: work.folder.path).code == 0)
    let shell = Process()
    shell.executableURL = URL(fileURLWithPath: "/bin/sh")
    shell.arguments =
      ["-c", #"exec "$@" <&- >&- 2>&-"#, "sh", Command.path] + Self.merge + ["-o", "b.safetensors"]
    shell.currentDirectoryURL = URL(fileURLWithPath: work.folder.path)
    try shell.run()
    shell.waitUntilExit()
    #expect(shell.terminationStatus == 0)
    #expect(
      FileManager.default.contents(atPath: work.folder("a.safetensors"))
        == FileManager.default.contents(atPath: work.folder("b.safetensors")))
  }

  /// Messages name the output as the user did, not the place where it is prepared.
  @Test func aFailureNamesTheOutput() throws {
    let work = try Workspace()
    for output in ["out", "out.safetensors", "out.h5"] {
      let shell = Process()
      let error = Pipe()
      shell.executableURL = URL(fileURLWithPath: "/bin/sh")
      shell.arguments =
        ["-c", #"ulimit -f 8; exec "$@""#, "sh", Command.path] + Self.merge + ["-o", output]
      shell.currentDirectoryURL = URL(fileURLWithPath: work.folder.path)
      shell.standardError = error
      try shell.run()
      let text = String(decoding: error.fileHandleForReading.readDataToEndOfFile(), as: UTF8.self)
      shell.waitUntilExit()
      #expect(shell.terminationStatus == 74)
      #expect(text.hasPrefix("embedfuse: error: \(output)"), "\(text)")
      #expect(text.contains("ulimit -f"), "\(text)")
      #expect(work.added.isEmpty)
    }
  }
}
