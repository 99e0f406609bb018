import Foundation
import Glibc
import TensorCore
import TestSupport
import Testing

@testable import Checkpoints

/// What a run that continues another takes over, and what it doesn't.
@Suite struct ContinuedRunTests {
  private let folder: TemporaryFolder
  private var out: String { folder("out") }

  init() throws { folder = try TemporaryFolder() }

  /// A staging folder that this process, or the one that started it, has left with so many records.
  @discardableResult
  private func makeLeftover(_ name: String, process: pid_t = getpid(), records: Int) throws -> String {
    let path = folder(".out.embedfuse-\(process)-\(name).tmp")
    for inner in ["/new", "/finished"] {
      try FileManager.default.createDirectory(atPath: path + inner, withIntermediateDirectories: true)
    }
    try Data("half".utf8).write(to: URL(fileURLWithPath: path + "/new/\(name)"))
    for record in 0..<records { try Data().write(to: URL(fileURLWithPath: path + "/finished/\(record)")) }
    try Data().write(to: URL(fileURLWithPath: path + "/lock"))
    return path
  }

  private func publication(overwrite: Bool = false) throws -> Publication {
    try Publication(to: out, kind: .directory, overwrite: overwrite, synchronize: false) { records in
      (try? FilePath.names(in: records))?.count ?? 0
    }
  }

  @Test func theFolderThatIsWorthMostIsTakenOverAndTheOthersGo() throws {
    try makeLeftover("11111111", records: 1)
    try makeLeftover("22222222", records: 3)
    try makeLeftover("33333333", records: 2)
    let publication = try publication()
    #expect(folder.names.count == 1 && FilePath.kind(of: publication.path(for: "22222222")) == .file)
    try publication.publish()
    #expect(folder.names == ["out"])
  }

  @Test func aProcessNumberThatIsUsedAgainDoesNotMatter() throws {
    try makeLeftover("11111111", process: getppid(), records: 1)
    let publication = try publication()
    #expect(FilePath.kind(of: publication.path(for: "11111111")) == .file)
  }

  @Test func whatIsWorthNothingIsRemoved() throws {
    try makeLeftover("11111111", records: 0)
    let publication = try publication()
    #expect(folder.names.count == 1 && FilePath.kind(of: publication.path(for: "11111111")) == nil)
  }

  @Test func aRunThatDiedOnceItsOutputWasPublishedIsNotContinued() throws {
    let leftover = try makeLeftover("11111111", records: 2)
    try FileManager.default.removeItem(atPath: leftover + "/new")
    let publication = try publication()
    #expect(publication.recordsPath != leftover + "/finished" && FilePath.kind(of: leftover) == nil)
  }

  @Test func aRunThatIsAliveIsNotTakenOver() throws {
    let alive = try Publication(to: out, kind: .directory, overwrite: false, synchronize: false)
    try OutputFile.makeDirectories(alive.recordsPath)
    try OutputFile.write([1], to: alive.recordsPath + "/1")
    let other = try publication()
    #expect(other.stagingPath != alive.stagingPath && FilePath.kind(of: alive.recordsPath + "/1") == .file)
  }

  @Test func whatIsKeptIsTakenOverByTheNextAndRemovedByOneThatContinuesNothing() throws {
    let first = try Publication(to: out, kind: .directory, overwrite: false, synchronize: false)
    try OutputFile.makeDirectories(first.recordsPath)
    try OutputFile.write([1], to: first.recordsPath + "/1")
    first.keep()
    let second = try publication()
    #expect(second.stagingPath == first.stagingPath)
    second.keep()
    let third = try Publication(to: out, kind: .directory, overwrite: false, synchronize: false)
    #expect(third.stagingPath != first.stagingPath && FilePath.kind(of: first.stagingPath) == nil)
  }

  @Test func anOutputThatWasMovedAsideReturns() throws {
    let leftover = try makeLeftover("11111111", records: 1)
    try FileManager.default.createDirectory(atPath: leftover + "/old", withIntermediateDirectories: true)
    try Data("{}".utf8).write(to: URL(fileURLWithPath: leftover + "/old/embedfuse.json"))
    let publication = try publication(overwrite: true)
    #expect(FilePath.kind(of: out + "/embedfuse.json") == .file)
    try publication.publish()
    #expect(FilePath.kind(of: out + "/11111111") == .file && folder.names == ["out"])
  }
}
