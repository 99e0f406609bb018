import Foundation
import Glibc
import TestSupport
import Testing

@testable import Checkpoints

/// What removing a folder takes along, and what it must leave.
@Suite struct FileTreeTests {
  private let folder: TemporaryFolder
  private var out: String { folder("out") }
  private var precious: String { folder("precious/data.txt") }

  init() throws {
    folder = try TemporaryFolder()
    try makeDirectory("precious")
    try makeDirectory("out")
    try make("precious/data.txt")
  }

  private func makeDirectory(_ name: String) throws {
    try FileManager.default.createDirectory(atPath: folder(name), withIntermediateDirectories: false)
  }

  private func make(_ name: String) throws {
    try Data("mine".utf8).write(to: URL(fileURLWithPath: folder(name)))
  }

  @Test func linksAreRemovedAndNotFollowed() throws {
    try FileManager.default.createSymbolicLink(atPath: out + "/a", withDestinationPath: folder("precious"))
    try FileManager.default.createSymbolicLink(atPath: out + "/b", withDestinationPath: precious)
    try FileManager.default.createSymbolicLink(atPath: out + "/c", withDestinationPath: "nowhere")
    #expect(FileTree.remove(out))
    #expect(folder.names == ["precious"] && FilePath.kind(of: precious) == .file)
  }

  /// `unlink` fails there, as it does for a folder, but a link to a folder is none.
  @Test func aLinkThatCannotBeRemovedIsNotFollowed() throws {
    try withoutPrivileges(in: folder) {
      for name in ["tree", "tree/cache", "mine"] { try makeDirectory(name) }
      try make("mine/data.txt")
      let link = folder("tree/cache/link")
      try FileManager.default.createSymbolicLink(atPath: link, withDestinationPath: folder("mine"))
      try #require(unsafe chmod(folder("tree/cache"), 0o555) == 0)
      #expect(!FileTree.remove(folder("tree")))
      #expect(FilePath.kind(of: folder("mine/data.txt")) == .file && FilePath.isLink(link))
      try #require(unsafe chmod(folder("tree/cache"), 0o755) == 0)
    }
  }

  @Test func whatCannotBeRemovedStaysAndTheRestGoes() throws {
    try withoutPrivileges(in: folder) {
      try makeDirectory("tree")
      for name in ["tree/a", "tree/b", "tree/c"] {
        try makeDirectory(name)
        try make(name + "/file")
      }
      try #require(unsafe chmod(folder("tree/b"), 0o555) == 0)
      #expect(!FileTree.remove(folder("tree")))
      #expect(try FilePath.names(in: folder("tree")) == ["b"])
      try #require(unsafe chmod(folder("tree/b"), 0o755) == 0)
      #expect(FileTree.remove(folder("tree")))
    }
  }

  /// An empty folder that may not be read can be removed nevertheless.
  @Test func anEmptyFolderThatMayNotBeReadIsRemoved() throws {
    try withoutPrivileges(in: folder) {
      try makeDirectory("tree")
      try makeDirectory("tree/dark")
      try #require(unsafe chmod(folder("tree/dark"), 0) == 0)
      #expect(FileTree.remove(folder("tree")))
    }
  }

  @Test func namesThatAreNotUTF8AreRemoved() throws {
    for name in [[0x63, 0xE9], [0xFF], [0xC3, 0x28]] as [[UInt8]] {
      let path = (out + "/").utf8CString.dropLast() + name.map(CChar.init(bitPattern:)) + [0]
      try #require(unsafe mkdir(Array(path), 0o755) == 0)
      let inner = path.dropLast() + "/".utf8CString.dropLast() + name.map(CChar.init(bitPattern:)) + [0]
      let descriptor = unsafe creat(Array(inner), 0o644)
      try #require(descriptor >= 0)
      close(descriptor)
    }
    #expect(FileTree.remove(out))
    #expect(folder.names == ["precious"])
  }

  @Test func aTreeThatIsTooDeepStaysAndIsTold() throws {
    var path = out
    for _ in 0..<300 {
      path += "/d"
      try #require(unsafe mkdir(path, 0o755) == 0)
    }
    #expect(!FileTree.remove(out))
    #expect(FilePath.kind(of: path) == .directory)
  }

  @Test func nothingIsRemovedWhereNothingIs() {
    #expect(FileTree.remove(folder("absent")) && FileTree.remove(folder("absent/inner")))
  }
}
