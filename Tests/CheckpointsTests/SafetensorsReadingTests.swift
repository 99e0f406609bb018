import Foundation
import TensorCore
import TestSupport
import Testing

@testable import Checkpoints

@Suite struct SafetensorsReadingTests {
  /// All bytes of a tensor, read in blocks of at most `length` elements, in whole bytes.
  static func bytes(of tensor: StoredTensor, inBlocksOf length: Int) throws -> [UInt8] {
    let (info, packed) = (tensor.info, tensor.info.elementType.byteWidth == nil)
    let step = packed ? max(4, length / 4 * 4) : length
    var result: [UInt8] = []
    for start in stride(from: 0, to: info.shape.elementCount, by: step) {
      let range = start..<min(start + step, info.shape.elementCount)
      var block = [UInt8](repeating: 0xEE, count: range.count * info.elementType.bitWidth / 8)
      var span = block.mutableSpan
      try tensor.storage.read(range, into: &span)
      result += block
    }
    return result
  }

  @Test(arguments: [1, 3, 1000]) func readsEveryElementType(blockLength: Int) throws {
    let expected = try #require(
      try JSON.read(Fixtures.path("samples/safetensors/good/expected.json"))["all_dtypes"]?.objectValue)
    let checkpoint = try Checkpoint.openSafetensors(
      at: Fixtures.path("samples/safetensors/good/all_dtypes.safetensors"))
    #expect(Set(checkpoint.tensors.map(\.info.name)) == Set(expected.keys))
    for tensor in checkpoint.tensors {
      let entry = try #require(expected[tensor.info.name])
      #expect(tensor.info.elementType.name == entry["dtype"]?.stringValue)
      #expect(tensor.info.shape.dimensions.map(Int.init) == entry["shape"]?.arrayValue?.map { $0.intValue })
      let hex = try Self.bytes(of: tensor, inBlocksOf: blockLength).map { String(format: "%02x", $0) }
      #expect(hex.joined() == entry["hex"]?.stringValue, "\(tensor.info.name)")
    }
  }

  @Test func readsScalarsAndEmptyTensors() throws {
    let path = Fixtures.path("samples/safetensors/good/scalar_empty.safetensors")
    let checkpoint = try Checkpoint.openSafetensors(at: path)
    #expect(checkpoint.tensors.contains { $0.info.shape.dimensions.isEmpty && $0.info.byteCount > 0 })
    #expect(checkpoint.tensors.contains { $0.info.shape.elementCount == 0 })
    for tensor in checkpoint.tensors {
      #expect(try Self.bytes(of: tensor, inBlocksOf: 1).count == tensor.info.byteCount)
    }
  }

  @Test func tensorsComeInTheOrderOfTheirValuesWhateverTheirAlignment() throws {
    try withTemporaryFolder { folder in
      let path = folder + "/model.safetensors"
      let header =
        #"{"z":{"dtype":"F32","shape":[2],"data_offsets":[1,9]},"a":{"dtype":"U8","shape":[1],"data_offsets":[0,1]}}"#
      let file = SafetensorsBuilder.file(header: header, data: Array(0..<9))
      try Data(file).write(to: URL(fileURLWithPath: path))
      let checkpoint = try Checkpoint.openSafetensors(at: path)
      #expect(checkpoint.tensors.map(\.info.name) == ["a", "z"])
      #expect(try Self.bytes(of: checkpoint.tensors[1], inBlocksOf: 1) == Array(1..<9))
      #expect(checkpoint.files.map(\.path) == [path] && checkpoint.files.map(\.byteCount) == [file.count])
    }
  }

  @Test func tiedTensorsAreAliases() throws {
    let checkpoint = try Checkpoint.openSafetensors(
      at: Fixtures.path("samples/safetensors/good/tied_save_model.safetensors"))
    #expect(checkpoint.metadata == ["format": "pt", "b.weight": "a.weight"])
    #expect(checkpoint.aliases == ["b.weight": "a.weight"])
  }

  @Test func metadataThatTiesNothingIsNoAlias() throws {
    try withTemporaryFolder { folder in
      let path = folder + "/model.safetensors"
      try SafetensorsBuilder.write(
        [("pt", .u8, [1], [1]), ("kept", .u8, [1], [2]), ("also", .u8, [1], [3])], to: path,
        metadata: ["format": "pt", "also": "kept", "dropped": "absent", "tied": "kept"])
      #expect(try Checkpoint.openSafetensors(at: path).aliases == ["tied": "kept"])
    }
  }

  @Test func aFileTruncatedAfterItWasOpenedIsAnErrorOfItsTensor() throws {
    try withTemporaryFolder { folder in
      let path = folder + "/model.safetensors"
      try SafetensorsBuilder.write([("a", .u8, [100], Array(0..<100))], to: path)
      let tensor = try Checkpoint.openSafetensors(at: path).tensors[0]
      let size = SafetensorsBuilder.file([("a", .u8, [100], Array(0..<100))]).count
      try #require(unsafe truncate(path, size - 1) == 0)
      let error = try #require(throws: EmbedFuseError.self) { try Self.bytes(of: tensor, inBlocksOf: 30) }
      #expect(error.code == .inputOutput && error.path == path && error.offset == size - 1)
    }
  }

  /// What opening a file with this header and this many bytes of data says.
  private func rejection(ofHeader header: String, dataCount: Int = 0) throws -> EmbedFuseError {
    try withTemporaryFolder { folder in
      let file = SafetensorsBuilder.file(header: header, data: [UInt8](repeating: 0, count: dataCount))
      let path = folder + "/model.safetensors"
      try Data(file).write(to: URL(fileURLWithPath: path))
      return try #require(throws: EmbedFuseError.self) { try Checkpoint.openSafetensors(at: path) }
    }
  }

  @Test func offsetsThatAddUpPastTheLargestIntegerAreRejected() throws {
    // Tensors in good order, the last (an empty one) at the largest offset that an Int holds.
    var (begin, entries) = (0, [String]())
    while begin < Int.max {
      let size = min(1 << 56, Int.max - begin)
      entries.append(
        #""t\#(entries.count)":{"dtype":"U8","shape":[\#(size)],"data_offsets":[\#(begin),\#(begin + size)]}"#
      )
      begin += size
    }
    entries.append(#""end":{"dtype":"U8","shape":[0],"data_offsets":[\#(begin),\#(begin)]}"#)
    let error = try rejection(ofHeader: "{\(entries.joined(separator: ","))}", dataCount: 4)
    #expect(
      error.problem.contains("the tensors take \(Int.max) bytes, but the file ends after 4"), "\(error)")
  }

  @Test func offsetsBeyondTheLargestIntegerAreRejected() throws {
    let error = try rejection(
      ofHeader:
        #"{"a":{"dtype":"U8","shape":[0],"data_offsets":[18446744073709551615,18446744073709551615]}}"#)
    #expect(error.problem.contains("which are no range") && error.tensor == "a")
  }

  @Test func anErrorNamesTheEntrysByte() throws {
    let error = try rejection(
      ofHeader: #"{"a":{"dtype":"U8","shape":[1],"data_offsets":[0,1]},"b":{"dtype":"U7"}}"#, dataCount: 1)
    #expect(error.tensor == "b" && error.offset == 8 + 53)
    #expect(error.problem.contains(#"unknown dtype "U7"; known are BOOL,"#))
  }

  @Test func aMessageStaysShortWhateverTheFileHolds() throws {
    let zeros = String(repeating: "0,", count: 100_000)
    let error = try rejection(
      ofHeader: #"{"a":{"dtype":"U8","shape":[\#(zeros)-1],"data_offsets":[0,0]}}"#)
    #expect(error.problem.contains("..., which is no array of unsigned integers"))
    #expect(error.description.utf8.count < 1000)
  }

  @Test func deepNestingWithinAnUnknownFieldIsRejected() throws {
    let deep = String(repeating: "[", count: 100_000)
    let error = try rejection(ofHeader: #"{"a":{"extra":\#(deep)"#)
    #expect(error.problem.contains("nest more than 128 deep"))
  }

  @Test func aFolderIsNoCheckpointFile() throws {
    let error = try #require(throws: EmbedFuseError.self) {
      try Checkpoint.openSafetensors(at: Fixtures.path("samples/safetensors/good"))
    }
    #expect(error.code == .missingInput && error.problem.contains("is a directory"))
  }
}
