import Foundation
import Glibc
import TestSupport
import Testing

/// What `--force` removes, and what is told of files that don't come along.
@Suite struct ForceTests {
  private static let merge = ["merge", "--base", "base", "retrieval", "similarity", "-o", "out"]

  /// Makes a file whose name isn't UTF-8.
  private static func makeNameless(in folder: String) throws {
    let path = (folder + "/caf").utf8CString.dropLast() + [CChar(bitPattern: 0xE9), 0]
    let descriptor = unsafe creat(Array(path), 0o644)
    try #require(descriptor >= 0)
    close(descriptor)
  }

  @Test func anOldOutputGoesWhateverNamesItHolds() throws {
    let work = try Workspace()
    #expect(try Command.run(Self.merge, in: work.folder.path).code == 0)
    try Self.makeNameless(in: work.folder("out"))
    let outcome = try Command.run(Self.merge + ["--force"], in: work.folder.path)
    #expect(outcome.code == 0 && !outcome.error.contains("note:"), "\(outcome.error)")
    #expect(work.added == ["out"])
  }

  @Test func aFolderOfAnotherProgramIsNotReplaced() throws {
    let work = try Workspace()
    try FileManager.default.createDirectory(
      atPath: work.folder("out"), withIntermediateDirectories: false)
    try Data(#"{"auths":{}}"#.utf8).write(to: URL(fileURLWithPath: work.folder("out/config.json")))
    try Data("key".utf8).write(to: URL(fileURLWithPath: work.folder("out/key.pem")))
    let outcome = try Command.run(Self.merge + ["--force"], in: work.folder.path)
    #expect(outcome.code == 73 && outcome.error.contains("holds no model"))
    #expect(FileManager.default.contents(atPath: work.folder("out/key.pem")) == Data("key".utf8))
  }

  @Test func filesThatCannotTravelAreNamed() throws {
    let work = try Workspace()
    try Self.makeNameless(in: work.folder("base"))
    try FileManager.default.createSymbolicLink(
      atPath: work.folder("base/merges.txt"), withDestinationPath: "../blobs/absent")
    let note = "base: left out, since names must be UTF-8 and links lead to files: caf\u{FFFD}, merges.txt"
    for output in ["out", "out.h5"] {
      let outcome = try Command.run(Self.merge.dropLast() + [output], in: work.folder.path)
      #expect(outcome.code == 0 && outcome.error.contains("note: " + note), "\(outcome.error)")
    }
    let converted = try work.run("convert", "base", "-o", "copy")
    #expect(converted.error.contains("note: " + note), "\(converted.error)")
    // Another model's files stay where they are in any case, and so do all where the output has no place for them.
    let other = try work.run("merge", "--base", "retrieval", "base", "similarity", "-o", "other")
    let single = try Command.run(Self.merge.dropLast() + ["out.safetensors"], in: work.folder.path)
    #expect(!other.error.contains("left out") && !single.error.contains("left out"))
    #expect(try work.run("inspect", "base").output.contains("ignored: caf\u{FFFD}, merges.txt"))
  }
}
