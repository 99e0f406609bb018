import Checkpoints
import Foundation
import TensorCore
import TestSupport
import Testing

/// Inputs that other programs change while they are read.
@Suite struct ChangingInputTests {
  private static func file(_ count: Int, in folder: TemporaryFolder) throws -> String {
    let path = folder("input")
    try Data(repeating: 7, count: count).write(to: URL(fileURLWithPath: path))
    return path
  }

  /// Without care the second look at the mapping would be a SIGBUS, which ends the process.
  @Test func aMappedFileThatIsCutShortIsAnErrorAndNoSignal() throws {
    let folder = try TemporaryFolder()
    let path = try Self.file(1 << 20, in: folder)
    let file = try InputFile(path)
    let writer = try FileHandle(forUpdating: URL(fileURLWithPath: path))
    let error = #expect(throws: EmbedFuseError.self) {
      try file.withMappedBytes(0..<1 << 20) { bytes in
        #expect(bytes[0] == 7)
        try? writer.truncate(atOffset: 4096)
        #expect(bytes[(1 << 20) - 1] == 0)
      }
    }
    #expect(error?.code == .inputOutput)
    #expect(error?.problem.contains("has become shorter") == true)
    // What is still there can be read.
    #expect(try file.bytes(4095..<4096) == [7])
    try file.withMappedBytes(0..<4096) { bytes in #expect(bytes[4095] == 7) }
  }

  /// A process may read several files at once: one that is cut short is no error of the others.
  @Test func aFileThatIsCutShortIsNoErrorOfAnother() throws {
    let folder = try TemporaryFolder()
    let path = try Self.file(1 << 20, in: folder)
    try Data(repeating: 5, count: 4096).write(to: URL(fileURLWithPath: folder("other")))
    let other = try InputFile(folder("other"))
    let writer = try FileHandle(forUpdating: URL(fileURLWithPath: path))
    // As often as lost pages are remembered, and more.
    for _ in 0..<1100 {
      try writer.truncate(atOffset: 1 << 20)
      let shortened = try InputFile(path)
      try other.withMappedBytes(0..<4096) { bytes in
        #expect(throws: EmbedFuseError.self) {
          try shortened.withMappedBytes(0..<1 << 20) { bytes in
            try? writer.truncate(atOffset: 4096)
            #expect(bytes[(1 << 20) - 1] == 0)
          }
        }
        #expect(bytes[4095] == 5)
      }
    }
  }

  /// A program that uses the library may map files itself: what becomes of them isn't hidden from it.
  @Test func anothersMappingThatIsCutShortIsStillItsOwnAffair() async {
    await #expect(processExitsWith: .signal(SIGBUS)) {
      unsafe setenv("SWIFT_BACKTRACE", "enable=no", 1)
      let folder = try TemporaryFolder()
      let path = try ChangingInputTests.file(8192, in: folder)
      let file = try InputFile(path)
      try file.withMappedBytes(0..<8192) { bytes in #expect(bytes[8191] == 7) }
      let descriptor = unsafe open(path, O_RDWR)
      let own = unsafe mmap(nil, 8192, PROT_READ, MAP_SHARED, descriptor, 0)!
      #expect(ftruncate(descriptor, 0) == 0)
      #expect(unsafe own.load(fromByteOffset: 4096, as: UInt8.self) == 0)
    }
  }

  @Test func aFileThatIsWrittenToIsNoticed() throws {
    let folder = try TemporaryFolder()
    let path = try Self.file(100, in: folder)
    let log = InputLog()
    let file = try log.noting { () throws(EmbedFuseError) in try InputFile(path) }
    #expect(log.paths == [path])
    try log.checkUnchanged()
    // A tick of the file system's clock.
    usleep(20_000)
    let handle = try FileHandle(forUpdating: URL(fileURLWithPath: path))
    try handle.write(contentsOf: Data([8]))
    try handle.close()
    let error = #expect(throws: EmbedFuseError.self) { try log.checkUnchanged() }
    #expect(error?.description.contains("\(path): changed while it was read") == true)
    withExtendedLifetime(file) {}
  }

  /// It was read to its end as it was when it was opened.
  @Test func aFileThatIsReplacedOrRemovedIsNoMatter() throws {
    let folder = try TemporaryFolder()
    let path = try Self.file(100, in: folder)
    let log = InputLog()
    let file = try log.noting { () throws(EmbedFuseError) in try InputFile(path) }
    try Data(repeating: 9, count: 50).write(to: URL(fileURLWithPath: folder("other")))
    try FileManager.default.removeItem(atPath: path)
    try FileManager.default.moveItem(atPath: folder("other"), toPath: path)
    try log.checkUnchanged()
    #expect(try file.bytes(99..<100) == [7])
    try FileManager.default.removeItem(atPath: path)
    try log.checkUnchanged()
    // Opened again it is another file than before.
    try Data(repeating: 9, count: 50).write(to: URL(fileURLWithPath: path))
    _ = try log.noting { () throws(EmbedFuseError) in try InputFile(path) }
    #expect(throws: EmbedFuseError.self) { try log.checkUnchanged() }
  }
}
