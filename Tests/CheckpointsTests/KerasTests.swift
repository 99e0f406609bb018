import Foundation
import TensorCore
import TestSupport
import Testing

@testable import Checkpoints

@Suite struct KerasTests {
  private static func open(_ name: String) throws -> ModelSource {
    try ModelSource.open(Fixtures.path("samples/keras/\(name)"))
  }

  private static func error(_ name: String) throws -> EmbedFuseError {
    try #require(throws: EmbedFuseError.self, performing: { try open(name) })
  }

  /// The weights of the sample model by the names that Keras gives them, as it printed them itself.
  private static let expected: [String: (shape: [Int], values: [Double])] = {
    let text = try! Data(contentsOf: URL(fileURLWithPath: Fixtures.path("samples/keras/expected.json")))
    let json = try! JSONSerialization.jsonObject(with: text) as! [String: [String: Any]]
    return json.mapValues { ($0["shape"] as! [Int], $0["values"] as! [Double]) }
  }()

  private static func check(_ tensor: StoredTensor, is name: String) throws {
    let expected = try #require(expected[name])
    #expect(tensor.info.elementType == .f32)
    #expect(tensor.info.shape.dimensions.map { Int($0) } == expected.shape)
    let bytes = expected.values.flatMap { value in
      (0..<4).map { UInt8(truncatingIfNeeded: Float(value).bitPattern >> (8 * $0)) }
    }
    #expect(try tensor.values() == bytes)
  }

  @Test func legacyModelHasItsWeightsNamesInTheirOrder() throws {
    let source = try Self.open("model_legacy.h5")
    #expect(
      source.tensors.map(\.name) == [
        "word_emb/embeddings", "proj/kernel", "proj/bias", "ln/gamma", "ln/beta", "inner/dense/kernel",
        "inner/dense/bias", "inner/dense_1/kernel",
      ])
    for tensor in source.tensors { try Self.check(tensor.stored, is: tensor.name) }
    #expect(source.format == .hdf5)
    #expect(source.naming == .kerasLayers)
    #expect(source.metadata["keras_version"] == "3.15.1")
    #expect(source.notes.count == 1 && source.notes[0].contains("18 arrays of the optimizer's state"))
  }

  @Test(arguments: ["model.weights.h5", "model.keras"])
  func weightsOfKeras3HaveTheirPlacesForNames(name: String) throws {
    let source = try Self.open(name)
    let names = [
      "layers/embedding/vars/0": "word_emb/embeddings", "layers/dense/vars/0": "proj/kernel",
      "layers/dense/vars/1": "proj/bias", "layers/layer_normalization/vars/0": "ln/gamma",
      "layers/layer_normalization/vars/1": "ln/beta",
      "layers/sequential/layers/dense/vars/0": "inner/dense/kernel",
      "layers/sequential/layers/dense/vars/1": "inner/dense/bias",
      "layers/sequential/layers/dense_1/vars/0": "inner/dense_1/kernel",
    ]
    #expect(Set(source.tensors.map(\.name)) == Set(names.keys))
    for tensor in source.tensors { try Self.check(tensor.stored, is: #require(names[tensor.name])) }
    #expect(source.naming == .kerasVariables)
    // The user's name of a layer is told beside.
    #expect(source.metadata["layers/dense"] == "proj")
    #expect(source.notes.contains { $0.contains("18 arrays of the optimizer's state") })
    #expect(source.weightFiles.map(\.path) == [Fixtures.path("samples/keras/\(name)")])
  }

  @Test func numberOfTensorFlowIsNoPartOfAName() throws {
    let source = try Self.open("tfkeras2_style.h5")
    #expect(source.tensors.map(\.name) == ["embedding/embeddings", "dense/kernel", "dense/bias"])
    #expect(source.metadata["backend"] == "tensorflow")
  }

  @Test func subclassedModelIsReadByItsAttributes() throws {
    let source = try Self.open("subclass.weights.h5")
    #expect(source.tensors.count == 8)
    #expect(source.tensors.contains { $0.name == "blocks/dense_1/vars/1" })
    #expect(source.metadata["enc"] == "dense_2")
  }

  @Test func opaquePairsMarkedAsBFloat16AreSuch() throws {
    let source = try Self.open("bf16.weights.h5")
    #expect(source.tensors.map(\.stored.info.elementType) == [.bf16, .bf16])
    #expect(source.tensors.map(\.stored.info.shape) == [Shape([3, 2])!, Shape([2])!])
  }

  @Test func shardsAreReadThroughTheirIndex() throws {
    let source = try Self.open("sharded.weights.json")
    let single = try Self.open("sharded_00000.weights.h5")
    #expect(
      source.tensors.map(\.name) == [
        "layers/dense/vars/0", "layers/dense/vars/1", "layers/dense_1/vars/0", "layers/dense_1/vars/1",
      ])
    for (one, other) in zip(source.tensors, single.tensors) {
      #expect(try one.stored.values() == other.stored.values())
    }
    #expect(source.weightFiles.count == 2)
  }

  @Test func namesSplitOverAttributesAreJoined() throws {
    let source = try Self.open("split_names.h5")
    #expect(
      source.tensors.map(\.name)
        == (0..<5).flatMap { layer in ["kernel", "bias", "scale"].map { "dense_\(layer)/\($0)" } })
  }

  @Test func layerTellsWeightsOfOneNameApart() throws {
    let source = try Self.open("shared_names.h5")
    #expect(
      source.tensors.map(\.name) == ["dense/dense/kernel", "inner/dense/kernel", "other/kernel", "scale"])
  }

  @Test func variablesStandInTheOrderOfTheirNumbers() throws {
    let source = try Self.open("many.weights.h5")
    let numbers = source.tensors.filter { $0.name.hasPrefix("layers/block/") }
    #expect(numbers.map(\.name) == (0..<12).map { "layers/block/vars/\($0)" })
    #expect(numbers.map(\.stored.info.shape.elementCount) == Array(1...12))
    #expect(source.tensors.contains { $0.name == "layers/dropout/seed_generator/vars/0" })
  }

  @Test func otherArraysBesideVariablesMakeAPlainFile() throws {
    let source = try ModelSource.open(Fixtures.path("samples/hdf5/filters.h5"))
    #expect(source.naming == .plain)
  }

  @Test(arguments: [
    ("bad_missing_layer.h5", "lists the layer dense, which isn't there"),
    ("bad_missing_weight.h5", "lists the weight dense/bias, which isn't there"),
    ("bad_twice.h5", "or is listed twice"),
    ("bad_numbers_for_names.h5", "its attribute layer_names is no list of names"),
    ("bad_no_weights.h5", "is a Keras file without weights"),
    ("optimizer_only.weights.h5", "is a Keras file without weights"),
  ])
  func filesThatContradictThemselvesAreRefused(name: String, problem: String) throws {
    let error = try Self.error(name)
    #expect(error.code == .badData)
    #expect(error.description.contains(problem), "\(error)")
  }
}

/// Models saved whole, and indexes of shards, that are not what they should be.
@Suite struct KerasContainerTests {
  private let folder: TemporaryFolder

  init() throws { folder = try TemporaryFolder() }

  private func error(_ name: String) throws -> EmbedFuseError {
    try #require(throws: EmbedFuseError.self, performing: { try ModelSource.open(folder(name)) })
  }

  private func write(_ bytes: [UInt8], as name: String) throws {
    try Data(bytes).write(to: URL(fileURLWithPath: folder(name)))
  }

  private static func sample(_ name: String) throws -> [UInt8] {
    try [UInt8](Data(contentsOf: URL(fileURLWithPath: Fixtures.path("samples/keras/\(name)"))))
  }

  @Test func archiveCutAnywhereIsRefused() throws {
    let archive = try Self.sample("model.keras")
    for count in stride(from: 0, to: archive.count, by: 611) {
      try write(Array(archive.prefix(count)), as: "cut.keras")
      #expect(try error("cut.keras").code == .badData, "\(count) bytes")
    }
  }

  @Test func archiveWithoutWeightsIsRefused() throws {
    try write(ZipBuilder(entries: [ZipBuilder.Entry("config.json", Array("{}".utf8))]).bytes, as: "a.keras")
    #expect(try error("a.keras").problem.contains("holds no model.weights.h5"))
  }

  @Test func weightsInAnArchiveThatAreNoHDF5AreRefused() throws {
    try write(ZipBuilder(entries: [ZipBuilder.Entry("model.weights.h5", [1, 2, 3])]).bytes, as: "a.keras")
    #expect(try error("a.keras").problem.contains("can't be opened as HDF5"))
  }

  @Test func compressedWeightsInAnArchiveAreRefused() throws {
    let weights = try Self.sample("model.weights.h5")
    try write(
      ZipBuilder(entries: [ZipBuilder.Entry("model.weights.h5", weights, deflated: true)]).bytes,
      as: "a.keras")
    #expect(try error("a.keras").remedy?.contains("unpack the archive") == true)
  }

  private func writeIndex(_ map: String) throws {
    try write(Array("{\"metadata\": {}, \"weight_map\": \(map)}".utf8), as: "a.weights.json")
  }

  @Test(arguments: ["../x.h5", "/x.h5", "a/b.h5", "", "..", "a\\\\b.h5"])
  func shardElsewhereIsRefused(name: String) throws {
    try writeIndex("{\"/layers/dense/vars\": [\"\(name)\"]}")
    #expect(try error("a.weights.json").problem.contains("is no plain file name"))
  }

  @Test(arguments: ["{}", "[]", "3", "{\"/layers/dense/vars\": []}", "{\"/layers/dense/vars\": [3]}"])
  func indexWithoutFilesIsRefused(map: String) throws {
    try writeIndex(map)
    #expect(try error("a.weights.json").code == .badData)
  }

  @Test func missingShardIsNamed() throws {
    try writeIndex("{\"/layers/dense/vars\": [\"gone.weights.h5\"]}")
    let error = try error("a.weights.json")
    #expect(error.code == .missingInput)
    #expect(error.path == folder("gone.weights.h5"))
  }

  @Test func shardsAndIndexThatDisagreeAreRefused() throws {
    try write(Self.sample("sharded_00000.weights.h5"), as: "one.h5")
    try write(Self.sample("sharded_00000.weights.h5"), as: "two.h5")
    try writeIndex("{\"/layers/dense/vars\": [\"one.h5\"], \"/layers/other/vars\": [\"one.h5\"]}")
    let missing = try error("a.weights.json")
    #expect(missing.problem.contains("layers/other/vars should stand in one.h5, but doesn't"))
    #expect(missing.problem.contains("layers/dense_1/vars isn't in the index"))
    try writeIndex("{\"/layers/dense/vars\": [\"one.h5\", \"two.h5\"], \"/layers/dense_1/vars\": \"one.h5\"}")
    #expect(
      try error("a.weights.json").problem.contains("layers/dense/vars/0 stands in both one.h5 and two.h5"))
  }

  @Test func namingsOfDifferentKindsAreExplained() throws {
    let legacy = try ModelSource.open(Fixtures.path("samples/keras/model_legacy.h5"))
    let current = try ModelSource.open(Fixtures.path("samples/keras/model.weights.h5"))
    let torch = try ModelSource.open(Fixtures.path("family/base"))
    func findings(_ one: ModelSource, _ other: ModelSource) throws -> [String] {
      try Compatibility(with: one).findings(of: other).filter(\.isIncompatible).map(\.message)
    }
    #expect(try findings(legacy, current).contains { $0.contains("save all models the same way") })
    #expect(try findings(torch, current).contains { $0.contains("whose kernels lie otherwise than Keras's") })
    #expect(try findings(current, current).isEmpty)
  }
}
