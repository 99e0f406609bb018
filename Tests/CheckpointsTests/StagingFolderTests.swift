import Foundation
import Glibc
import TensorCore
import TestSupport
import Testing

@testable import Checkpoints

/// What one run leaves to the next, and what it takes from others.
@Suite struct StagingFolderTests {
  private let folder: TemporaryFolder
  private var out: String { folder("out") }

  init() throws { folder = try TemporaryFolder() }

  /// The number of a process that has ended.
  private static func deadProcess() throws -> pid_t {
    let process = Process()
    process.executableURL = URL(fileURLWithPath: "/bin/true")
    try process.run()
    process.waitUntilExit()
    return process.processIdentifier
  }

  /// A staging folder with half an output, as a run of this process number leaves it.
  @discardableResult
  private func makeLeftover(process: pid_t, locked: Bool = true) throws -> String {
    let path = folder(".out.embedfuse-\(process)-89abcdef.tmp")
    try FileManager.default.createDirectory(atPath: path + "/new", withIntermediateDirectories: true)
    try Data("half".utf8).write(to: URL(fileURLWithPath: path + "/new/model.safetensors"))
    if locked { try Data().write(to: URL(fileURLWithPath: path + "/lock")) }
    return path
  }

  private func publishNext() throws {
    let publication = try Publication(to: out, kind: .file, overwrite: true, synchronize: false)
    try OutputFile.write([1], to: publication.stagingPath)
    try publication.publish()
  }

  @Test func whatADeadRunLeftIsRemoved() throws {
    try makeLeftover(process: Self.deadProcess())
    try publishNext()
    #expect(folder.names == ["out"])
  }

  /// In containers small numbers come again with every run.
  @Test func aDeadRunIsKnownByItsLockWhateverProcessHasItsNumber() throws {
    for process in [getpid(), getppid(), 1] {
      try makeLeftover(process: process)
      try publishNext()
      #expect(folder.names == ["out"])
    }
  }

  @Test func anEmptyFolderOfARunThatDiedBeforeItMadeItsLockIsRemoved() throws {
    try FileManager.default.createDirectory(
      atPath: folder(".out.embedfuse-1-89abcdef.tmp"), withIntermediateDirectories: false)
    try publishNext()
    #expect(folder.names == ["out"])
  }

  /// Nobody can say then whether its run lives.
  @Test func whatHasNoLockFileButIsNotEmptyIsKeptAndTold() throws {
    let leftover = try makeLeftover(process: Self.deadProcess(), locked: false)
    let publication = try Publication(to: out, kind: .file, overwrite: true, synchronize: false)
    try OutputFile.write([1], to: publication.stagingPath)
    let notes = try publication.publish()
    #expect(notes.count == 1 && notes.first?.contains(leftover) == true)
    #expect(FilePath.kind(of: leftover + "/new/model.safetensors") != nil)
  }

  @Test func whatIsLockedIsKept() throws {
    let leftover = try makeLeftover(process: Self.deadProcess())
    let lock = unsafe open(leftover + "/lock", O_RDWR | O_CLOEXEC)
    try #require(lock >= 0 && flock(lock, LOCK_EX) == 0)
    try publishNext()
    #expect(FilePath.kind(of: leftover + "/new/model.safetensors") != nil)
    close(lock)
    try publishNext()
    #expect(folder.names == ["out"])
  }

  @Test func aRunOfThisProcessThatIsUnderwayIsKept() throws {
    let first = try Publication(to: out, kind: .file, overwrite: true, synchronize: false)
    try OutputFile.write([9], to: first.stagingPath)
    try publishNext()
    try first.publish()
    #expect(try Data(contentsOf: URL(fileURLWithPath: out)) == Data([9]))
    #expect(folder.names == ["out"])
  }

  @Test func namesThatOnlyLookAlikeAreKept() throws {
    let dead = try Self.deadProcess()
    let names = [
      ".out2.embedfuse-\(dead)-89abcdef.tmp", ".out.embedfuse-\(dead)-89abcdef", ".out.embedfuse-notes.tmp",
      ".out.embedfuse-\(dead)-89abcdef.tmp.old", ".out.embedfuse--1-89abcdef.tmp",
    ]
    for name in names {
      try FileManager.default.createDirectory(atPath: folder(name), withIntermediateDirectories: false)
      try Data().write(to: URL(fileURLWithPath: folder(name) + "/lock"))
    }
    try publishNext()
    #expect(folder.names == (names + ["out"]).sorted())
  }

  @Test func anOldOutputThatADeadRunMovedAsideReturns() throws {
    let leftover = try makeLeftover(process: Self.deadProcess())
    try FileManager.default.createDirectory(atPath: leftover + "/old", withIntermediateDirectories: false)
    try Data("old".utf8).write(to: URL(fileURLWithPath: leftover + "/old/config.json"))
    let error = try #require(throws: EmbedFuseError.self) {
      try Publication(to: out, kind: .directory, overwrite: false, synchronize: false)
    }
    #expect(error.problem.contains("exists already"))
    #expect(folder.names == ["out"])
    #expect(try String(contentsOfFile: out + "/config.json", encoding: .utf8) == "old")
  }

  @Test func aNameAsLongAsTheSystemAllowsCanBePublished() throws {
    let path = folder(String(repeating: "n", count: 255))
    let publication = try Publication(to: path, kind: .file, overwrite: false, synchronize: false)
    try OutputFile.write([1], to: publication.stagingPath)
    try publication.publish()
    #expect(FilePath.kind(of: path) != nil)
  }
}

/// Among others the ways for file systems that know no flags of `renameat2`, taken here on one that does.
@Suite struct OutputNameTests {
  private let folder: TemporaryFolder

  init() throws { folder = try TemporaryFolder() }

  private func make(_ name: String, _ text: String, directory: Bool) throws -> String {
    let path = folder(name)
    if directory { try FileManager.default.createDirectory(atPath: path, withIntermediateDirectories: false) }
    try Data(text.utf8).write(to: URL(fileURLWithPath: directory ? path + "/config.json" : path))
    return path
  }

  private func text(_ path: String, directory: Bool) throws -> String {
    try String(contentsOfFile: directory ? path + "/config.json" : path, encoding: .utf8)
  }

  @Test(arguments: [false, true]) func aFreeNameIsGiven(directory: Bool) throws {
    let new = try make("new", "new", directory: directory)
    try OutputName.giveWithoutFlags(folder("out"), to: new, isDirectory: directory)
    #expect(folder.names == ["out"])
    #expect(try text(folder("out"), directory: directory) == "new")
  }

  @Test(arguments: [false, true], [false, true])
  func aTakenNameIsNotGiven(directory: Bool, withFlags: Bool) throws {
    let new = try make("new", "new", directory: directory)
    let out = try make("out", "first", directory: directory)
    let give = withFlags ? OutputName.give : OutputName.giveWithoutFlags
    let error = try #require(throws: EmbedFuseError.self) { try give(out, new, directory) }
    #expect(error.code == .cannotCreate)
    #expect(try text(out, directory: directory) == "first")
    #expect(try text(new, directory: directory) == "new")
  }

  @Test func aDirectoryIsReplacedByTwoRenames() throws {
    let new = try make("new", "new", directory: true)
    let out = try make("out", "first", directory: true)
    try OutputName.replaceWithoutFlags(out, by: new, movingAsideTo: folder("old"))
    #expect(folder.names == ["old", "out"])
    #expect(try text(out, directory: true) == "new")
    #expect(try text(folder("old"), directory: true) == "first")
  }

  @Test func whereTheSecondRenameFailsTheOldOutputReturns() throws {
    let out = try make("out", "first", directory: true)
    let error = try #require(throws: EmbedFuseError.self) {
      try OutputName.replaceWithoutFlags(out, by: folder("absent"), movingAsideTo: folder("old"))
    }
    #expect(error.code == .inputOutput)
    #expect(folder.names == ["out"])
    #expect(try text(out, directory: true) == "first")
  }
}
