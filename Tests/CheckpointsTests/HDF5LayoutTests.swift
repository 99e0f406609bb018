import TensorCore
import TestSupport
import Testing

@testable import Checkpoints

/// Files that h5py wrote (`Scripts/make_hdf5_samples.py`), of which the values are known.
@Suite struct HDF5LayoutTests {
  /// Element `index` of every sample tensor.
  static func value(_ index: Int) -> Double { Double(7 * index % 251) / 4 - 20 }

  /// The bytes of `count` elements of a sample tensor.
  static func bytes(_ count: Int, as type: ElementType) -> [UInt8] {
    (0..<count).flatMap { index -> [UInt8] in
      let value = value(index)
      switch type {
      case .f16: return little(Float16(value).bitPattern)
      case .f32: return little(Float(value).bitPattern)
      case .f64: return little(value.bitPattern)
      case .c64: return little(Float(value).bitPattern) + [0, 0, 0, 0]
      case .bool: return [value > 0 ? 1 : 0]
      case .i8, .i16, .i32, .i64:
        return Array(little(Int64(value)).prefix(type.bitWidth / 8))
      default: return Array(little(Int64(value) + 20).prefix(type.bitWidth / 8))
      }
    }
  }

  private static func little<Number: FixedWidthInteger>(_ number: Number) -> [UInt8] {
    (0..<Number.bitWidth / 8).map { UInt8(truncatingIfNeeded: number >> (8 * $0)) }
  }

  private static func open(_ name: String) throws -> Checkpoint {
    try Checkpoint.openHDF5(at: Fixtures.path("samples/hdf5/\(name)"))
  }

  private static func tensor(_ name: String, in file: String) throws -> StoredTensor {
    try #require(try open(file).tensors.first { $0.info.name == name })
  }

  @Test(arguments: [
    "contiguous", "chunked", "tiles", "gzip", "gzip.shuffle", "gzip.whole", "shuffle", "fletcher",
    "gzip.shuffle.fletcher", "lzf", "lzf.shuffle.fletcher", "zstd", "zstd.shuffle.fletcher", "resizable",
    "automatic", "fletcher.first", "masked",
  ])
  func everyWayToStoreAnArrayIsReadExactly(name: String) throws {
    let tensor = try Self.tensor(name, in: "filters.h5")
    #expect(tensor.info.elementType == .f32)
    #expect(tensor.info.shape == Shape([60, 50]))
    #expect(try tensor.values() == Self.bytes(3000, as: .f32))
  }

  @Test(arguments: [
    ("scaleoffset", ElementType.i16, [60, 50]), ("compact", .f32, [10, 5]), ("volume", .f32, [5, 7, 9]),
    ("row", .f32, [1000]), ("scalar", .f32, []), ("empty", .f32, [0, 7]),
    ("encoder/layer/0/weight", .f32, [4, 4]),
  ])
  func otherShapesAndTypesAreReadExactly(name: String, type: ElementType, shape: [UInt]) throws {
    let tensor = try Self.tensor(name, in: "filters.h5")
    #expect(tensor.info.elementType == type)
    #expect(tensor.info.shape == Shape(shape))
    #expect(try tensor.values() == Self.bytes(tensor.info.shape.elementCount, as: type))
  }

  @Test func anyPieceIsReadAsTheWholeIs() throws {
    let all = Self.bytes(3000, as: .f32)
    for name in ["tiles", "gzip.whole", "lzf", "zstd.shuffle.fletcher", "resizable", "masked"] {
      let tensor = try Self.tensor(name, in: "filters.h5")
      for range in [0..<1, 49..<51, 799..<1601, 1234..<2999, 2999..<3000] {
        var part = [UInt8](repeating: 0, count: range.count * 4)
        var span = part.mutableSpan
        try tensor.storage.read(range, into: &span)
        #expect(part == Array(all[range.lowerBound * 4..<range.upperBound * 4]), "\(name) \(range)")
      }
    }
  }

  @Test func hardLinkIsAnAlias() throws {
    let checkpoint = try Self.open("filters.h5")
    #expect(checkpoint.aliases == ["tied": "contiguous"])
    #expect(!checkpoint.tensors.contains { $0.info.name == "tied" })
  }

  @Test(arguments: [
    ("f2", ElementType.f16), ("f4", .f32), ("f8", .f64), ("i2", .i16), ("i4", .i32), ("i8", .i64),
    ("u2", .u16), ("u4", .u32), ("u8", .u64), ("c8", .c64),
  ])
  func bothByteOrdersGiveTheSameValues(code: String, type: ElementType) throws {
    for order in ["little", "big"] {
      for suffix in ["", ".gzip"] {
        let tensor = try Self.tensor("\(order).\(code)\(suffix)", in: "numbers.h5")
        #expect(tensor.info.elementType == type)
        #expect(try tensor.values() == Self.bytes(600, as: type), "\(order)\(suffix)")
      }
    }
  }

  @Test func bytesAndTruthValuesAreRead() throws {
    for (name, type) in [("i1", ElementType.i8), ("bool", .bool)] {
      let tensor = try Self.tensor(name, in: "numbers.h5")
      #expect(tensor.info.elementType == type)
      #expect(try tensor.values() == Self.bytes(600, as: type))
    }
  }

  @Test func whatWasNeverWrittenHasTheFillValue() throws {
    // All but the last, which says that it has none.
    let checkpoint = try #require(
      throws: EmbedFuseError.self, performing: { try Self.open("unwritten.h5") })
    #expect(checkpoint.tensor == "never")
    #expect(checkpoint.description.contains("1 of its 4 chunks were written"))
    let reader = try HDF5Reader(Fixtures.path("samples/hdf5/unwritten.h5"))
    let written = Self.bytes(100, as: .f32)
    func repeated(_ value: Float, _ count: Int) -> [UInt8] {
      (0..<count).flatMap { _ in Self.little(value.bitPattern) }
    }
    for (number, dataset) in reader.directory.datasets.enumerated() where dataset.path != "never" {
      let values = try reader.tensor(number).values()
      switch dataset.path {
      case "part": #expect(values == repeated(0.5, 100) + written + repeated(0.5, 200))
      case "none": #expect(values == repeated(-2, 400))
      case "none.chunked": #expect(values == repeated(1.5, 400))
      default: #expect(values == repeated(0, 400))
      }
    }
  }

  @Test func userblockIsSkipped() throws {
    for name in ["plain", "gzip"] {
      #expect(try Self.tensor(name, in: "userblock.h5").values() == Self.bytes(3000, as: .f32))
    }
  }

  @Test(arguments: ["fixed", "extensible", "tree", "single", "plain"])
  func newerIndexesOfChunksAreRead(name: String) throws {
    #expect(try Self.tensor(name, in: "v110.h5").values() == Self.bytes(3000, as: .f32))
  }

  @Test func moreChunksThanCanBeListedAreRead() throws {
    let tensor = try Self.tensor("w", in: "many_chunks.h5")
    let values = try tensor.values()
    var expected = Self.bytes(4100 * 4, as: .f32)
    expected.replaceSubrange(
      77 * 16..<78 * 16, with: (0..<4).flatMap { _ in Self.little(Float(9).bitPattern) })
    #expect(values == expected)
  }

  @Test func largeChunksAreDecodedPieceByPiece() throws {
    // Larger than what is decoded at once, of a width that leaves bytes over.
    let count = ChunkDecoder.streamingBytes + 4_003
    let values = (0..<count).map { UInt8(truncatingIfNeeded: $0 / 7 % 251) }
    for (filter, width) in [("zstd", 1), ("zstd", 4), ("zstd", 8)] {
      let encoder = try ChunkEncoder(.level(3))
      let folder = try TemporaryFolder()
      var stored = values
      if width > 1 {
        let whole = count / width * width
        stored = (0..<width).flatMap { plane in
          stride(from: plane, to: whole, by: width).map { values[$0] }
        }
        stored += values[whole...]
      }
      let frame = try #require(try encoder.encode(stored.span, width: 1))
      let path = folder("frame")
      try OutputFile.write([1, 2, 3] + frame, to: path)
      var result = [UInt8](repeating: 0, count: count)
      var span = result.mutableSpan
      try ChunkDecoder().stream(
        3..<3 + frame.count, of: InputFile(path),
        applied: width > 1 ? [.shuffle(width: width), .zstd] : [.zstd],
        into: &span)
      #expect(result == values, "\(filter) \(width)")
      for damaged in [Array(frame.dropLast()), frame + [0], frame + frame] {
        let other = folder("damaged\(damaged.count)")
        try OutputFile.write(damaged, to: other)
        #expect(throws: EmbedFuseError.self) {
          var span = result.mutableSpan
          try ChunkDecoder().stream(0..<damaged.count, of: InputFile(other), applied: [.zstd], into: &span)
        }
      }
    }
  }
}

/// What an HDF5 file may hold besides tensors, and where it may not lead.
@Suite struct HDF5RejectionTests {
  private static func error(_ name: String) throws -> EmbedFuseError {
    try #require(
      throws: EmbedFuseError.self,
      performing: { try Checkpoint.openHDF5(at: Fixtures.path("samples/hdf5/\(name)")) })
  }

  @Test func whatIsNoTensorIsLeftOutAndSaid() throws {
    let checkpoint = try Checkpoint.openHDF5(at: Fixtures.path("samples/hdf5/mixed.h5"))
    #expect(checkpoint.tensors.map(\.info.name) == ["weight"])
    let note = try #require(checkpoint.notes.first)
    for text in [
      "fixed (texts)", "names (texts)", "records (records)", "references (references)", "nothing (no values)",
      "ragged (rows of different lengths)", "opaque (opaque bytes)",
    ] { #expect(note.contains(text), "\(text)") }
  }

  @Test func fileWithoutTensorsIsRefused() throws {
    let error = try Self.error("no_tensors.h5")
    #expect(error.code == .badData)
    #expect(error.problem.contains("holds no tensors"))
  }

  @Test(arguments: [
    ("soft_link.h5", "the link link leads elsewhere"), ("external_link.h5", "the link link leads elsewhere"),
    ("external_values.h5", "its values are in other files"), ("virtual.h5", "its values are in other files"),
    ("circle.h5", "leads in a circle"), ("deep.h5", "too deep"),
    ("plugin.h5", "32001 (blosc), which is not installed"),
  ])
  func whatLeadsElsewhereIsRefused(name: String, problem: String) throws {
    let error = try Self.error(name)
    #expect(error.code == .badData)
    #expect(error.description.contains(problem), "\(error)")
  }

  @Test func fileOfANewerLibraryIsNamedAsSuch() throws {
    let error = try Self.error("v200.h5")
    #expect(error.code == .badData)
    #expect(error.remedy?.contains("libver='v110'") == true)
  }
}
