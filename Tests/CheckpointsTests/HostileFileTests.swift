import Foundation
import TensorCore
import TestSupport
import Testing

@testable import Checkpoints

/// Files that were made to take all memory, all time, or what isn't theirs. Fuzzing (`docs/fuzzing.md`) looks for
/// others; what it found has a test here too.
@Suite struct HostileFileTests {
  private let folder: TemporaryFolder

  init() throws { folder = try TemporaryFolder() }

  private func write(_ bytes: [UInt8], to name: String) throws -> String {
    try Data(bytes).write(to: URL(fileURLWithPath: folder(name)))
    return folder(name)
  }

  private func refusal(_ body: () throws -> Void) throws -> EmbedFuseError {
    let error = try #require(throws: EmbedFuseError.self, performing: body)
    #expect(error.code == .badData, "\(error)")
    return error
  }

  // MARK: Decompression

  /// 16 MiB of zeros in 16 KiB: legal, so that it is read, but block by block.
  @Test func anArrayThatInflatesAThousandfoldIsReadInBlocks() throws {
    let count = 4 << 20
    let dictionary = "{'descr': '<f4', 'fortran_order': False, 'shape': (\(count),), }"
    let header = Array(dictionary.utf8) + [UInt8](repeating: 32, count: 117 - dictionary.utf8.count) + [10]
    let array =
      [0x93] + Array("NUMPY".utf8) + [1, 0, 118, 0] + header + [UInt8](repeating: 0, count: 4 * count)
    var builder = ZipBuilder()
    builder.entries = [.init("w.npy", array, deflated: true)]
    let bytes = builder.bytes
    #expect(bytes.count < 20 << 10)
    let tensor = try Checkpoint.openNPZ(at: try write(bytes, to: "bomb.npz")).tensors[0]
    #expect(tensor.info.byteCount == 4 * count && tensor.storage.residentBytes < 4 * count)
    var last = [UInt8](repeating: 1, count: 4 << 10)
    var span = last.mutableSpan
    try tensor.storage.read(count - 1024..<count, into: &span)
    #expect(last.allSatisfy { $0 == 0 })
  }

  @Test(arguments: [
    ("bomb_file", "vocab.txt has 314572800 bytes, expected at most 268435456"),
    ("file_outside", "the name of the file __files__/.. leads out of its folder"),
    ("file_outside_encoded", "the name of the file __files__/1_Pooling/..%2F..%2Fconfig.json leads out"),
    ("file_of_floats", "the file __files__/config.json is not a row of bytes"),
  ])
  func filesBesideTheTensorsThatAreNone(name: String, problem: String) throws {
    let reader = try HDF5Reader(Fixtures.path("samples/hdf5/\(name).h5"))
    let error = try refusal { _ = try reader.files() }
    #expect(error.problem.contains(problem), "\(error)")
  }

  @Test(arguments: ["bomb_deflate", "bomb_zstd"]) func chunksThatHoldMoreThanTheirShare(name: String) throws {
    let tensor = try Checkpoint.openHDF5(at: Fixtures.path("samples/hdf5/\(name).h5")).tensors[0]
    #expect(tensor.info.byteCount == 256)
    let error = try refusal { _ = try tensor.values() }
    #expect(error.problem.contains("chunk") || error.problem.contains("frame"), "\(error)")
  }

  @Test func valuesThatWereNeverWrittenOutOfAllProportion() throws {
    let error = try refusal { _ = try HDF5Reader(Fixtures.path("samples/hdf5/bomb_unwritten.h5")) }
    #expect(error.problem.contains("too much of it was never written for a file of"), "\(error)")
  }

  /// Files on which the HDF5 library itself crashes, or never comes back.
  @Test(arguments: [
    ("damaged_crash", "it crashes"), ("damaged_hang", "it computes without an end"),
    ("damaged_list", "it lists more than the file can hold"), ("bomb_texts", "it takes too much memory"),
  ])
  func filesThatTheHDF5LibraryFailsOn(name: String, how: String) throws {
    let error = try refusal { _ = try HDF5Reader(Fixtures.path("samples/hdf5/\(name).h5")) }
    #expect(error.problem.contains("the HDF5 library fails on it (\(how)"), "\(error)")
  }

  @Test func aRootThatIsADataset() throws {
    let error = try refusal { _ = try HDF5Reader(Fixtures.path("samples/hdf5/damaged_root.h5")) }
    #expect(error.problem.contains("its root is a dataset, expected a group"), "\(error)")
  }

  // MARK: Nesting

  static let depth = 100_000

  @Test(arguments: ["[", "{\"a\":", "[{\"a\":"]) func jsonThatNestsDeeply(opening: String) throws {
    let text = String(repeating: opening, count: Self.depth)
    #expect(try refusal { _ = try JSON.parse(text) }.problem.contains("nest more than 128 deep"))
    let file = SafetensorsBuilder.file(header: "{\"__metadata__\":" + text)
    let path = try write(file, to: "deep.safetensors")
    #expect(
      try refusal { _ = try Checkpoint.openSafetensors(at: path) }.problem.contains("nest more than 128 deep")
    )
  }

  /// What a pickle nests is never followed by recursion; a model in it is looked for in a few levels.
  @Test(arguments: ["]", "}", ")"]) func picklesThatNestDeeply(opening: String) throws {
    var pickle: [UInt8] = [0x80, 2] + [UInt8](repeating: Array(opening.utf8)[0], count: Self.depth)
    switch opening {
    case "]": pickle += [UInt8](repeating: UInt8(ascii: "a"), count: Self.depth - 1)
    case "}":
      pickle = [0x80, 2, 0x7D] + (1..<Self.depth).flatMap { _ in [0x4B, 0, 0x7D] as [UInt8] }
      pickle += [UInt8](repeating: UInt8(ascii: "s"), count: Self.depth - 1)
    default: pickle = [0x80, 2, 0x29] + [UInt8](repeating: 0x85, count: Self.depth)
    }
    let path = try write(torch(pickle + [0x2E]), to: "deep.pt")
    #expect(
      try refusal { _ = try Checkpoint.openPyTorch(at: path) }.problem.contains("state dict is expected"))
  }

  /// A dictionary of very many empty ones: looking for the model in it must not compare each with each.
  @Test func aPickleOfVeryManyDictionaries() throws {
    let count = 100_000
    let members = (0..<count).flatMap { [0x4A] + UInt32($0).littleEndianBytes + [0x7D] as [UInt8] }
    let path = try write(torch([0x80, 2, 0x7D, 0x28] + members + [0x75, 0x2E]), to: "wide.pt")
    #expect(
      try refusal { _ = try Checkpoint.openPyTorch(at: path) }.problem.contains("state dict is expected"))
  }

  private func torch(_ pickle: [UInt8]) -> [UInt8] {
    var builder = ZipBuilder()
    builder.entries = [.init("m/data.pkl", pickle), .init("m/version", Array("3\n".utf8))]
    return builder.bytes
  }

  @Test(arguments: ["(", "[", "{", "(1,[", "-"]) func numPyHeadersThatNestDeeply(opening: String) throws {
    let text = Array(("{'shape': " + String(repeating: opening, count: 10_000)).utf8)
    let bytes = [0x93] + Array("NUMPY".utf8) + [1, 0] + UInt16(text.count).littleEndianBytes + text
    _ = try refusal { _ = try Checkpoint.openNPY(at: try write(bytes, to: "deep.npy")) }
  }

  // MARK: Sizes

  @Test(arguments: [
    "9223372036854775807", "9223372036854775808", "18446744073709551615", "18446744073709551616",
  ])
  func sizesBeyondEveryFile(size: String) throws {
    for shape in ["[\(size)]", "[\(size),0]", "[2,\(size)]"] {
      let header = "{\"a\":{\"dtype\":\"F32\",\"shape\":\(shape),\"data_offsets\":[0,\(size)]}}"
      let path = try write(
        SafetensorsBuilder.file(header: header, data: [0, 0, 0, 0]), to: "huge.safetensors")
      _ = try refusal { _ = try Checkpoint.openSafetensors(at: path) }
      let text = Array("{'descr': '<f4', 'fortran_order': True, 'shape': \(shape)}".utf8)
      let array = [0x93] + Array("NUMPY".utf8) + [1, 0] + UInt16(text.count).littleEndianBytes + text
      _ = try refusal { _ = try Checkpoint.openNPY(at: try write(array + [0, 0, 0, 0], to: "huge.npy")) }
    }
    var builder = GGUFBuilder()
    guard let number = UInt64(size) else { return }
    builder.add(tensor: "a", [number, 2], type: 0, at: 0)
    _ = try refusal { _ = try Checkpoint.openGGUF(at: try write(builder.bytes, to: "huge.gguf")) }
    builder = .small
    builder.tensorCount = number
    _ = try refusal { _ = try Checkpoint.openGGUF(at: try write(builder.bytes, to: "many.gguf")) }
  }

  /// Such a tensor has no elements, but its rows have: whatever is computed from their length must not overflow.
  @Test(arguments: [
    "144115188075855872", "2305843009213693952", "9223372036854775807", "9223372036854775808",
    "18446744073709551615",
  ])
  func extentsBeyondEveryFileBesideAZero(text: String) throws {
    let size = try #require(UInt64(text))
    func refuses(_ bytes: [UInt8], _ name: String) throws {
      let error = try refusal {
        _ = try Checkpoint.open(at: try write(bytes, to: name), options: OpeningOptions())
      }
      #expect(error.problem.contains("more than 2^56 elements"), "\(error)")
      #expect(error.tensor == "huge", "\(error)")
    }
    let pairs: [(UInt64, UInt64)] = [(0, size), (size, 0)]
    for (first, second) in pairs {
      for type in ["F32", "F64"] {
        let header =
          "{\"huge\":{\"dtype\":\"\(type)\",\"shape\":[\(first),\(second)],\"data_offsets\":[0,0]}}"
        try refuses(SafetensorsBuilder.file(header: header), "huge.safetensors")
      }
      for order in ["True", "False"] {
        let text = Array("{'descr': '<f4', 'fortran_order': \(order), 'shape': (\(first), \(second))}".utf8)
        let start: [UInt8] = [0x93] + Array("NUMPY".utf8) + [1, 0]
        let array = start + UInt16(text.count).littleEndianBytes + text
        try refuses(array, "huge.npy")
        var archive = ZipBuilder()
        archive.entries = [.init("huge.npy", array)]
        try refuses(archive.bytes, "huge.npz")
      }
      var builder = GGUFBuilder()
      builder.add(tensor: "huge", [first, second], type: 0, at: 0)
      try refuses(builder.bytes, "huge.gguf")
    }
  }

  @Test(arguments: ["hdf5/empty_huge.h5", "torch/bad/empty_huge.pt"])
  func anEmptyTensorWithRowsBeyondEveryFile(name: String) throws {
    let error = try refusal {
      _ = try Checkpoint.open(at: Fixtures.path("samples/\(name)"), options: OpeningOptions())
    }
    #expect(error.problem.contains("[0, 9223372036854775807]"), "\(error)")
    #expect(error.problem.contains("more than 2^56 elements") && error.tensor == "w", "\(error)")
  }

  @Test func tensorsThatOverlap() throws {
    for second in ["[2,6]", "[0,4]", "[0,2]"] {
      let header =
        "{\"a\":{\"dtype\":\"U8\",\"shape\":[4],\"data_offsets\":[0,4]},\"b\":{\"dtype\":\"U8\",\"shape\":[4],\"data_offsets\":\(second)}}"
      let path = try write(
        SafetensorsBuilder.file(header: header, data: [0, 0, 0, 0, 0, 0]), to: "o.safetensors")
      _ = try refusal { _ = try Checkpoint.openSafetensors(at: path) }
    }
  }

  // MARK: Places

  /// Indexes of every kind of shards; links to shards elsewhere are in ShardIndexTests.
  @Test(arguments: ["model.safetensors.index.json", "pytorch_model.bin.index.json", "m.weights.json"])
  func shardsOutsideOfTheFolder(index: String) throws {
    for name in ["../x", "/etc/passwd", "..", ".", "", "a/b", "a\\b", "x\0y"] {
      let path = folder(index)
      try SafetensorsBuilder.writeIndex(["a": name], to: path)
      let error = try refusal { _ = try Checkpoint.open(at: path, options: OpeningOptions()) }
      #expect(error.problem.contains("which is no plain file name"), "\(name): \(error)")
    }
  }

  @Test(arguments: [
    ("model.safetensors.index.json", "1.safetensors"), ("pytorch_model.bin.index.json", "1.bin"),
    ("m.weights.json", "m_00000.weights.h5"),
  ])
  func shardsThatAreLinksElsewhere(index: String, shard: String) throws {
    try FileManager.default.createDirectory(atPath: folder("inside"), withIntermediateDirectories: true)
    let outside = try write([1, 2, 3], to: "outside")
    try FileManager.default.createSymbolicLink(
      atPath: folder("inside/\(shard)"), withDestinationPath: outside)
    try SafetensorsBuilder.writeIndex(["a": shard], to: folder("inside/\(index)"))
    let error = try refusal {
      _ = try Checkpoint.open(at: folder("inside/\(index)"), options: OpeningOptions())
    }
    #expect(error.problem.contains("outside of the folder of its index"), "\(error)")
  }

  @Test(arguments: ["..", "/etc", "a/../..", "1_Pooling/../../x"]) func modulesOutsideOfTheFolder(
    place: String
  ) throws {
    let list: JSON = [
      ["path": "", "type": "sentence_transformers.models.Transformer"],
      ["path": .string(place), "type": "sentence_transformers.models.Dense"],
    ]
    _ = try write(Array(list.compactText.utf8), to: "modules.json")
    try SafetensorsBuilder.write([("a", .u8, [1], [1])], to: folder("model.safetensors"))
    let error = try refusal { _ = try ModelSource.open(folder.path) }
    #expect(error.problem.contains("which is no folder of this directory"), "\(error)")
  }
}
