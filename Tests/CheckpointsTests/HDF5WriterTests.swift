import Foundation
import TensorCore
import TestSupport
import Testing

@testable import Checkpoints

@Suite struct HDF5WriterTests {
  private let folder: TemporaryFolder

  init() throws { folder = try TemporaryFolder() }

  @Test(arguments: [1, 4])
  func everyTypeAndShapeComesBackExactly(threads: Int) throws {
    let sample = HDF5Sample.everything
    let path = folder("all.h5")
    try sample.write(to: path, threads: threads)
    let read = try HDF5Sample(reading: path)
    #expect(read.tensors.count == sample.tensors.count)
    for (info, values) in zip(sample.tensors, sample.values) {
      let index = try #require(read.tensors.firstIndex { $0 == info }, "\(info)")
      #expect(read.values[index] == values, "\(info.name)")
    }
  }

  @Test func bytesDependOnNeitherThreadsNorHowManyChunksAreHeldBack() throws {
    let sample = HDF5Sample.everything
    let files = ["tokenizer.json": [UInt8](repeating: 7, count: 50_000), "config.json": Array("{}".utf8)]
    func bytes(threads: Int, heldBack: Int) throws -> Data {
      let path = folder("\(threads)-\(heldBack).h5")
      try sample.write(
        to: path, threads: threads, metadata: ["b": "1", "a": "2"], files: files, heldBack: heldBack)
      return try Data(contentsOf: URL(fileURLWithPath: path))
    }
    let expected = try bytes(threads: 1, heldBack: 16)
    #expect(try bytes(threads: 4, heldBack: 16) == expected)
    #expect(try bytes(threads: 7, heldBack: 1) == expected)
  }

  /// What is written for several files at once is cut as fits another of them.
  @Test(arguments: [1, 3, 5, 100], [1, 4])
  func runsOfAnyLengthGiveTheSameFile(blocks: Int, threads: Int) throws {
    let sample = HDF5Sample.everything
    let (path, other) = (folder("runs.h5"), folder("others.h5"))
    try sample.write(to: path)
    try sample.write(
      to: other, threads: threads,
      runLength: { BlockGrid($0).runLength(target: blocks * BlockGrid.blockLength) }, heldBack: threads)
    #expect(
      try Data(contentsOf: URL(fileURLWithPath: other)) == Data(contentsOf: URL(fileURLWithPath: path)))
  }

  /// Matrices of MiniLM, BERT-base and BERT-large. A ninth more than the matrix is what runs of whole blocks can cost.
  @Test(arguments: [ElementType.f32, .bf16])
  func chunksOfMatricesAreAboutAMebibyteAndHardlyPadded(type: ElementType) throws {
    let matrices: [[UInt]] = [
      [384, 384], [1536, 384], [384, 1536], [30_522, 384], [768, 768], [3072, 768], [768, 3072],
      [30_522, 768], [1024, 1024], [4096, 1024], [1024, 4096], [30_522, 1024],
    ]
    for matrix in matrices {
      let info = try #require(TensorInfo(name: "w", elementType: type, shape: Shape(matrix)!))
      let layout = ChunkLayout(info)
      #expect(layout.chunkByteCount <= 3 << 19, "\(matrix)")
      #expect(layout.count == 1 || layout.chunkByteCount >= 1 << 19, "\(matrix)")
      #expect(layout.count * layout.chunkByteCount <= info.byteCount / 8 * 9, "\(matrix)")
    }
  }

  @Test(arguments: [ChunkCompression.weights, .level(1), .level(3), .level(19), .level(-5)])
  func everyLevelComesBackExactly(compression: ChunkCompression) throws {
    var sample = HDF5Sample()
    sample.add("w", .bf16, [300, 700])
    let path = folder("level.h5")
    try sample.write(to: path, compression: compression)
    #expect(try HDF5Sample(reading: path).values == sample.values)
  }

  @Test(arguments: [0, 23, -10_000_000])
  func levelOutsideOfZstdsIsRefusedBeforeAFileAppears(level: Int) throws {
    let path = folder("level.h5")
    let error = #expect(throws: EmbedFuseError.self) {
      try HDF5Writer(creating: path, tensors: [], compression: .level(level))
    }
    #expect(error?.code == .usage)
    #expect(!FileManager.default.fileExists(atPath: path))
  }

  @Test func weightsShrinkToTheirEntropy() throws {
    // Three random bytes of four, and 131 of 256 values of the fourth: about 25 of 32 bits, and 9 of 16.
    for (type, ratio) in [(ElementType.f32, 1.17), (.bf16, 1.4)] {
      var sample = HDF5Sample()
      sample.add("w", type, [2048, 1024])
      let path = folder("\(type).h5")
      try sample.write(to: path)
      let size = try #require(FileManager.default.attributesOfItem(atPath: path)[.size] as? Int)
      #expect(Double(sample.values[0].count) / Double(size) > ratio)
    }
  }

  @Test func incompressibleChunksAreStoredAsTheyAre() throws {
    var sample = HDF5Sample()
    sample.add("noise", .f32, [512, 1024], random: true)
    let path = folder("noise.h5")
    try sample.write(to: path)
    let size = try #require(FileManager.default.attributesOfItem(atPath: path)[.size] as? Int)
    #expect(size < sample.values[0].count + 4096)
    #expect(try HDF5Sample(reading: path).values == sample.values)
  }

  @Test func filesAndMetadataComeBack() throws {
    var sample = HDF5Sample()
    sample.add("w", .f32, [8])
    let files = [
      "config.json": Array("{}".utf8), "1_Pooling/config.json": Array("{\"a\": 1}".utf8), "empty": [],
      "100%.txt": Array("x".utf8),
      "tokenizer.json": (0..<20_000_000).map { UInt8(truncatingIfNeeded: $0 / 1000) },
    ]
    let path = folder("files.h5")
    try sample.write(
      to: path, metadata: ["format": "pt", "a/b": "ü", "": "no key", "none": ""], files: files)
    let reader = try HDF5Reader(path)
    var found: [String: [UInt8]] = [:]
    for (name, bytes) in try reader.files() { found[name] = bytes }
    #expect(found == files)
    let checkpoint = try reader.checkpoint()
    #expect(checkpoint.metadata == ["format": "pt", "a/b": "ü", "": "no key", "none": ""])
    #expect(checkpoint.tensors.map(\.info.name) == ["w"])
  }

  @Test(arguments: ["", "/etc/passwd", "../x", "a//b", "a/../b", "a\0b"])
  func fileNamesThatLeadOutAreRefused(name: String) throws {
    let writer = try HDF5Writer(creating: folder("names.h5"), tensors: [])
    #expect(throws: EmbedFuseError.self) { try writer.add(file: name, bytes: []) }
  }

  @Test func twoTensorsOfOneNameAreRefused() {
    let info = TensorInfo(name: "w", elementType: .f32, shape: Shape([1])!)!
    #expect(throws: EmbedFuseError.self) {
      try HDF5Writer(creating: folder("twice.h5"), tensors: [info, info])
    }
  }

  @Test func anExistingFileIsNotReplaced() throws {
    let path = folder("there.h5")
    try Data("mine".utf8).write(to: URL(fileURLWithPath: path))
    let error = #expect(throws: EmbedFuseError.self) { try HDF5Writer(creating: path, tensors: []) }
    #expect(error?.code == .cannotCreate)
    #expect(try Data(contentsOf: URL(fileURLWithPath: path)) == Data("mine".utf8))
  }

  @Test func finishingBeforeAllIsWrittenIsAnError() throws {
    let info = TensorInfo(name: "w", elementType: .f32, shape: Shape([1])!)!
    let writer = try HDF5Writer(creating: folder("short.h5"), tensors: [info])
    #expect(throws: EmbedFuseError.self) { try writer.finish() }
  }
}
