import Foundation
import TestSupport
import Testing

@testable import Checkpoints
@testable import TensorCore

@Suite struct GGUFReadingTests {
  private let folder: TemporaryFolder

  init() throws { folder = try TemporaryFolder() }

  private func open(_ builder: GGUFBuilder) throws -> Checkpoint { try open(builder.bytes) }

  private func open(_ bytes: [UInt8], describing: Bool = false) throws -> Checkpoint {
    let path = folder("\(UUID().uuidString).gguf")
    try Data(bytes).write(to: URL(fileURLWithPath: path))
    return try Checkpoint.openGGUF(at: path, options: OpeningOptions(describing: describing))
  }

  /// The message with which a file is refused; it must name bad data.
  private func refusal(_ builder: GGUFBuilder) throws -> String { try refusal(builder.bytes) }

  private func refusal(_ bytes: [UInt8]) throws -> String {
    do {
      _ = try open(bytes)
      return "accepted"
    } catch let error as EmbedFuseError {
      #expect(error.code == .badData)
      return error.description
    }
  }

  /// The fixture is what the `gguf` package of llama.cpp writes; expected.json holds the tensors' bytes, of Q8_0 the
  /// blocks and the values.
  @Test(arguments: [1000, 1, 7, 32, 33]) func readsWhatTheReferenceWrites(step: Int) throws {
    let checkpoint = try Checkpoint.openGGUF(at: Fixtures.path("samples/gguf/t.gguf"))
    let json = try JSONSerialization.jsonObject(
      with: Data(contentsOf: URL(fileURLWithPath: Fixtures.path("samples/gguf/expected.json"))))
    let expected = try #require(json as? [String: [String: Any]])
    #expect(Set(checkpoint.tensors.map(\.info.name)) == Set(expected.keys))
    for tensor in checkpoint.tensors {
      let entry = try #require(expected[tensor.info.name])
      #expect(tensor.info.shape.dimensions.reversed() == (entry["ne"] as? [UInt]))
      let stored = try #require(entry["hex"] as? String).hexBytes
      let bytes = try SafetensorsReadingTests.bytes(of: tensor, inBlocksOf: step)
      if entry["type"] as? String == "Q8_0" {
        #expect(tensor.info.elementType == .f32)
        #expect(bytes == Self.dequantized(stored))
      } else {
        #expect(tensor.info.elementType.name == entry["type"] as? String)
        #expect(bytes == stored)
      }
    }
    #expect(checkpoint.metadata["general.architecture"] == "bert")
    #expect(checkpoint.metadata["x.str"] == "hé")
    #expect(checkpoint.metadata["x.arr"] == "3 items of INT32")
    #expect(checkpoint.metadata["x.u64"] == "1099511627776")
    #expect(checkpoint.metadata["x.i8"] == "-3")
    #expect(checkpoint.metadata["x.flag"] == "true")
    #expect(checkpoint.notes.contains { $0.contains("1 tensor in Q8_0 is read as F32") })
  }

  /// d·q in binary64, which F32 holds exactly.
  private static func dequantized(_ blocks: [UInt8]) -> [UInt8] {
    var result: [UInt8] = []
    for start in stride(from: 0, to: blocks.count, by: 34) {
      let scale = Double(Float16(bitPattern: UInt16(blocks[start]) | UInt16(blocks[start + 1]) << 8))
      for byte in blocks[start + 2..<start + 34] {
        result += Float(scale * Double(Int8(bitPattern: byte))).bitPattern.littleEndianBytes
      }
    }
    return result
  }

  @Test func version2IsReadLikeVersion3() throws {
    var builder = GGUFBuilder.small
    builder.version = 2
    let checkpoint = try open(builder)
    #expect(checkpoint.tensors[0].info.shape.dimensions == [2, 4])
    #expect(
      try SafetensorsReadingTests.bytes(of: checkpoint.tensors[0], inBlocksOf: 3) == builder.data)
  }

  @Test func scalarsEmptyTensorsAndForeignOrderAreRead() throws {
    var builder = GGUFBuilder()
    builder.add(tensor: "second", [2], type: 24, at: 32)
    builder.add(tensor: "empty", [0, 3], type: 0, at: 32)
    builder.add(tensor: "first", [], type: 27, at: 0)
    builder.data = (0..<34).map { UInt8($0) }
    let checkpoint = try open(builder)
    #expect(checkpoint.tensors.map(\.info.name) == ["first", "empty", "second"])
    #expect(checkpoint.tensors.map(\.info.elementType) == [.i64, .f32, .i8])
    #expect(try SafetensorsReadingTests.bytes(of: checkpoint.tensors[2], inBlocksOf: 8) == [32, 33])
  }

  @Test func alignmentOfTheFileIsRespected() throws {
    var builder = GGUFBuilder.small
    builder.alignment = 256
    builder.add("general.alignment", 4, UInt32(256).littleEndianBytes)
    let checkpoint = try open(builder)
    #expect(
      try SafetensorsReadingTests.bytes(of: checkpoint.tensors[0], inBlocksOf: 8) == builder.data)
  }

  @Test func arraysWithinArraysArePassedOver() throws {
    var builder = GGUFBuilder.small
    let inner = UInt32(0).littleEndianBytes + UInt64(2).littleEndianBytes + [1, 2]
    let strings = UInt32(8).littleEndianBytes + UInt64(1).littleEndianBytes + GGUFBuilder.string("s")
    builder.add("nested", 9, UInt32(9).littleEndianBytes + UInt64(2).littleEndianBytes + inner + strings)
    builder.add("after", 7, [0])
    let metadata = try open(builder).metadata
    #expect(metadata["nested"] == "2 items of ARRAY")
    #expect(metadata["after"] == "false")
  }

  // MARK: - Rejections

  @Test func everyTruncationIsRefused() throws {
    let whole = GGUFBuilder.small.bytes
    for length in 0..<whole.count {
      #expect(try refusal(Array(whole.prefix(length))) != "accepted", "\(length) bytes")
    }
  }

  @Test func otherMagicIsRefused() throws {
    var builder = GGUFBuilder.small
    builder.magic = Array("GGML".utf8)
    #expect(try refusal(builder).contains("does not start with 'GGUF'"))
  }

  @Test(arguments: [0, 1, 4, UInt32.max]) func otherVersionsAreRefused(version: UInt32) throws {
    var builder = GGUFBuilder.small
    builder.version = version
    #expect(try refusal(builder).contains("is of GGUF version \(version), but only 2 and 3 can be read"))
  }

  @Test func bigEndianFilesAreNamed() throws {
    var builder = GGUFBuilder.small
    builder.version = UInt32(3).byteSwapped
    #expect(try refusal(builder).contains("big-endian"))
  }

  @Test(arguments: [1 << 40, UInt64.max]) func moreTensorsThanBytesAreRefused(count: UInt64) throws {
    var builder = GGUFBuilder.small
    builder.tensorCount = count
    #expect(try refusal(builder).contains("number of tensors is \(count)"))
  }

  @Test(arguments: [1 << 40, UInt64.max]) func morePairsThanBytesAreRefused(count: UInt64) throws {
    var builder = GGUFBuilder.small
    builder.pairCount = count
    #expect(try refusal(builder).contains("number of key-value pairs is \(count)"))
  }

  @Test(arguments: [1 << 33, UInt64.max]) func stringsLongerThanTheFileAreRefused(length: UInt64) throws {
    var builder = GGUFBuilder.small
    builder.add("long", 8, length.littleEndianBytes)
    #expect(try refusal(builder).contains("bytes of the value of long is \(length)"))
  }

  @Test func longKeysAreRefused() throws {
    var builder = GGUFBuilder.small
    builder.add(String(repeating: "k", count: 65_536), 7, [1])
    #expect(try refusal(builder).contains("at most 65535 are allowed"))
  }

  @Test func keysThatAreNotUTF8AreRefused() throws {
    var builder = GGUFBuilder.small
    builder.pairs.append(([0xFF, 0xFE], 7, [1]))
    #expect(try refusal(builder).contains("a key is not UTF-8"))
  }

  @Test func namesThatAreNotUTF8AreRefused() throws {
    var builder = GGUFBuilder.small
    builder.tensors[0].name = [0xC0, 0x80]
    #expect(try refusal(builder).contains("a tensor's name is not UTF-8"))
  }

  @Test func keysThatStandTwiceAreRefused() throws {
    var builder = GGUFBuilder.small
    builder.add("general.architecture", 7, [1])
    #expect(try refusal(builder).contains("general.architecture stands here for the second time"))
  }

  @Test func tensorsThatStandTwiceAreRefused() throws {
    var builder = GGUFBuilder.small
    builder.add(tensor: "a", [1], type: 0, at: 0)
    #expect(try refusal(builder).contains("tensor a: byte"))
    #expect(try refusal(builder).contains("stands here for the second time"))
  }

  @Test func unknownValueTypesAreRefused() throws {
    var builder = GGUFBuilder.small
    builder.add("x", 13, [1])
    #expect(try refusal(builder).contains("x has the unknown value type 13"))
  }

  @Test func unknownItemTypesAreRefused() throws {
    var builder = GGUFBuilder.small
    builder.add("x", 9, UInt32(99).littleEndianBytes + UInt64(0).littleEndianBytes)
    #expect(try refusal(builder).contains("items of x has the unknown value type 99"))
  }

  @Test func truthValuesOtherThan0And1AreRefused() throws {
    var builder = GGUFBuilder.small
    builder.add("x", 7, [2])
    #expect(try refusal(builder).contains("the truth value of x is 2"))
  }

  @Test(arguments: [0, 8, 9, 10] as [UInt32], [1 << 50, UInt64.max])
  func arraysLargerThanTheFileAreRefused(type: UInt32, count: UInt64) throws {
    var builder = GGUFBuilder.small
    builder.add("x", 9, type.littleEndianBytes + count.littleEndianBytes)
    #expect(try refusal(builder).contains("number of items of x is \(count)"))
  }

  @Test func stringsInArraysLongerThanTheFileAreRefused() throws {
    var builder = GGUFBuilder.small
    builder.add(
      "x", 9,
      UInt32(8).littleEndianBytes + UInt64(1).littleEndianBytes + UInt64(1 << 40).littleEndianBytes)
    #expect(try refusal(builder).contains("bytes of a string of x is \(1 << 40)"))
  }

  @Test func deepArraysAreRefusedWithoutRecursion() throws {
    var builder = GGUFBuilder.small
    let level = UInt32(9).littleEndianBytes + UInt64(1).littleEndianBytes
    builder.add("x", 9, Array(repeating: level, count: 100_000).flatMap { $0 })
    #expect(try refusal(builder).contains("nests arrays deeper than 8 levels"))
  }

  @Test(arguments: [0, 3, 48, 1 << 21, UInt32.max]) func oddAlignmentsAreRefused(alignment: UInt32) throws {
    var builder = GGUFBuilder.small
    builder.add("general.alignment", 4, alignment.littleEndianBytes)
    #expect(try refusal(builder).contains("general.alignment is \(alignment) (UINT32), but a UINT32 is"))
  }

  @Test func alignmentsOfAnotherTypeAreRefused() throws {
    var builder = GGUFBuilder.small
    builder.add("general.alignment", 10, UInt64(64).littleEndianBytes)
    #expect(try refusal(builder).contains("general.alignment is 64 (UINT64)"))
  }

  @Test func moreThanFourDimensionsAreRefused() throws {
    var builder = GGUFBuilder.small
    builder.tensors[0].extents = [1, 1, 1, 1, 1]
    #expect(try refusal(builder).contains("has 5 dimensions, but GGUF allows at most 4"))
  }

  @Test(arguments: [[1 << 32, 1 << 32], [UInt64.max, 1], [UInt64.max, 2, 0], [1 << 62]])
  func shapesThatOverflowAreRefused(extents: [UInt64]) throws {
    var builder = GGUFBuilder.small
    builder.tensors[0].extents = extents.reversed()
    #expect(try refusal(builder).contains("more than 2^56"))
  }

  @Test func unknownTypesAreRefused() throws {
    var builder = GGUFBuilder.small
    builder.tensors[0].type = 4000
    #expect(try refusal(builder).contains("has the unknown type 4000"))
  }

  @Test func quantisedTypesAreListedByName() throws {
    var builder = GGUFBuilder.small
    builder.add(tensor: "b", [256], type: 12, at: 32)
    builder.add(tensor: "c", [256], type: 14, at: 64)
    builder.add(tensor: "d", [256], type: 12, at: 96)
    let message = try refusal(builder)
    #expect(message.contains("Q4_K (2): b, d"))
    #expect(message.contains("Q6_K (1): c"))
    // Where only a description is wanted they are told.
    let described = try open(builder.bytes, describing: true)
    #expect(described.tensors.map(\.info.name) == ["a"])
    #expect(described.notes.contains { $0.hasSuffix("tensors that can't be read: Q4_K (2): b, d") })
  }

  @Test func rowsThatAreNotWholeBlocksAreRefused() throws {
    var builder = GGUFBuilder.small
    builder.tensors[0] = (Array("a".utf8), [33], 8, 0)
    #expect(try refusal(builder).contains("has rows of 33 elements, but Q8_0 stores them in blocks of 32"))
  }

  @Test func unalignedTensorsAreRefused() throws {
    var builder = GGUFBuilder.small
    builder.tensors[0] = (Array("a".utf8), [1], 0, 4)
    #expect(try refusal(builder).contains("starts at data byte 4, which is no multiple of 32"))
  }

  @Test(arguments: [64, 1 << 62, UInt64.max - 31]) func tensorsBeyondTheEndAreRefused(offset: UInt64) throws {
    var builder = GGUFBuilder.small
    builder.tensors[0].offset = offset
    #expect(try refusal(builder).contains("from data byte \(offset) on, but the data ends after 32"))
  }

  @Test func tensorsThatOverlapAreRefused() throws {
    var builder = GGUFBuilder.small
    builder.data += builder.data
    builder.tensors[0].extents = [9]
    builder.add(tensor: "b", [1], type: 0, at: 32)
    #expect(try refusal(builder).contains("tensor b: byte"))
    #expect(try refusal(builder).contains("overlaps the tensor a before it"))
  }
}

extension String {
  /// The bytes that pairs of hexadecimal digits spell.
  var hexBytes: [UInt8] {
    var digits = utf8.makeIterator()
    var result: [UInt8] = []
    while let high = digits.next(), let low = digits.next() {
      result.append(UInt8(String(decoding: [high, low], as: UTF8.self), radix: 16)!)
    }
    return result
  }
}
