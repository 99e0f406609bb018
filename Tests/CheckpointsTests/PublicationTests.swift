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

  /// Publishes a file, or a directory that holds a file of this text as `model.safetensors`.
  private func publish(_ text: String, as kind: Publication.Kind, overwrite: Bool = false) throws {
    let publication = try Publication(to: out, kind: kind, overwrite: overwrite, synchronize: true)
    try OutputFile.write(Array(text.utf8), to: Self.target(publication, kind))
    try publication.publish()
  }

  private static func target(_ publication: Publication, _ kind: Publication.Kind) -> String {
    kind == .file ? publication.stagingPath : publication.path(for: "model.safetensors")
  }

  private func text(_ kind: Publication.Kind) throws -> String {
    try String(contentsOfFile: kind == .file ? out : out + "/model.safetensors", encoding: .utf8)
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

// MARK: - What can't be removed

extension PublicationTests {
  /// An output that holds a folder which may not be written, or a file in it.
  @Test func whatIsLeftOfAReplacedOutputIsToldUntilItIsRemoved() throws {
    try withoutPrivileges(in: folder) {
      try publish("first", as: .directory)
      try FileManager.default.createDirectory(atPath: out + "/cache", withIntermediateDirectories: false)
      try Data().write(to: URL(fileURLWithPath: out + "/cache/file"))
      try #require(unsafe chmod(out + "/cache", 0o555) == 0)
      try Data().write(to: URL(fileURLWithPath: out + "/second"))

      let notes = try replace("second")
      let left = try #require(folder.names.first)
      #expect(folder.names.count == 2 && notes.count == 1)
      #expect(notes.first?.contains(folder(left)) == true && notes.first?.contains("remove it") == true)
      #expect(FilePath.kind(of: folder(left) + "/new/second") == nil)
      #expect(try text(.directory) == "second")

      // As long as it is there each run tries again.
      #expect(try replace("third") == notes)
      try #require(unsafe chmod(folder(left) + "/new/cache", 0o755) == 0)
      #expect(try replace("fourth") == [])
      #expect(folder.names == ["out"])
    }
  }

  private func replace(_ text: String) throws -> [String] {
    let publication = try Publication(to: out, kind: .directory, overwrite: true, synchronize: false)
    try OutputFile.write(Array(text.utf8), to: Self.target(publication, .directory))
    return try publication.publish()
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

  /// Many programs keep a `config.json` or a `modules.json`.
  @Test(arguments: [
    ("config.json", #"{"auths":{}}"#), ("config.json", "[]"), ("config.json", "model_type"),
    ("modules.json", #"{"Modules":[]}"#), ("modules.json", #"["fs"]"#),
  ])
  func aDirectoryOfAnotherProgramIsNotReplaced(name: String, text: String) throws {
    try FileManager.default.createDirectory(atPath: out, withIntermediateDirectories: false)
    try Data(text.utf8).write(to: URL(fileURLWithPath: out + "/" + name))
    try Data("mine".utf8).write(to: URL(fileURLWithPath: out + "/key.pem"))
    #expect(try refusal(of: out).problem.contains("no model"))
    #expect(try String(contentsOfFile: out + "/key.pem", encoding: .utf8) == "mine")
  }

  @Test(arguments: [
    ("config.json", #"{"model_type": "bert"}"#), ("config.json", #"{"architectures": ["BertModel"]}"#),
    ("modules.json", #"[{"path": "0_Transformer", "type": "sentence_transformers.models.Transformer"}]"#),
    ("model.safetensors.index.json", ""), ("embedfuse.json", ""),
  ])
  func aDirectoryThatHoldsAModelIsReplaced(name: String, text: String) throws {
    try FileManager.default.createDirectory(atPath: out, withIntermediateDirectories: false)
    try Data(text.utf8).write(to: URL(fileURLWithPath: out + "/" + name))
    try publish("new", as: .directory, overwrite: true)
    #expect(try self.text(.directory) == "new")
    #expect(try FileManager.default.contentsOfDirectory(atPath: out) == ["model.safetensors"])
  }

  @Test func aDirectoryThatHoldsNoModelAnyMoreIsNotReplaced() throws {
    try publish("first", as: .directory)
    let publication = try Publication(to: out, kind: .directory, overwrite: true, synchronize: false)
    try FileManager.default.moveItem(atPath: out + "/model.safetensors", toPath: out + "/letters.txt")
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
