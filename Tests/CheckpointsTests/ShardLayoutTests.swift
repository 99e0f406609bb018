import Foundation
import TensorCore
import TestSupport
import Testing

@testable import Checkpoints

/// Shards shared out among parts, read again, and given second names.
@Suite struct ShardLayoutTests {
  private static func layout(_ sizes: [UInt], limit: Int) throws -> ShardLayout {
    try ShardLayout(
      try sizes.enumerated().map { place, size in
        let info = TensorInfo(name: "w\(place)", elementType: .u8, shape: Shape([size])!)
        return .init(folder: place % 5 == 4 ? "2_Dense" : "", info: try #require(info))
      }, maximumShardBytes: limit)
  }

  @Test(arguments: 1...40) func everyShardHasOnePartAndPartsAreAlike(_ count: Int) throws {
    var generator = SeededGenerator(seed: UInt64(count))
    let sizes = (0..<60).map { _ in UInt.random(in: 0...1000, using: &generator) }
    let layout = try Self.layout(sizes, limit: 2000)
    let shares = layout.shares(of: count)
    #expect(shares.count == count && shares.flatMap { $0 }.sorted() == Array(layout.shards.indices))
    let loads = shares.map { $0.reduce(0) { $0 + layout.shards[$1].byteCount } }
    #expect(loads.max()! - loads.min()! <= layout.shards.map(\.byteCount).max()!, "\(loads)")
    #expect(layout.shares(of: count) == shares)
  }

  @Test func aShardIsReadAgainOnlyAsItWasWritten() throws {
    let folder = try TemporaryFolder()
    let layout = try Self.layout([40, 30, 20, 60, 50], limit: 60)
    let writer = try ModelDirectoryWriter(in: folder.path, layout, making: [1])
    #expect(folder.names == ["model-00002-of-00003.safetensors"])
    for (tensor, value) in zip(layout.shards[1].tensors, [UInt8(7), 8]) {
      let size = layout.placements[tensor].info.byteCount
      try writer.write([UInt8](repeating: value, count: size).span, of: tensor, at: 0..<size)
    }
    try writer.finish()
    let path = folder("model-00002-of-00003.safetensors")
    let tensors = try layout.tensors(ofShard: 1, writtenAt: path)
    #expect(tensors.map(\.info.name) == ["w1", "w2"])
    var bytes = [UInt8](repeating: 0, count: 20)
    var span = bytes.mutableSpan
    try tensors[1].storage.read(0..<20, into: &span)
    #expect(bytes == [UInt8](repeating: 8, count: 20))
    let wrong = try #require(throws: EmbedFuseError.self) { try layout.tensors(ofShard: 0, writtenAt: path) }
    #expect(wrong.code == .badData)
    try FileManager.default.createSymbolicLink(atPath: folder("link"), withDestinationPath: path)
    let link = try #require(throws: EmbedFuseError.self) {
      try layout.tensors(ofShard: 1, writtenAt: folder("link"))
    }
    #expect(link.problem.contains("symbolic link"))
    var data = try Data(contentsOf: URL(fileURLWithPath: path))
    data[12] ^= 1
    try data.write(to: URL(fileURLWithPath: path))
    let header = try #require(throws: EmbedFuseError.self) { try layout.tensors(ofShard: 1, writtenAt: path) }
    #expect(header.problem.contains("another header"))
  }

  @Test func aFileIsCopiedWhereItCantBeLinked() throws {
    let folder = try TemporaryFolder()
    let data = Data((0..<3_000_000).map { UInt8(truncatingIfNeeded: $0 &* 2_654_435_761 >> 13) })
    try data.write(to: URL(fileURLWithPath: folder("file")))
    try FinishedFile.copy(folder("file"), to: folder("copy"))
    try FinishedFile.place(folder("file"), at: folder("deep/er/link"))
    for name in ["copy", "deep/er/link"] {
      #expect(FileManager.default.contents(atPath: folder(name)) == data)
    }
    let error = try #require(throws: EmbedFuseError.self) {
      try FinishedFile.place(folder("file"), at: folder("copy"))
    }
    #expect(error.code == .cannotCreate)
  }

  @Test func othersAreRemovedAndLinksAreNotFollowed() throws {
    let (folder, outside) = (try TemporaryFolder(), try TemporaryFolder())
    for path in [folder("keep"), folder("drop"), outside("safe")] {
      try Data("x".utf8).write(to: URL(fileURLWithPath: path))
    }
    for name in ["a", "b"] {
      try FileManager.default.createDirectory(atPath: folder(name), withIntermediateDirectories: true)
      try Data("x".utf8).write(to: URL(fileURLWithPath: folder(name + "/file")))
    }
    try FileManager.default.createSymbolicLink(atPath: folder("link"), withDestinationPath: outside.path)
    FinishedFile.removeOthers(in: folder.path, keeping: ["keep", "b/file"])
    #expect(folder.names == ["b", "keep"] && outside.names == ["safe"])
    #expect(FileManager.default.fileExists(atPath: folder("b/file")))
  }
}
