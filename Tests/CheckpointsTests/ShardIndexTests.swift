import Foundation
import TensorCore
import TestSupport
import Testing

@testable import Checkpoints

@Suite struct ShardIndexTests {
  @Test func readsShardsInTheOrderOfTheirNames() throws {
    let path = Fixtures.path("samples/safetensors/good/sharded/model.safetensors.index.json")
    let checkpoint = try Checkpoint.openSafetensors(at: path)
    #expect(Set(checkpoint.tensors.map(\.info.name)) == Set((0..<5).map { "l\($0).weight" }))
    #expect(checkpoint.tensors.map(\.path) == checkpoint.tensors.map(\.path).sorted())
    #expect(checkpoint.aliases == ["tied.weight": "l0.weight"])
    #expect(checkpoint.files.count == 4 && checkpoint.files[0].path == path)
    #expect(checkpoint.path == path && checkpoint.format == .safetensors)
    for tensor in checkpoint.tensors {
      let bytes = try SafetensorsReadingTests.bytes(of: tensor, inBlocksOf: 7)
      #expect(bytes.count == tensor.info.byteCount)
    }
  }

  @Test func readsTheShardsOfABert() throws {
    let checkpoint = try Checkpoint.openSafetensors(
      at: Fixtures.path("samples/safetensors/good/bert_sharded/model.safetensors.index.json"))
    #expect(checkpoint.tensors.count == 23 && checkpoint.aliases.isEmpty)
    #expect(checkpoint.tensors.reduce(0) { $0 + $1.info.byteCount } == 2848)
  }

  /// Two shards with tensors a and b in one, c in the other, and an index of this weight map beside them.
  private func withShards<R>(
    _ weightMap: [String: String] = ["a": "1.safetensors", "b": "1.safetensors", "c": "2.safetensors"],
    metadata: String = "{}", _ body: (_ folder: String, _ index: String) throws -> R
  ) throws -> R {
    try withTemporaryFolder { outer in
      let folder = outer + "/model"
      try FileManager.default.createDirectory(atPath: folder, withIntermediateDirectories: true)
      try SafetensorsBuilder.write(
        [("a", .u8, [2], [1, 2]), ("b", .u8, [1], [3])], to: folder + "/1.safetensors",
        metadata: ["format": "pt", "first": "1"])
      try SafetensorsBuilder.write(
        [("c", .u8, [1], [4])], to: folder + "/2.safetensors", metadata: ["format": "mlx", "second": "2"])
      try SafetensorsBuilder.write([("d", .u8, [1], [5])], to: outer + "/outside.safetensors")
      let index = folder + "/model.safetensors.index.json"
      try SafetensorsBuilder.writeIndex(weightMap, to: index, metadata: metadata)
      return try body(folder, index)
    }
  }

  private func rejection(
    _ weightMap: [String: String], sourceLocation: SourceLocation = #_sourceLocation
  ) throws -> EmbedFuseError {
    try withShards(weightMap) { _, index in
      try #require(throws: EmbedFuseError.self, sourceLocation: sourceLocation) {
        try Checkpoint.openSafetensors(at: index)
      }
    }
  }

  @Test(arguments: [
    #"{"total_size":4}"#, #"{"total_size":4.0}"#, #"{"total_size":1e99}"#, #"{"total_size":null}"#, "null",
  ])
  func theTotalSizeIsNotReliedOn(metadata: String) throws {
    try withShards(metadata: metadata) { _, index in
      let checkpoint = try Checkpoint.openSafetensors(at: index)
      #expect(checkpoint.tensors.count == 3)
    }
  }

  @Test func metadataIsThatOfAllShardsTheFirstOfThemFirst() throws {
    try withShards(metadata: #"{"tied":"c","alsotied":"absent","a":"b"}"#) { _, index in
      let checkpoint = try Checkpoint.openSafetensors(at: index)
      #expect(checkpoint.metadata == ["format": "pt", "first": "1", "second": "2"])
      #expect(checkpoint.aliases == ["tied": "c"])
    }
  }

  @Test(arguments: [
    "../outside.safetensors", "/etc/passwd", "sub/1.safetensors", #"..\outside.safetensors"#, "..", ".", "",
    "1.safetensors\0",
  ])
  func namesThatAreNoFilesOfTheFolderAreRejected(name: String) throws {
    let error = try rejection(["a": "1.safetensors", "d": name])
    #expect(error.code == .badData && error.tensor == "d")
    #expect(error.problem.hasSuffix("which is no plain file name"))
    #expect(error.remedy == "shards must stand beside their index")
  }

  @Test func aShardThatIsNoStringIsRejected() throws {
    try withShards { _, index in
      try Data(#"{"weight_map":{"a":["1.safetensors"]}}"#.utf8).write(to: URL(fileURLWithPath: index))
      let error = try #require(throws: EmbedFuseError.self) { try Checkpoint.openSafetensors(at: index) }
      #expect(error.problem.contains(#"puts it into ["1.safetensors"], which is no plain file name"#))
    }
  }

  @Test func aLinkOutOfTheFolderIsRejected() throws {
    try withShards(["d": "3.safetensors"]) { folder, index in
      try FileManager.default.createSymbolicLink(
        atPath: folder + "/3.safetensors", withDestinationPath: "../outside.safetensors")
      let error = try #require(throws: EmbedFuseError.self) { try Checkpoint.openSafetensors(at: index) }
      #expect(error.code == .badData && error.path == folder + "/3.safetensors")
      #expect(error.problem.contains("outside.safetensors, outside of the folder of its index"))
    }
  }

  @Test func aLinkWithinTheFolderIsFollowed() throws {
    try withShards(["a": "3.safetensors", "b": "3.safetensors"]) { folder, index in
      try FileManager.default.createSymbolicLink(
        atPath: folder + "/3.safetensors", withDestinationPath: "1.safetensors")
      #expect(try Checkpoint.openSafetensors(at: index).tensors.map(\.info.name) == ["a", "b"])
    }
  }

  @Test func linksOfTheHuggingFaceCacheAreFollowed() throws {
    try withTemporaryFolder { cache in
      let files = FileManager.default
      try files.createDirectory(atPath: cache + "/snapshots/0123", withIntermediateDirectories: true)
      try files.createDirectory(atPath: cache + "/blobs", withIntermediateDirectories: true)
      try SafetensorsBuilder.write([("a", .u8, [1], [1])], to: cache + "/blobs/cafe")
      try SafetensorsBuilder.writeIndex(["a": "1.safetensors"], to: cache + "/blobs/beef")
      let (shard, index) = (cache + "/snapshots/0123/1.safetensors", cache + "/snapshots/0123/i.index.json")
      try files.createSymbolicLink(atPath: shard, withDestinationPath: "../../blobs/cafe")
      try files.createSymbolicLink(atPath: index, withDestinationPath: "../../blobs/beef")
      #expect(try Checkpoint.openSafetensors(at: index).tensors.map(\.info.name) == ["a"])
    }
  }

  @Test func missingShardsAreListedTogether() throws {
    let error = try rejection(
      ["a": "1.safetensors", "b": "1.safetensors", "x": "8.safetensors", "y": "9.safetensors"])
    #expect(error.code == .missingInput)
    #expect(error.problem == "2 of its 3 shards can't be read: 8.safetensors, 9.safetensors")
    #expect(error.remedy?.hasPrefix("download or copy the missing files into ") == true)
  }

  @Test func aTensorThatTheIndexDoesntNameIsRejected() throws {
    let error = try rejection(["a": "1.safetensors", "c": "2.safetensors"])
    #expect(error.code == .badData)
    #expect(error.problem.contains("b stands in 1.safetensors, but the index doesn't name it"))
  }

  @Test func aTensorInAnotherShardThanTheIndexSaysIsRejected() throws {
    let error = try rejection(["a": "1.safetensors", "b": "2.safetensors", "c": "2.safetensors"])
    #expect(error.problem.contains("b stands in 1.safetensors, but the index puts it into 2.safetensors"))
  }

  @Test func aTensorThatItsShardLacksIsRejected() throws {
    let error = try rejection(
      ["a": "1.safetensors", "b": "1.safetensors", "c": "2.safetensors", "e": "2.safetensors"])
    #expect(error.problem.hasSuffix("e should stand in 2.safetensors, but doesn't"))
  }

  @Test func aTensorInTwoShardsIsRejected() throws {
    try withShards { folder, index in
      try SafetensorsBuilder.write(
        [("c", .u8, [1], [4]), ("a", .u8, [1], [9])], to: folder + "/2.safetensors")
      let error = try #require(throws: EmbedFuseError.self) { try Checkpoint.openSafetensors(at: index) }
      #expect(error.problem.hasSuffix("a stands in both 1.safetensors and 2.safetensors"))
    }
  }

  @Test(arguments: ["{}", #"{"weight_map":{}}"#, #"{"weight_map":["a"]}"#, "[]"])
  func anIndexWithoutWeightMapIsRejected(text: String) throws {
    try withShards { _, index in
      try Data(text.utf8).write(to: URL(fileURLWithPath: index))
      let error = try #require(throws: EmbedFuseError.self) { try Checkpoint.openSafetensors(at: index) }
      #expect(error.code == .badData && error.problem == "has no weight_map from tensors to files")
    }
  }

  @Test func aTensorThatTheIndexNamesTwiceIsRejected() throws {
    try withShards { _, index in
      let text = #"{"weight_map":{"a":"1.safetensors","a":"2.safetensors"}}"#
      try Data(text.utf8).write(to: URL(fileURLWithPath: index))
      let error = try #require(throws: EmbedFuseError.self) { try Checkpoint.openSafetensors(at: index) }
      #expect(error.problem.contains("the key 'a' stands here for the second time"))
    }
  }

  @Test func aBrokenShardIsNamed() throws {
    try withShards { folder, index in
      try Data([1, 2, 3]).write(to: URL(fileURLWithPath: folder + "/2.safetensors"))
      let error = try #require(throws: EmbedFuseError.self) { try Checkpoint.openSafetensors(at: index) }
      #expect(error.code == .badData && error.path == folder + "/2.safetensors")
    }
  }
}
