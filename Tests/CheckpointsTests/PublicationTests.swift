import Foundation
import Glibc
import TensorCore
import TestSupport
import Testing

@testable import Checkpoints

@Suite struct PublicationTests {
  private let folder: TemporaryFolder
  private var out: String { folder("out") }

  init() throws { folder = try TemporaryFolder() }

  /// Publishes a file, or a directory that holds a file of this text as `config.json`.
  private func publish(_ text: String, as kind: Publication.Kind, overwrite: Bool = false) throws {
    let publication = try Publication(to: out, kind: kind, overwrite: overwrite, synchronize: true)
    try OutputFile.write(Array(text.utf8), to: Self.target(publication, kind))
    try publication.publish()
  }

  private static func target(_ publication: Publication, _ kind: Publication.Kind) -> String {
    kind == .file ? publication.stagingPath : publication.path(for: "config.json")
  }

  private func text(_ kind: Publication.Kind) throws -> String {
    try String(contentsOfFile: kind == .file ? out : out + "/config.json", encoding: .utf8)
  }

  @Test(arguments: [Publication.Kind.file, .directory])
  func nothingHasTheNameUntilItIsPublished(kind: Publication.Kind) throws {
    let publication = try Publication(to: out, kind: kind, overwrite: false, synchronize: true)
    try OutputFile.write(Array("whole".utf8), to: Self.target(publication, kind))
    #expect(!folder.names.contains("out"))
    try publication.publish()
    #expect(try text(kind) == "whole")
    #expect(folder.names == ["out"])
  }

  @Test(arguments: [Publication.Kind.file, .directory])
  func anExistingOutputIsKeptWithoutForce(kind: Publication.Kind) throws {
    try publish("first", as: kind)
    let error = try #require(throws: EmbedFuseError.self) { try publish("second", as: kind) }
    #expect(error.code == .cannotCreate && error.path == out)
    #expect(error.remedy?.contains("--force") == true)
    #expect(try text(kind) == "first")
  }

  @Test(arguments: [Publication.Kind.file, .directory])
  func forceReplacesTheOutputWhenTheNewOneIsPublished(kind: Publication.Kind) throws {
    try publish("first", as: kind)
    if kind == .directory { try Data("x".utf8).write(to: URL(fileURLWithPath: out + "/only-in-the-first")) }
    let publication = try Publication(to: out, kind: kind, overwrite: true, synchronize: true)
    try OutputFile.write(Array("second".utf8), to: Self.target(publication, kind))
    #expect(try text(kind) == "first")
    try publication.publish()
    #expect(try text(kind) == "second")
    #expect(folder.names == ["out"])
    #expect(FilePath.kind(of: out + "/only-in-the-first") == nil)
  }

  @Test(arguments: [Publication.Kind.file, .directory])
  func forceMakesAnOutputThatIsNotThere(kind: Publication.Kind) throws {
    try publish("only", as: kind, overwrite: true)
    #expect(try text(kind) == "only")
  }

  @Test(arguments: [Publication.Kind.file, .directory])
  func anAbandonedOrForgottenOutputLeavesNothing(kind: Publication.Kind) throws {
    for abandons in [true, false] {
      let publication = try Publication(to: out, kind: kind, overwrite: false, synchronize: true)
      try OutputFile.write([1], to: Self.target(publication, kind))
      if abandons {
        publication.abandon()
        #expect(folder.names == [])
        #expect(throws: EmbedFuseError.self) { try publication.publish() }
      }
    }
    #expect(folder.names == [])
  }

  @Test(arguments: [Publication.Kind.file, .directory])
  func ofManyRacingRunsOneWins(kind: Publication.Kind) async throws {
    for _ in 0..<20 {
      let winners = try await withThrowingTaskGroup(of: Int?.self) { group in
        for number in 0..<8 {
          group.addTask {
            do {
              try publish("\(number)", as: kind)
              return number
            } catch let error as EmbedFuseError where error.code == .cannotCreate {
              return nil
            }
          }
        }
        return try await group.reduce(into: []) { if let number = $1 { $0.append(number) } }
      }
      try #require(winners.count == 1)
      #expect(try text(kind) == "\(winners[0])")
      #expect(folder.names == ["out"])
      try FileManager.default.removeItem(atPath: out)
    }
  }

  @Test func anOutputThatAppearsMeanwhileIsKept() throws {
    let publication = try Publication(to: out, kind: .file, overwrite: false, synchronize: false)
    try OutputFile.write([1], to: publication.stagingPath)
    try Data("other".utf8).write(to: URL(fileURLWithPath: out))
    let error = try #require(throws: EmbedFuseError.self) { try publication.publish() }
    #expect(error.code == .cannotCreate)
    publication.abandon()
    #expect(folder.names == ["out"])
    #expect(try text(.file) == "other")
  }
}

// MARK: - What is refused

extension PublicationTests {
  /// What preparing an output says.
  private func refusal(
    of path: String, kind: Publication.Kind = .directory, overwrite: Bool = true
  ) throws -> EmbedFuseError {
    let error = try #require(throws: EmbedFuseError.self) {
      try Publication(to: path, kind: kind, overwrite: overwrite, synchronize: false)
    }
    #expect(error.code == .cannotCreate && error.path == path)
    return error
  }

  @Test func aDirectoryThatHoldsNoModelIsNotReplaced() throws {
    try FileManager.default.createDirectory(atPath: out, withIntermediateDirectories: false)
    try Data("mine".utf8).write(to: URL(fileURLWithPath: out + "/letters.txt"))
    #expect(try refusal(of: out).problem.contains("no model"))
    #expect(try String(contentsOfFile: out + "/letters.txt", encoding: .utf8) == "mine")
  }

  @Test func aDirectoryThatHoldsNoModelAnyMoreIsNotReplaced() throws {
    try publish("first", as: .directory)
    let publication = try Publication(to: out, kind: .directory, overwrite: true, synchronize: false)
    try FileManager.default.moveItem(atPath: out + "/config.json", toPath: out + "/letters.txt")
    #expect(throws: EmbedFuseError.self) { try publication.publish() }
    #expect(FilePath.kind(of: out + "/letters.txt") != nil)
  }

  @Test func anEmptyDirectoryIsReplaced() throws {
    try FileManager.default.createDirectory(atPath: out, withIntermediateDirectories: false)
    try publish("model", as: .directory, overwrite: true)
    #expect(try text(.directory) == "model")
  }

  @Test func fileAndDirectoryDoNotReplaceEachOther() throws {
    try publish("file", as: .file)
    #expect(try refusal(of: out, kind: .directory).problem.contains("is a file"))
    try FileManager.default.removeItem(atPath: out)
    try publish("directory", as: .directory)
    #expect(try refusal(of: out, kind: .file).problem.contains("is a directory"))
  }

  @Test(arguments: [true, false]) func aSymbolicLinkIsNeitherFollowedNorReplaced(dangles: Bool) throws {
    if !dangles { try Data("target".utf8).write(to: URL(fileURLWithPath: folder("target"))) }
    try FileManager.default.createSymbolicLink(atPath: out, withDestinationPath: folder("target"))
    #expect(try refusal(of: out, kind: .file).problem.contains("symbolic link"))
    _ = try refusal(of: out, kind: .file, overwrite: false)
    #expect(folder.names == (dangles ? ["out"] : ["out", "target"]))
  }

  @Test func aPipeIsNotReplaced() throws {
    try #require(unsafe mkfifo(out, 0o600) == 0)
    #expect(try refusal(of: out, kind: .file).problem.contains("pipe"))
  }

  @Test func aMissingFolderIsNamed() throws {
    let error = try refusal(of: folder("absent/out"))
    #expect(error.problem.contains(folder("absent")) && error.remedy?.contains("mkdir") == true)
  }

  @Test func aNameOfItsOwnIsNeeded() throws {
    for path in ["/", ".", "..", folder("."), folder(".."), folder("a\0b")] { _ = try refusal(of: path) }
    #expect(folder.names == [])
  }

  @Test func aFolderThatCannotBeWrittenIsNamed() throws {
    // A process of root's may write to any folder, but not to this file system.
    let path = getuid() == 0 ? "/proc/out" : folder("locked/out")
    if getuid() != 0 {
      try FileManager.default.createDirectory(atPath: folder("locked"), withIntermediateDirectories: false)
      try #require(unsafe chmod(folder("locked"), 0o500) == 0)
    }
    let error = try refusal(of: path)
    #expect(error.errno != nil)
    #expect(getuid() == 0 || error.problem.contains("can't be written to"))
  }
}
