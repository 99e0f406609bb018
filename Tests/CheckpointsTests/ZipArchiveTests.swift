import Foundation
import TestSupport
import Testing

@testable import Checkpoints
@testable import TensorCore

@Suite struct ZipArchiveTests {
  let folder = try! TemporaryFolder()

  private func archive(_ bytes: [UInt8]) throws -> ZipArchive {
    let path = folder("a.zip")
    try Data(bytes).write(to: URL(fileURLWithPath: path))
    return try ZipArchive(try InputFile(path))
  }

  /// The message with which the archive that `change` makes is refused.
  private func refusal(_ change: (inout ZipBuilder) -> Void) -> String {
    var builder = ZipBuilder()
    builder.entries = [
      .init("a/one", Array(0..<100)), .init("a/two", [UInt8](repeating: 7, count: 5000), deflated: true),
    ]
    change(&builder)
    do {
      let archive = try archive(builder.bytes)
      for entry in archive.entries { _ = try archive.contents(of: entry, limit: 1 << 20) }
      return "accepted"
    } catch let error as EmbedFuseError {
      return error.code == .badData ? error.problem : "\(error.code)"
    } catch {
      return "\(error)"
    }
  }

  @Test(arguments: [false, true]) func readsStoredAndDeflatedEntries(zip64: Bool) throws {
    var builder = ZipBuilder()
    builder.zip64 = zip64
    builder.entries = [
      .init("a/one", Array(0..<100)), .init("a/empty", []), .init("a/none", [], deflated: true),
      .init("a/two", [UInt8](repeating: 7, count: 5000), deflated: true),
    ]
    let archive = try archive(builder.bytes)
    #expect(archive.entries.map(\.name) == ["a/one", "a/empty", "a/none", "a/two"])
    for (entry, wanted) in zip(archive.entries, builder.entries) {
      let contents = try archive.contents(of: entry, limit: 5000)
      #expect(contents == wanted.data)
    }
    #expect(archive["a/two"]?.byteCount == 5000)
    #expect(archive["a/three"] == nil)
  }

  @Test func zip64SizesStandInTheExtraField() throws {
    var builder = ZipBuilder()
    var entry = ZipBuilder.Entry("a", [1, 2, 3])
    entry.byteCount = 0xFFFF_FFFF
    entry.compressedByteCount = 0xFFFF_FFFF
    entry.extra = [0x46, 0x42, 1, 0, 9, 1, 0, 16, 0, 3, 0, 0, 0, 0, 0, 0, 0, 3, 0, 0, 0, 0, 0, 0, 0]
    builder.entries = [entry]
    let archive = try archive(builder.bytes)
    let contents = try archive.contents(of: archive.entries[0], limit: 3)
    #expect(contents == [1, 2, 3])
  }

  /// 12 MB of text in many blocks, asked for forwards, backwards and by several tasks at once.
  @Test func deflatedEntriesAreReadAtAnyPosition() async throws {
    var generator = SeededGenerator(seed: 5)
    let values = generator.bytes(12_000_000, mask: 0x17)
    var builder = ZipBuilder()
    builder.entries = [.init("first", [1]), .init("values", values, deflated: true)]
    let archive = try archive(builder.bytes)
    let source = archive.source(of: archive.entries[1])
    var starts = (0..<40).map { _ in Int(generator.next() % 11_900_000) }
    starts += [0, 11_999_999, 11_000_000, 5]
    try await withThrowingTaskGroup(of: Bool.self) { group in
      for start in starts {
        group.addTask {
          let range = start..<min(start + 70_000, values.count)
          return try source.bytes(range) == Array(values[range])
        }
      }
      for try await isEqual in group { #expect(isEqual) }
    }
    let all = try source.bytes(0..<values.count)
    #expect(all == values)
  }

  @Test func trailingJunkIsIgnored() throws {
    var builder = ZipBuilder()
    builder.entries = [.init("a", [1])]
    let archive = try archive(builder.bytes + [UInt8](repeating: 65, count: 1000))
    #expect(archive.entries.count == 1)
  }

  @Test func refusesNamesThatOccurTwice() {
    #expect(refusal { $0.entries[1].name = Array("a/one".utf8) }.contains("two entries named a/one"))
  }

  @Test func refusesOverlappingEntries() {
    // The second record repeats the first's header under its name.
    let problem = refusal {
      $0.entries[1] = .init("a/one", Array(0..<100))
      $0.entries[1].offset = 0
    }
    #expect(problem.contains("overlaps"))
  }

  @Test func refusesHeadersThatContradictTheDirectory() {
    #expect(refusal { $0.entries[0].localName = Array("a/tow".utf8) }.contains("contradicts"))
    #expect(refusal { $0.entries[0].localChecksum = 1 }.contains("contradicts"))
  }

  @Test func refusesOtherMethods() {
    #expect(refusal { $0.entries[0].method = 14 }.contains("compressed by method 14"))
  }

  @Test func refusesEncryption() {
    #expect(refusal { $0.entries[0].flags = 1 }.contains("encrypted"))
  }

  @Test func refusesSeveralVolumes() {
    #expect(refusal { $0.disk = 1 }.contains("several volumes"))
  }

  @Test func refusesStoredSizesThatDiffer() {
    #expect(refusal { $0.entries[0].byteCount = 101 }.contains("can't have 101 bytes in 100"))
  }

  @Test func refusesSizesThatDeflateCannotReach() {
    #expect(refusal { $0.entries[1].byteCount = 4_000_000_000 }.contains("can't have 4000000000 bytes"))
  }

  @Test func refusesInflatedSizesOtherThanTheDirectorys() {
    #expect(refusal { $0.entries[1].byteCount = 4999 }.contains("more than its 4999 bytes"))
    #expect(refusal { $0.entries[1].byteCount = 5001 }.contains("end after 5000 of 5001 bytes"))
  }

  @Test func refusesEntriesBeyondTheLimit() {
    #expect(
      refusal { $0.entries[1].data = [UInt8](repeating: 0, count: 1 << 21) }.contains("at most 1048576"))
  }

  @Test func refusesBytesWithAnotherChecksum() {
    #expect(refusal { $0.entries[0].checksum = 3 }.contains("CRC-32"))
    #expect(refusal { $0.entries[1].checksum = 3 }.contains("CRC-32"))
  }

  @Test func refusesADirectoryOutsideOfTheFile() {
    #expect(refusal { $0.directoryOffset = 1 << 20 }.contains("doesn't stand within the file"))
  }

  @Test func refusesAWrongNumberOfEntries() {
    #expect(refusal { $0.entryCount = 1 }.contains("goes on after its 1 entries"))
    #expect(refusal { $0.entryCount = 3 }.contains("102 bytes for 3 entries"))
  }

  /// Changes bytes of the archive itself: those behind the place of some first ones.
  private func refusal(of signature: [UInt8], _ offset: Int, _ bytes: [UInt8], zip64: Bool = false) throws
    -> String
  {
    var builder = ZipBuilder()
    builder.zip64 = zip64
    builder.entries = [.init("a/one", Array(0..<100))]
    var archive = builder.bytes
    let place = try #require(archive.firstRange(of: signature)).lowerBound + offset
    archive.replaceSubrange(place..<place + bytes.count, with: bytes)
    return try #require(throws: EmbedFuseError.self) { try self.archive(archive) }.problem
  }

  @Test func refusesRecordsThatAreNotWhereTheyShouldBe() throws {
    let (header, entry, end64, locator) =
      (
        [0x50, 0x4B, 3, 4], [0x50, 0x4B, 1, 2], [0x50, 0x4B, 6, 6], [0x50, 0x4B, 6, 7]
      ) as ([UInt8], [UInt8], [UInt8], [UInt8])
    #expect(try refusal(of: header, 0, [0]).contains("a/one of the zip archive has no header here"))
    #expect(try refusal(of: entry, 0, [0]).contains("has no entry here, where one is due"))
    // The length of a name; the place of the header; the length of the header's extra field.
    #expect(try refusal(of: entry, 28, [0xFF]).contains("directory goes beyond it"))
    #expect(try refusal(of: entry, 42, [200]).contains("starts beyond its data"))
    #expect(try refusal(of: header, 28, [1]).contains("goes beyond its data"))
    #expect(try refusal(of: end64, 0, [0], zip64: true).contains("zip64 end record is missing"))
    #expect(try refusal(of: locator, 8, [0xFF, 0xFF], zip64: true).contains("zip64 end record is missing"))
    #expect(try refusal(of: end64, 16, [1], zip64: true).contains("several volumes"))
  }

  @Test func refusesCompressedSizesThatAreNotTheStreams() {
    func sized(_ difference: Int) -> String {
      refusal {
        let data = ZipBuilder.deflate([UInt8](repeating: 7, count: 5000))
        $0.entries[1].data =
          difference < 0 ? Array(data.dropLast(-difference)) : data + [UInt8](repeating: 0, count: difference)
        $0.entries[1].deflated = false
        $0.entries[1].method = 8
        $0.entries[1].byteCount = 5000
        $0.entries[1].checksum = ZipBuilder.crc([UInt8](repeating: 7, count: 5000))
      }
    }
    #expect(sized(0) == "accepted")
    #expect(sized(-3).contains("its compressed data stop"), "\(sized(-3))")
    #expect(sized(2).contains("its compressed data end before"), "\(sized(2))")
  }

  @Test func refusesNamesThatAreNotUTF8() {
    #expect(refusal { $0.entries[0].name = [0xFF] }.contains("no UTF-8"))
  }

  @Test func refusesBrokenDeflateStreams() {
    let problem = refusal {
      $0.entries[1].data = [0xFF, 0xFF, 0xFF]
      $0.entries[1].deflated = false
      $0.entries[1].method = 8
      $0.entries[1].byteCount = 10
    }
    #expect(problem.contains("broken after 0 bytes"))
  }

  @Test func refusesFilesWithoutDirectory() {
    for bytes in [[], [0x50, 0x4B, 3, 4], [UInt8](repeating: 0, count: 300)] as [[UInt8]] {
      #expect(throws: EmbedFuseError.self) { try archive(bytes) }
    }
  }

  @Test func everyTruncationIsRefused() throws {
    var builder = ZipBuilder()
    builder.zip64 = true
    builder.entries = [
      .init("a/one", [1, 2, 3]), .init("a/two", [UInt8](repeating: 0, count: 99), deflated: true),
    ]
    let whole = builder.bytes
    for count in 0..<whole.count {
      #expect(throws: EmbedFuseError.self) { try archive(Array(whole[..<count])) }
    }
  }
}
