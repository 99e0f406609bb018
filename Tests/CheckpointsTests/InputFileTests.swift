import Foundation
import TensorCore
import TestSupport
import Testing

@testable import Checkpoints

@Suite struct InputFileTests {
  /// A file of 100 bytes that count up, in a folder of its own.
  private func withFile(_ body: (String) throws -> Void) throws {
    try withTemporaryFolder { folder in
      let path = folder + "/values"
      try Data(0..<100).write(to: URL(fileURLWithPath: path))
      try body(path)
    }
  }

  @Test func readsAndMapsTheSameBytes() throws {
    try withFile { path in
      let file = try InputFile(path)
      #expect(file.byteCount == 100)
      #expect(try file.bytes(37..<90) == Array(37..<90))
      let mapped = try file.withMappedBytes(37..<90) { bytes throws(EmbedFuseError) in
        bytes.indices.map { bytes[$0] }
      }
      #expect(mapped == Array(37..<90))
      #expect(try file.withMappedBytes(100..<100) { bytes throws(EmbedFuseError) in bytes.count } == 0)
    }
  }

  @Test func readLeavesTheRestOfTheBufferAlone() throws {
    try withFile { path in
      var buffer = [UInt8](repeating: 255, count: 6)
      var span = buffer.mutableSpan
      try InputFile(path).read(4, at: 96, into: &span)
      #expect(buffer == [96, 97, 98, 99, 255, 255])
    }
  }

  @Test func regionsOfPackedElementsAreCutAtBytes() throws {
    try withFile { path in
      let file = try InputFile(path)
      var buffer = [UInt8](repeating: 0, count: 3)
      var span = buffer.mutableSpan
      try file.storage(from: 10, elementType: .f6E2M3).read(4..<8, into: &span)
      #expect(buffer == [13, 14, 15])
    }
  }

  @Test func aFileTruncatedAfterItWasOpenedIsAnError() throws {
    try withFile { path in
      let file = try InputFile(path)
      _ = try file.withMappedBytes(0..<100) { bytes throws(EmbedFuseError) in bytes[99] }
      try #require(unsafe truncate(path, 60) == 0)
      let reading = try #require(throws: EmbedFuseError.self) { try file.bytes(50..<100) }
      #expect(reading.code == .inputOutput)
      #expect(reading.path == path && reading.offset == 60)
      #expect(reading.problem.contains("it had 100 bytes when it was opened"))
      let mapping = try #require(throws: EmbedFuseError.self) {
        try file.withMappedBytes(50..<100) { bytes throws(EmbedFuseError) in bytes[49] }
      }
      #expect(mapping.code == .inputOutput && mapping.path == path)
      #expect(try file.bytes(50..<60) == Array(50..<60))
    }
  }

  @Test func aFileReplacedByARenameReadsOnAsItWas() throws {
    try withFile { path in
      let file = try InputFile(path)
      try Data([1]).write(to: URL(fileURLWithPath: path + ".new"))
      try #require(unsafe rename(path + ".new", path) == 0)
      #expect(try file.bytes(99..<100) == [99])
    }
  }

  @Test func aMissingFileSaysSo() throws {
    let error = try #require(throws: EmbedFuseError.self) { try InputFile("/nowhere/at/all") }
    #expect(error.code == .missingInput && error.errno == ENOENT)
    #expect(error.description.contains("/nowhere/at/all: can't be opened for reading: No such file"))
  }

  @Test func aFileOfOurOwnThatIsGoneIsNoMissingInput() throws {
    let error = try #require(throws: EmbedFuseError.self) {
      try InputFile("/nowhere/at/all", isInput: false)
    }
    #expect(error.code == .inputOutput && error.errno == ENOENT)
    #expect(error.remedy == "the folder has gone; start again")
  }

  @Test func whatIsNoFileIsNamed() throws {
    try withTemporaryFolder { folder in
      let directory = try #require(throws: EmbedFuseError.self) { try InputFile(folder) }
      #expect(directory.code == .missingInput)
      #expect(directory.problem == "is a directory, but a file is expected")
      try #require(unsafe mkfifo(folder + "/pipe", 0o600) == 0)
      let pipe = try #require(throws: EmbedFuseError.self) { try InputFile(folder + "/pipe") }
      #expect(pipe.problem == "is a device, a pipe or a socket, but a file is expected")
    }
  }

  @Test func aPathIsNotCutAtItsNUL() throws {
    try withFile { path in
      let error = try #require(throws: EmbedFuseError.self) { try InputFile(path + "\0.safetensors") }
      #expect(error.code == .missingInput && error.problem.contains("NUL"))
    }
  }
}
