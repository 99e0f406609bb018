import Foundation
import TensorCore
import TestSupport
import Testing

@testable import Checkpoints

@Suite struct NumPyArchiveTests {
  private let folder: TemporaryFolder
  private var path: String { folder("model.npz") }

  init() throws { folder = try TemporaryFolder() }

  private static func info(_ name: String, _ type: ElementType, _ dimensions: [UInt]) throws -> TensorInfo {
    let shape = try #require(Shape(dimensions))
    return try #require(TensorInfo(name: name, elementType: type, shape: shape))
  }

  private static func values(_ checkpoint: Checkpoint) throws -> [TensorInfo: [UInt8]] {
    try checkpoint.tensors.reduce(into: [:]) {
      $0[$1.info] = try SafetensorsReadingTests.bytes(of: $1, inBlocksOf: 50_000)
    }
  }

  /// What numpy 2.4 wrote: `f_order` and `big` hold 0 to 5 in column-major order and big-endian.
  @Test func readsWhatNumPyWrites() throws {
    let checkpoint = try Checkpoint.openNPZ(at: Fixtures.path("samples/npz/w.npz"))
    let values = try Self.values(checkpoint).reduce(into: [:]) { $0[$1.key.name] = ($1.key, $1.value) }
    let numbers = (0..<6).flatMap { Float($0).bitPattern.littleEndianBytes }
    #expect(Set(values.keys) == ["a.weight", "b/bias", "s", "f_order", "big", "e"])
    for name in ["a.weight", "f_order", "big"] {
      #expect(values[name]?.0.shape.dimensions == [2, 3])
      #expect(values[name]?.1 == numbers, "\(name)")
    }
    #expect(values["b/bias"]?.0.elementType == .f16)
    #expect(values["s"]?.0.shape.rank == 0)
    #expect(values["e"]?.0.shape.dimensions == [0, 4])
  }

  @Test func readsDeflatedArrays() throws {
    let checkpoint = try Checkpoint.openNPZ(at: Fixtures.path("samples/npz/w_compressed.npz"))
    let numbers = (0..<6).flatMap { Float($0).bitPattern.littleEndianBytes }
    #expect(try Self.values(checkpoint).map(\.value) == [numbers])
  }

  @Test func pickledObjectsAreRefused() throws {
    let error = #expect(throws: EmbedFuseError.self) {
      _ = try Checkpoint.openNPZ(at: Fixtures.path("samples/npz/obj.npz"))
    }
    #expect(error?.problem.contains("a pickle, which is never run") == true)
    #expect(error?.tensor == "o")
  }

  @Test func everyElementTypeComesBackFromManyWorkers() async throws {
    let types = ElementType.allCases.filter { $0.byteWidth != nil }
    let shapes: [[UInt]] = [[30_000, 3], [7, 5, 3], [11], [], [0, 4], [2, 70_000]]
    var tensors: [TensorInfo] = []
    for type in types {
      for shape in shapes { tensors.append(try Self.info("ü/w.\(type).\(shape)", type, shape)) }
    }
    let expected = tensors.map { info in
      (0..<info.byteCount).map { UInt8(truncatingIfNeeded: $0 * 7 + info.name.count) }
    }
    let writer = try NumPyArchiveWriter(creating: path, tensors: tensors)
    try await withThrowingTaskGroup { group in
      for (index, info) in tensors.enumerated() {
        group.addTask {
          let bytes = expected[index]
          for run in BlockGrid(info).runs(of: writer.runLength(of: index)).shuffled() {
            let start = info.elementType.byteCount(ofElements: run.lowerBound)
            let end = info.elementType.byteCount(ofElements: run.upperBound)
            try writer.write(bytes.span.extracting(start..<end), of: index, at: run)
          }
        }
      }
      try await group.waitForAll()
    }
    writer.add(file: "embedfuse.json", bytes: Array("{}".utf8))
    try writer.finish()
    let checkpoint = try Checkpoint.openNPZ(at: path)
    #expect(checkpoint.tensors.map(\.info.name) == tensors.map(\.name))
    #expect(try Self.values(checkpoint) == Dictionary(uniqueKeysWithValues: zip(tensors, expected)))
    #expect(checkpoint.metadata == ["embedfuse": "{}"])
    // Every checksum is that of the bytes.
    let archive = try ZipArchive(try InputFile(path))
    for entry in archive.entries { _ = try archive.contents(of: entry, limit: .max) }
  }

  @Test func severalArraysThatCannotBeReadAreListed() throws {
    let good = NumPyArrayTests.array(NumPyArrayTests.dictionary("<f4", "()"), data: [0, 0, 0, 0])
    let text = NumPyArrayTests.array(NumPyArrayTests.dictionary("<U4", "()"))
    let objects = NumPyArrayTests.array(NumPyArrayTests.dictionary("|O", "()"))
    let error = try refusal(of: [("a.npy", good), ("b.npy", text), ("c.npy", objects)])
    #expect(error.problem.hasPrefix("2 arrays can't be read:\n  b: is of NumPy type <U4"))
    #expect(error.problem.contains("\n  c: is of NumPy type |O"))
  }

  @Test func archivesWithoutArraysAreRefused() throws {
    #expect(try refusal(of: [("data.pkl", [0x80])]).problem.contains("without NumPy arrays"))
  }

  @Test func namesThatDifferOnlyInTheirCompositionAreRefused() throws {
    let array = NumPyArrayTests.array(NumPyArrayTests.dictionary("<f4", "()"), data: [0, 0, 0, 0])
    let error = try refusal(of: [("\u{E9}.npy", array), ("e\u{301}.npy", array)])
    #expect(error.problem.contains("differ only in how their characters are composed"))
  }

  @Test func otherEntriesAreIgnoredWithANote() throws {
    let array = NumPyArrayTests.array(NumPyArrayTests.dictionary("<f4", "()"), data: [0, 0, 0, 0])
    try write([("a.npy", array), ("readme.txt", [0x61]), ("b/", [])])
    let checkpoint = try Checkpoint.openNPZ(at: path)
    #expect(checkpoint.tensors.map(\.info.name) == ["a"])
    #expect(checkpoint.notes.count == 1)
    #expect(checkpoint.notes.allSatisfy { $0.contains("no arrays are ignored: readme.txt") })
  }

  @Test func remarksNameTypesOfTheSameWidthOnly() throws {
    let array = NumPyArrayTests.array(NumPyArrayTests.dictionary("<V2", "()"), data: [0, 0])
    try write([("a.npy", array)], comment: "BF16")
    #expect(try Checkpoint.openNPZ(at: path).tensors.map(\.info.elementType) == [.bf16])
    try write([("a.npy", array)], comment: "F32")
    #expect(throws: EmbedFuseError.self) { _ = try Checkpoint.openNPZ(at: path) }
  }

  @Test func whatNumPyCannotHoldIsListed() throws {
    let tensors = [
      try Self.info("packed", .f4, [2]), try Self.info("fine", .f32, [1]),
      try Self.info("nul\0", .f32, [1]),
      try Self.info("deep", .f32, Array(repeating: 1, count: 65)),
    ]
    let error = #expect(throws: EmbedFuseError.self) {
      _ = try NumPyArchiveWriter(creating: path, tensors: tensors)
    }
    #expect(error?.problem.contains("packed is of type F4") == true)
    #expect(error?.problem.contains("nul\\u{0} is no name for an array") == true)
    #expect(error?.problem.contains("deep has 65 dimensions") == true)
    #expect(error?.problem.contains("fine") == false)
  }

  @Test func namesThatStandTwiceAreRefused() throws {
    let tensors = [try Self.info("a", .f32, [1]), try Self.info("a", .f32, [2])]
    let error = #expect(throws: EmbedFuseError.self) {
      _ = try NumPyArchiveWriter(creating: path, tensors: tensors)
    }
    #expect(error?.problem == "stands in the output twice")
  }

  @Test func aTensorThatWasNotWrittenIsFound() throws {
    let writer = try NumPyArchiveWriter(creating: path, tensors: [try Self.info("a", .f32, [3])])
    #expect(throws: EmbedFuseError.self) { try writer.finish() }
  }

  /// Writes an archive of these files, through the records that the writer uses.
  private func write(_ files: [(name: String, bytes: [UInt8])], comment: String = "") throws {
    var (data, directory): ([UInt8], [UInt8]) = ([], [])
    for file in files {
      let record = ZipRecord(
        name: Array(file.name.utf8), byteCount: file.bytes.count, offset: data.count, comment: comment)
      let checksum = CRC32(file.bytes.span)
      data += record.localHeader(checksum: checksum) + file.bytes
      directory += record.directoryEntry(checksum: checksum)
    }
    let end = ZipRecord.end(count: files.count, byteCount: directory.count, offset: data.count)
    try Data(data + directory + end).write(to: URL(fileURLWithPath: path))
  }

  private func refusal(of files: [(name: String, bytes: [UInt8])]) throws -> EmbedFuseError {
    try write(files)
    return try #require(throws: EmbedFuseError.self) { _ = try Checkpoint.openNPZ(at: path) }
  }
}
