import Foundation
import TensorCore
import TestSupport
import Testing

@testable import Checkpoints

@Suite struct GGUFWriterTests {
  private let folder: TemporaryFolder
  private var path: String { folder("model.gguf") }

  init() throws { folder = try TemporaryFolder() }

  private static let types: [ElementType] = [.f32, .f16, .bf16, .f64, .i8, .i16, .i32, .i64]

  private static func info(_ name: String, _ type: ElementType, _ dimensions: [UInt]) throws -> TensorInfo {
    let shape = try #require(Shape(dimensions))
    return try #require(TensorInfo(name: name, elementType: type, shape: shape))
  }

  private static func write(
    _ bytes: [UInt8], of tensor: Int, to writer: some CheckpointWriter, shuffled: Bool = false
  ) throws {
    let info = writer.tensors[tensor]
    var runs = BlockGrid(info).runs(of: writer.runLength(of: tensor))
    if shuffled { runs.shuffle() }
    for run in runs {
      let start = info.elementType.byteCount(ofElements: run.lowerBound)
      let end = info.elementType.byteCount(ofElements: run.upperBound)
      try writer.write(bytes.span.extracting(start..<end), of: tensor, at: run)
    }
  }

  @Test func everyElementTypeComesBackFromManyWorkers() async throws {
    let shapes: [[UInt]] = [[30_000, 3], [7, 5, 3], [2, 1, 3, 2], [11], [], [0, 4], [2, 70_000]]
    var tensors: [TensorInfo] = []
    for type in Self.types {
      for shape in shapes { tensors.append(try Self.info("w.\(type).\(shape)", type, shape)) }
    }
    let expected = tensors.map { info in
      (0..<info.byteCount).map { UInt8(truncatingIfNeeded: $0 * 7 + info.name.count) }
    }
    let writer = try GGUFWriter(
      creating: path, tensors: tensors, metadata: GGUFMetadata(architecture: "bert"))
    try await withThrowingTaskGroup { group in
      for index in tensors.indices {
        group.addTask { try Self.write(expected[index], of: index, to: writer, shuffled: true) }
      }
      try await group.waitForAll()
    }
    try writer.finish()
    let checkpoint = try Checkpoint.openGGUF(at: path)
    let values = try checkpoint.tensors.reduce(into: [:]) {
      $0[$1.info] = try SafetensorsReadingTests.bytes(of: $1, inBlocksOf: 50_000)
    }
    #expect(values == Dictionary(uniqueKeysWithValues: zip(tensors, expected)))
    #expect(checkpoint.metadata["general.architecture"] == "bert")
    #expect(checkpoint.metadata["general.file_type"] == "0")
  }

  /// The blocks of a matrix against the formula; vectors and rows that aren't whole blocks stay as they are.
  @Test func quantisesMatricesOfWholeBlocks() throws {
    let tensors = [
      try Self.info("matrix", .f32, [3, 64]), try Self.info("vector", .f32, [64]),
      try Self.info("odd", .f32, [2, 33]), try Self.info("half", .bf16, [1, 32]),
    ]
    var generator = SeededGenerator(seed: 5)
    var values = (0..<192).map { _ in Float.random(in: -1...1, using: &generator) }
    values.replaceSubrange(32..<64, with: repeatElement(0, count: 32))
    let writer = try GGUFWriter(
      creating: path, tensors: tensors, metadata: GGUFMetadata(architecture: "bert"), quantizes: true)
    let zeros = [UInt8](repeating: 0, count: 64 * 4 + 66 * 4 + 64)
    try Self.write(values.flatMap(\.bitPattern.littleEndianBytes), of: 0, to: writer)
    for (tensor, info) in tensors.enumerated().dropFirst() {
      try Self.write(Array(zeros.prefix(info.byteCount)), of: tensor, to: writer)
    }
    try writer.finish()
    let checkpoint = try Checkpoint.openGGUF(at: path)
    #expect(checkpoint.tensors.map(\.info.elementType) == [.f32, .f32, .f32, .f32])
    #expect(checkpoint.notes.contains { $0.contains("2 tensors in Q8_0") })
    #expect(checkpoint.metadata["general.file_type"] == "7")
    #expect(checkpoint.metadata["general.quantization_version"] == "2")
    let read = try SafetensorsReadingTests.bytes(of: checkpoint.tensors[0], inBlocksOf: 1000)
    for block in 0..<6 {
      let x = values[block * 32..<(block + 1) * 32]
      let scale = x.map(\.magnitude).max()! / 127
      for (index, value) in x.enumerated() {
        let q = scale == 0 ? 0 : (value * (1 / scale)).rounded()
        let expected = Float(Float16(scale)) * q
        let place = 4 * (block * 32 + index)
        let bits = (0..<4).reduce(UInt32(0)) { $0 | UInt32(read[place + $1]) << UInt32(8 * $1) }
        #expect(Float(bitPattern: bits) == expected)
      }
    }
  }

  @Test func valuesThatAreNotFiniteAreQuantisedWithoutATrap() throws {
    let values: [Float] =
      [.infinity, -.infinity, .nan, 3e38, .leastNonzeroMagnitude]
      + Array(repeating: 8 * .leastNonzeroMagnitude, count: 59)
    let writer = try GGUFWriter(
      creating: path, tensors: [try Self.info("a", .f32, [1, 64])],
      metadata: GGUFMetadata(architecture: "bert"), quantizes: true)
    try Self.write(values.flatMap(\.bitPattern.littleEndianBytes), of: 0, to: writer)
    try writer.finish()
    #expect(try Checkpoint.openGGUF(at: path).tensors.count == 1)
  }

  @Test func pairsOfAnotherFileAreCarriedOver() throws {
    let source = Fixtures.path("samples/gguf/t.gguf")
    var metadata = try GGUFMetadata(ofFile: source)
    metadata["embedfuse"] = "{}"
    let writer = try GGUFWriter(
      creating: path, tensors: [try Self.info("a", .bf16, [2])], metadata: metadata)
    try Self.write([1, 2, 3, 4], of: 0, to: writer)
    metadata["embedfuse"] = "[]"
    try writer.setMetadata(metadata)
    try writer.finish()
    var expected = try Checkpoint.openGGUF(at: source).metadata
    expected["embedfuse"] = "[]"
    expected["general.file_type"] = "32"
    #expect(try Checkpoint.openGGUF(at: path).metadata == expected)
  }

  @Test func whatGGUFCannotHoldIsListed() throws {
    let tensors = [
      try Self.info("deep", .f32, [1, 1, 1, 1, 1]), try Self.info("fine", .f32, [1]),
      try Self.info("mask", .bool, [1]), try Self.info("small", .f8E4M3, [1]),
    ]
    let error = #expect(throws: EmbedFuseError.self) {
      _ = try GGUFWriter(creating: path, tensors: tensors, metadata: GGUFMetadata(architecture: "bert"))
    }
    #expect(error?.problem.contains("deep has 5 dimensions") == true)
    #expect(error?.problem.contains("mask is of type BOOL") == true)
    #expect(error?.problem.contains("small is of type F8_E4M3") == true)
    #expect(error?.problem.contains("fine") == false)
  }

  @Test func namesThatStandTwiceAreRefused() throws {
    let tensors = [try Self.info("a", .f32, [1]), try Self.info("a", .f16, [1])]
    let error = #expect(throws: EmbedFuseError.self) {
      _ = try GGUFWriter(creating: path, tensors: tensors, metadata: GGUFMetadata(architecture: "bert"))
    }
    #expect(error?.problem == "stands in the output twice")
  }

  @Test func aTensorThatWasNotWrittenIsFound() throws {
    let writer = try GGUFWriter(
      creating: path, tensors: [try Self.info("a", .f32, [3])],
      metadata: GGUFMetadata(architecture: "bert"))
    #expect(throws: EmbedFuseError.self) { try writer.finish() }
  }
}
