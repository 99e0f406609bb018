import Foundation
import Glibc
import TensorCore
import TestSupport
import Testing

@testable import Checkpoints

@Suite struct OutputFileTests {
  private let folder: TemporaryFolder
  private var path: String { folder("file") }

  init() throws { folder = try TemporaryFolder() }

  @Test func manyWritersFillOneFile() async throws {
    // More than it takes for write-back to begin.
    let (count, length) = (40, 1 << 20)
    let file = try OutputFile(creating: path, byteCount: count * length)
    try await withThrowingTaskGroup { group in
      for index in (0..<count).reversed() {
        group.addTask {
          try file.write(
            [UInt8](repeating: UInt8(index), count: length).span, at: index * length)
        }
      }
      try await group.waitForAll()
    }
    try file.close()
    let bytes = [UInt8](try Data(contentsOf: URL(fileURLWithPath: path)))
    #expect(bytes.count == count * length)
    #expect(
      (0..<count).allSatisfy { index in
        bytes[index * length] == index && bytes[(index + 1) * length - 1] == index
      })
  }

  @Test func theFileHasItsSizeBeforeItIsWritten() throws {
    let file = try OutputFile(creating: path, byteCount: 12_345)
    #expect(try InputFile(path).byteCount == 12_345)
    try file.close()
  }

  @Test(arguments: ["file", "link", "dangling"]) func nothingThatIsThereIsOpened(name: String) throws {
    try Data("mine".utf8).write(to: URL(fileURLWithPath: path))
    try FileManager.default.createSymbolicLink(atPath: folder("link"), withDestinationPath: path)
    try FileManager.default.createSymbolicLink(
      atPath: folder("dangling"), withDestinationPath: folder("absent"))
    let error = try #require(throws: EmbedFuseError.self) { try OutputFile(creating: folder(name)) }
    #expect(error.code == .cannotCreate && error.errno == EEXIST)
    #expect(try String(contentsOfFile: path, encoding: .utf8) == "mine")
    #expect(FilePath.kind(of: folder("absent")) == nil)
  }

  @Test func theUmaskDecidesWhoMayReadIt() throws {
    try OutputFile.write([1], to: path)
    let mask = umask(0)
    umask(mask)
    var info = stat()
    try #require(unsafe stat(path, &info) == 0)
    #expect(info.st_mode & 0o777 == 0o666 & ~mask)
  }

  /// A file system in memory refuses at once what is larger than itself.
  private static let memory: (path: String, byteCount: Int)? = {
    let mounts = (try? String(contentsOfFile: "/proc/mounts", encoding: .utf8)) ?? ""
    var info = statvfs()
    guard mounts.contains(" /dev/shm tmpfs "), unsafe access("/dev/shm", W_OK) == 0,
      unsafe statvfs("/dev/shm", &info) == 0, info.f_blocks > 0
    else { return nil }
    return ("/dev/shm", Int(info.f_blocks) * Int(info.f_frsize))
  }()

  @Test(.enabled(if: memory != nil, "/dev/shm must be a file system in memory, of limited size"))
  func aDiskThatIsTooSmallIsFoundBeforeAnythingIsWritten() throws {
    let (directory, byteCount) = try #require(Self.memory)
    let path = "\(directory)/embedfuse-test-\(UUID().uuidString)"
    defer { unsafe unlink(path) }
    let error = try #require(throws: EmbedFuseError.self) {
      try OutputFile(creating: path, byteCount: byteCount + 4096)
    }
    #expect(error.code == .inputOutput && error.errno == ENOSPC && error.path == path)
    #expect(error.problem.contains("\(byteCount + 4096) bytes are needed"))
    #expect(error.problem.contains("are free on the file system"))
    #expect(error.remedy?.contains("free some space") == true)
  }
}

// MARK: - Limits and deaths, each in a process of its own

extension OutputFileTests {
  @Test func aLimitOnTheSizeOfFilesEndsAWriteWhereItIsReached() async {
    await #expect(processExitsWith: .success) {
      try withTemporaryFolder { folder in
        try #require(Self.limitFiles(to: 4096))
        let file = try OutputFile(creating: folder + "/file")
        let error = try #require(throws: EmbedFuseError.self) {
          try file.write([UInt8](repeating: 1, count: 10_000).span, at: 0)
        }
        #expect(error.code == .inputOutput && error.errno == EFBIG && error.offset == 4096)
        #expect(error.remedy?.contains("ulimit -f") == true)
      }
    }
  }

  @Test func aPublicationThatFailsForLackOfRoomLeavesNothing() async {
    await #expect(processExitsWith: .success) {
      try withTemporaryFolder { folder in
        try #require(Self.limitFiles(to: 4096))
        let error = try #require(throws: EmbedFuseError.self) {
          let publication = try Publication(
            to: folder + "/out", kind: .directory, overwrite: false, synchronize: true)
          _ = try OutputFile(creating: publication.path(for: "model.safetensors"), byteCount: 10_000)
          try publication.publish()
        }
        #expect(error.code == .inputOutput && error.errno == EFBIG)
        #expect(try FilePath.names(in: folder) == [])
      }
    }
  }

  @Test func aRunThatIsKilledLeavesNoResultAndTheNextCleansUp() async throws {
    let (folder, out) = (folder.path, folder("out"))
    await #expect(processExitsWith: .signal(SIGKILL)) { [out = out as String] in
      let publication = try Publication(to: out, kind: .directory, overwrite: false, synchronize: true)
      try OutputFile.write([1], to: publication.path(for: "config.json"))
      kill(getpid(), SIGKILL)
    }
    let left = try FilePath.names(in: folder)
    #expect(left.count == 1 && left[0].hasPrefix(".out.embedfuse-"))
    let next = try Publication(to: out, kind: .file, overwrite: false, synchronize: true)
    try OutputFile.write([2], to: next.stagingPath)
    try next.publish()
    #expect(try FilePath.names(in: folder) == ["out"])
  }

  private static func limitFiles(to byteCount: UInt) -> Bool {
    signal(SIGXFSZ, SIG_IGN)
    var limit = rlimit(rlim_cur: byteCount, rlim_max: byteCount)
    return unsafe setrlimit(__rlimit_resource_t(RLIMIT_FSIZE.rawValue), &limit) == 0
  }
}
