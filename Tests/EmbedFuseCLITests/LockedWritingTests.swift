import Foundation
import TestSupport
import Testing

/// `merge --locked`: how the output is written is the manifest's too.
@Suite struct LockedWritingTests {
  private func fuse(_ work: Workspace, _ arguments: String...) throws -> Command.Outcome {
    try Command.run(LockedMergeTests.merge + arguments, in: work.folder.path)
  }

  private func bytes(_ work: Workspace, _ name: String) -> Data? {
    FileManager.default.contents(atPath: work.folder(name))
  }

  @Test func aLockedMergeWritesShardsOfTheManifestsSize() throws {
    let work = try Workspace()
    #expect(try fuse(work, "-o", "fused", "--max-shard-size", "10KB").code == 0)
    let again = try work.run("merge", "--locked", "fused", "-o", "again")
    #expect(again.code == 0, "\(again.error)")
    let names = try FileManager.default.subpathsOfDirectory(atPath: work.folder("fused")).sorted()
    #expect(names.count { $0.hasPrefix("model-0") } == 3)
    #expect(try FileManager.default.subpathsOfDirectory(atPath: work.folder("again")).sorted() == names)
    for name in names { #expect(bytes(work, "again/\(name)") == bytes(work, "fused/\(name)"), "\(name)") }
    // The same size may be given, and nothing has to be made then.
    for more in [[], ["--max-shard-size", "10KB"]] {
      let nothing = try Command.run(
        ["merge", "--locked", "fused", "-o", "again", "--if-changed"] + more, in: work.folder.path)
      #expect(nothing.error == "again: nothing changed since it was made\n")
    }
    for more in [[], ["--part", "1/2"]] {
      let other = try Command.run(
        ["merge", "--locked", "fused", "-o", "other", "--max-shard-size", "20KB"] + more, in: work.folder.path
      )
      #expect(other.code == 65)
      #expect(other.error.contains("max_shard_size: 20000, but 10000 in the manifest"), "\(other.error)")
      #expect(other.error.contains("leave the settings out"))
    }
    #expect(work.added == ["again", "fused"])
    // Parts take it too.
    for part in ["1/2", "2/2"] {
      #expect(try work.run("merge", "--locked", "fused", "-o", "parts", "--part", part).code == 0)
    }
    let last = try work.run("finalize", "parts", "--locked", "fused")
    #expect(last.code == 0, "\(last.error)")
    #expect(bytes(work, "parts/embedfuse.json") == bytes(work, "fused/embedfuse.json"))
    // Another kind of output has no shards.
    #expect(try work.run("merge", "--locked", "fused", "-o", "one.safetensors").code == 0)
  }

  @Test func partsOfAnotherSizeAreNotFinalizedAsTheManifests() throws {
    let work = try Workspace()
    #expect(try fuse(work, "-o", "fused", "--max-shard-size", "10KB").code == 0)
    #expect(try fuse(work, "-o", "parts", "--max-shard-size", "20KB", "--part", "1/1").code == 0)
    let last = try work.run("finalize", "parts", "--locked", "fused")
    #expect(last.code == 65)
    #expect(last.error.contains("max_shard_size: 20000, but 10000 in the manifest"), "\(last.error)")
    #expect(work.added == ["fused", "parts.parts"])
  }

  @Test func aLockedMergeTakesTheCompressionLevel() throws {
    let work = try Workspace()
    #expect(try fuse(work, "-o", "three.h5", "--compression-level", "3").code == 0)
    #expect(try work.run("merge", "--locked", "three.h5", "-o", "again.h5").code == 0)
    #expect(bytes(work, "again.h5") == bytes(work, "three.h5"))
    let other = try work.run("merge", "--locked", "three.h5", "-o", "other.h5", "--compression-level", "4")
    #expect(other.code == 65)
    #expect(other.error.contains("compression_level: 4, but 3 in the manifest"), "\(other.error)")
    #expect(try fuse(work, "-o", "plain.h5").code == 0)
    let level = try work.run("merge", "--locked", "plain.h5", "-o", "other.h5", "--compression-level", "4")
    #expect(level.error.contains("compression_level: 4, but the default in the manifest"), "\(level.error)")
    let base = try work.run("merge", "--locked", "plain.h5", "-o", "other.h5", "--relative-to", "base")
    #expect(base.code == 65)
    #expect(base.error.contains("relative_to: base, but nothing in the manifest"), "\(base.error)")
  }

  @Test func aLockedMergeIsRelativeToWhatTheManifestNames() throws {
    let work = try Workspace()
    try FileManager.default.copyItem(atPath: work.folder("base"), toPath: work.folder("other"))
    #expect(try fuse(work, "-o", "to-base.h5", "--relative-to", "base").code == 0)
    #expect(try fuse(work, "-o", "to-other.h5", "--relative-to", "other").code == 0)
    for name in ["to-base.h5", "to-other.h5"] {
      let again = try work.run("merge", "--locked", name, "-o", "again-\(name)")
      #expect(again.code == 0, "\(again.error)")
      #expect(bytes(work, "again-\(name)") == bytes(work, name))
    }
    let before = try work.run("verify", "to-base.h5")
    #expect(before.output.contains("stored as differences to base"))
    // What isn't where the manifest names it has to be named.
    try FileManager.default.moveItem(atPath: work.folder("other"), toPath: work.folder("moved"))
    let missing = try work.run("merge", "--locked", "to-other.h5", "-o", "moved.h5")
    #expect(missing.code == 66 && missing.error.contains("other"), "\(missing.error)")
  }
}
