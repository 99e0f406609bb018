import Foundation
import TensorCore
import TestSupport
import Testing

@testable import Checkpoints

@Suite struct SafetensorsWriterTests {
  private let folder: TemporaryFolder
  private var path: String { folder("model.safetensors") }

  init() throws { folder = try TemporaryFolder() }

  private static func info(_ name: String, _ type: ElementType, _ dimensions: [UInt]) throws -> TensorInfo {
    let shape = try #require(Shape(dimensions))
    return try #require(TensorInfo(name: name, elementType: type, shape: shape))
  }

  private static func sequence(_ count: Int) -> [UInt8] {
    var bytes = [UInt8](repeating: 3, count: count)
    for index in bytes.indices.dropFirst() { bytes[index] = bytes[index - 1] &+ 7 }
    return bytes
  }

  /// Writes a tensor's bytes run by run, in this order of runs.
  private static func write(
    _ bytes: [UInt8], of tensor: Int, to writer: some CheckpointWriter,
    order: ([Range<Int>]) -> [Range<Int>] = { $0 }
  ) throws {
    let info = writer.tensors[tensor]
    for run in order(BlockGrid(info).runs(of: writer.runLength(of: tensor))) {
      let start = info.elementType.byteCount(ofElements: run.lowerBound)
      let end = info.elementType.byteCount(ofElements: run.upperBound)
      try writer.write(bytes.span.extracting(start..<end), of: tensor, at: run)
    }
  }

  /// Everything that a checkpoint holds, read by the reader.
  private static func values(_ checkpoint: Checkpoint) throws -> [String: [UInt8]] {
    var values: [String: [UInt8]] = [:]
    for tensor in checkpoint.tensors {
      values[tensor.info.name] = try SafetensorsReadingTests.bytes(of: tensor, inBlocksOf: 1000)
    }
    return values
  }

  /// The fixture is what the reference package, safetensors 0.8.0, writes for these tensors.
  @Test func writesTheBytesThatTheReferenceWrites() throws {
    let tensors = [
      try Self.info("alpha.bias", .f16, [3]), try Self.info("empty", .f32, [0, 4]),
      try Self.info("half", .bf16, [5]), try Self.info("mask", .bool, [3]),
      try Self.info("position_ids", .i64, [1, 2]),
      try Self.info("quote \" back\\slash \t\u{1} é 語", .u8, [1]),
      try Self.info("scalar", .f64, []), try Self.info("zeta.weight", .f32, [2, 3]),
    ]
    let writer = try SafetensorsWriter(creating: path, tensors: tensors)
    for index in tensors.indices.reversed() {
      let bytes = tensors[index].elementType == .bool ? [1, 0, 1] : Self.sequence(tensors[index].byteCount)
      try Self.write(bytes, of: index, to: writer)
    }
    try writer.finish()
    let expected = Fixtures.path("safetensors/written_by_reference.safetensors")
    #expect(
      try Data(contentsOf: URL(fileURLWithPath: path)) == Data(contentsOf: URL(fileURLWithPath: expected)))
  }

  @Test func everyElementTypeComesBackFromManyWorkers() async throws {
    let tensors = try ElementType.allCases.map { try Self.info("w.\($0)", $0, [700, 600]) }
    let expected = Dictionary(uniqueKeysWithValues: tensors.map { ($0.name, Self.sequence($0.byteCount)) })
    let writer = try SafetensorsWriter(creating: path, tensors: tensors)
    try await withThrowingTaskGroup { group in
      for (index, info) in tensors.enumerated() {
        group.addTask { try Self.write(expected[info.name]!, of: index, to: writer) { $0.shuffled() } }
      }
      try await group.waitForAll()
    }
    try writer.finish()
    let checkpoint = try Checkpoint.openSafetensors(at: path)
    #expect(checkpoint.tensors.map(\.info.elementType) == ElementType.allCases.reversed())
    #expect(try Self.values(checkpoint) == expected)
    #expect(checkpoint.metadata == ["format": "pt"])
  }

  @Test func everyTensorIsAlignedAndEqualTypesKeepTheirOrder() throws {
    let types: [ElementType] = [.u8, .f32, .bool, .f64, .bf16, .f32, .u8, .i64]
    let tensors = try types.enumerated().map { try Self.info("\($0.offset)", $0.element, [3]) }
    let writer = try SafetensorsWriter(creating: path, tensors: tensors)
    for (index, info) in tensors.enumerated() {
      try Self.write(Self.sequence(info.byteCount), of: index, to: writer)
    }
    try writer.finish()
    let header = try SafetensorsHeader(of: InputFile(path))
    for entry in header.entries {
      #expect(entry.offset % (entry.info.elementType.bitWidth / 8) == 0, "\(entry.info.name)")
    }
    #expect(header.entries.map(\.info.name) == ["7", "3", "1", "5", "4", "0", "6", "2"])
  }

  @Test func aRunHasAQuarterOfAMebibyteInWholeBlocks() throws {
    let tensors = [
      try Self.info("f32", .f32, [1000, 384]), try Self.info("bf16", .bf16, [1000, 384]),
      try Self.info("long", .f32, [2, 1_000_000]), try Self.info("none", .f32, [0]),
    ]
    let writer = try SafetensorsWriter(creating: path, tensors: tensors)
    let lengths = tensors.indices.map { writer.runLength(of: $0) }
    #expect(lengths == [65_280, 130_560, 65_536, 65_536])
  }

  @Test func noTensorsMakeAFileThatHoldsNone() throws {
    try SafetensorsWriter(creating: path, tensors: []).finish()
    #expect(try Checkpoint.openSafetensors(at: path).tensors.isEmpty)
  }

  @Test func metadataOfTheSameLengthReplacesAPlaceholder() throws {
    let tensors = [try Self.info("w", .u8, [4])]
    let writer = try SafetensorsWriter(
      creating: path, tensors: tensors, metadata: [("format", "pt"), ("digest", "0000")])
    try Self.write([1, 2, 3, 4], of: 0, to: writer)
    try writer.setMetadata([("format", "pt"), ("digest", "1a2b")])
    try writer.finish()
    let checkpoint = try Checkpoint.openSafetensors(at: path)
    #expect(checkpoint.metadata == ["format": "pt", "digest": "1a2b"])
    #expect(try Self.values(checkpoint) == ["w": [1, 2, 3, 4]])
  }

  @Test func aRunThatIsMissingIsFound() throws {
    let writer = try SafetensorsWriter(creating: path, tensors: [try Self.info("w", .f32, [100_000])])
    try Self.write(Self.sequence(400_000), of: 0, to: writer) { Array($0.dropLast()) }
    let error = try #require(throws: EmbedFuseError.self) { try writer.finish() }
    #expect(error.code == .internalError && error.problem.contains("137856 bytes"))
  }

  @Test(arguments: [["w", "v", "w"], ["w", "__metadata__"]]) func aNameThatStandsTwiceIsRejected(
    names: [String]
  )
    throws
  {
    let tensors = try names.map { try Self.info($0, .u8, [1]) }
    let error = try #require(throws: EmbedFuseError.self) {
      try SafetensorsWriter(creating: path, tensors: tensors)
    }
    #expect(error.code == .badData && error.tensor == names.last)
    #expect(folder.names == [])
  }

  @Test func aHeaderLongerThanTheFormatAllowsIsRejected() throws {
    let name = String(repeating: "n", count: SafetensorsHeader.lengthLimit)
    let error = try #require(throws: EmbedFuseError.self) {
      try SafetensorsWriter(creating: path, tensors: [try Self.info(name, .u8, [1])])
    }
    #expect(error.code == .badData && error.remedy?.contains("--max-shard-size") == true)
    #expect(folder.names == [])
  }

  @Test func aFileThatStandsThereIsKept() throws {
    try Data([1]).write(to: URL(fileURLWithPath: path))
    let error = try #require(throws: EmbedFuseError.self) {
      try SafetensorsWriter(creating: path, tensors: [])
    }
    #expect(error.code == .cannotCreate)
    #expect(try Data(contentsOf: URL(fileURLWithPath: path)) == Data([1]))
  }
}

// MARK: - Shards

extension SafetensorsWriterTests {
  /// Writes tensors of these sizes, `w0`, `w1`, ..., and returns the names of the files.
  private func writeShards(of sizes: [Int], limit: Int) throws -> [String] {
    let placements = try sizes.enumerated().map {
      ShardLayout.Placement(
        folder: "", info: try Self.info("w\($0.offset)", .u8, [UInt($0.element)]))
    }
    let layout = try ShardLayout(placements, maximumShardBytes: limit)
    let writer = try ModelDirectoryWriter(in: folder.path, layout)
    for (index, size) in sizes.enumerated() { try Self.write(Self.sequence(size), of: index, to: writer) }
    try writer.finish()
    try layout.writeIndexes(in: folder.path)
    return folder.names
  }

  @Test func whatFitsIsOneFileWithoutAnIndex() throws {
    #expect(try writeShards(of: [60, 40], limit: 100) == ["model.safetensors"])
  }

  @Test func shardsAreFilledInOrderAndALargerTensorHasItsOwn() throws {
    let sizes = [60, 40, 1, 500, 0, 30]
    #expect(
      try writeShards(of: sizes, limit: 100) == [
        "model-00001-of-00004.safetensors", "model-00002-of-00004.safetensors",
        "model-00003-of-00004.safetensors", "model-00004-of-00004.safetensors",
        "model.safetensors.index.json",
      ])
    let index = try JSON.read(folder("model.safetensors.index.json"))
    #expect(index["metadata"]?["total_size"]?.intValue == 631)
    let map = try #require(index["weight_map"]?.objectValue)
    let shards = map.members.map { "\($0.key) \($0.value.stringValue?.dropFirst(6).prefix(5) ?? "")" }
    #expect(shards == ["w0 00001", "w1 00001", "w2 00002", "w3 00003", "w4 00004", "w5 00004"])
    let checkpoint = try Checkpoint.openSafetensors(at: folder("model.safetensors.index.json"))
    #expect(
      try Self.values(checkpoint)
        == Dictionary(uniqueKeysWithValues: sizes.enumerated().map { ("w\($0)", Self.sequence($1)) }))
  }

  @Test func aNameThatStandsInTwoShardsIsRejected() throws {
    let info = try Self.info("w", .u8, [10])
    let error = try #require(throws: EmbedFuseError.self) {
      try ShardLayout(Array(repeating: .init(folder: "", info: info), count: 2), maximumShardBytes: 10)
    }
    #expect(error.code == .badData && error.tensor == "w")
  }
}
