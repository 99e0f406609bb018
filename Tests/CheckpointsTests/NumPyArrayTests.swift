import Foundation
import TestSupport
import Testing

@testable import Checkpoints
@testable import TensorCore

@Suite struct NumPyArrayTests {
  private let folder: TemporaryFolder

  init() throws { folder = try TemporaryFolder() }

  /// The bytes of an array: this dictionary as NumPy would place it, then the data.
  static func array(_ dictionary: String, version: UInt8 = 1, data: [UInt8] = []) -> [UInt8] {
    let prefix = version == 1 ? 10 : 12
    var text = Array(dictionary.utf8)
    text += Array(repeating: 0x20, count: 63 - (prefix + text.count) % 64) + [0x0A]
    let length =
      version == 1 ? UInt16(text.count).littleEndianBytes : UInt32(text.count).littleEndianBytes
    return NumPyHeader.magic + [version, 0] + length + text + data
  }

  static func dictionary(_ description: String, _ shape: String, fortran: Bool = false) -> String {
    "{'descr': '\(description)', 'fortran_order': \(fortran ? "True" : "False"), 'shape': \(shape), }"
  }

  private func open(_ bytes: [UInt8], options: OpeningOptions = OpeningOptions()) throws -> StoredTensor {
    let path = folder("x.npy")
    try Data(bytes).write(to: URL(fileURLWithPath: path))
    return try Checkpoint.openNPY(at: path, options: options).tensors[0]
  }

  private func refusal(_ bytes: [UInt8]) throws -> String {
    do {
      _ = try open(bytes)
      return "accepted"
    } catch let error as EmbedFuseError {
      #expect(error.code == .badData)
      return error.description
    }
  }

  private func refusal(_ description: String, _ shape: String = "()", data: Int = 0) throws -> String {
    try refusal(
      Self.array(Self.dictionary(description, shape), data: Array(repeating: 0, count: data)))
  }

  @Test func readsWhatNumPyWrites() throws {
    let checkpoint = try Checkpoint.openNPY(at: Fixtures.path("samples/npz/a.npy"))
    #expect(checkpoint.tensors.map(\.info.name) == ["a"])
    #expect(checkpoint.tensors[0].info.shape.dimensions == [2, 3])
    let bytes = try SafetensorsReadingTests.bytes(of: checkpoint.tensors[0], inBlocksOf: 4)
    #expect(bytes == (0..<6).flatMap { Float($0).bitPattern.littleEndianBytes })
  }

  @Test func pairsOfBytesAreBFloat16OnRequestOnly() throws {
    let path = Fixtures.path("samples/npz/bf16.npy")
    #expect(throws: EmbedFuseError.self) { _ = try Checkpoint.openNPY(at: path) }
    var options = OpeningOptions()
    options.readsVoidPairsAsBFloat16 = true
    let tensor = try Checkpoint.openNPY(at: path, options: options).tensors[0]
    #expect(tensor.info.elementType == .bf16)
    #expect(try SafetensorsReadingTests.bytes(of: tensor, inBlocksOf: 2) == [0x80, 0x3F, 0x00, 0x40])
  }

  @Test(
    arguments: [
      ("<f2", .f16), ("<f4", .f32), ("<f8", .f64), ("|i1", .i8), ("<i2", .i16), ("<i4", .i32), ("<i8", .i64),
      ("|u1", .u8), ("<u2", .u16), ("<u4", .u32), ("<u8", .u64), ("|b1", .bool), ("<c8", .c64), ("=f4", .f32),
      ("f4", .f32), (">i1", .i8),
    ] as [(String, ElementType)])
  func everyTypeIsRead(description: String, type: ElementType) throws {
    let data = (0..<3 * type.byteWidth!).map { UInt8($0) }
    let tensor = try open(Self.array(Self.dictionary(description, "(3,)"), data: data))
    #expect(tensor.info.elementType == type)
    #expect(try SafetensorsReadingTests.bytes(of: tensor, inBlocksOf: 2) == data)
  }

  @Test func bigEndianElementsAreTurned() throws {
    let tensor = try open(
      Self.array(Self.dictionary(">f4", "(2,)"), data: [0x3F, 0x80, 0, 0, 0x40, 0, 0, 1]))
    #expect(
      try SafetensorsReadingTests.bytes(of: tensor, inBlocksOf: 1) == [0, 0, 0x80, 0x3F, 1, 0, 0, 0x40])
    let complex = try open(Self.array(Self.dictionary(">c8", "()"), data: [1, 2, 3, 4, 5, 6, 7, 8]))
    #expect(try SafetensorsReadingTests.bytes(of: complex, inBlocksOf: 1) == [4, 3, 2, 1, 8, 7, 6, 5])
  }

  @Test(arguments: [1, 2, 3] as [UInt8]) func everyVersionIsRead(version: UInt8) throws {
    let tensor = try open(
      Self.array(Self.dictionary("<i2", "(1, 2)"), version: version, data: [1, 2, 3, 4]))
    #expect(tensor.info.shape.dimensions == [1, 2])
  }

  @Test func otherSpellingsOfTheHeaderAreRead() throws {
    let text = "{\"shape\":(2L,1L),\n 'fortran_order' : False,'descr':\"<i2\"}"
    #expect(try open(Self.array(text, data: [1, 2, 3, 4])).info.shape.dimensions == [2, 1])
  }

  @Test func scalarsAndEmptyArraysAreRead() throws {
    #expect(try open(Self.array(Self.dictionary("<f4", "()"), data: [1, 2, 3, 4])).info.shape.rank == 0)
    let empty = try open(Self.array(Self.dictionary("<f4", "(0, 4)", fortran: true)))
    #expect(empty.info.shape.dimensions == [0, 4])
    #expect(try SafetensorsReadingTests.bytes(of: empty, inBlocksOf: 4) == [])
  }

  /// Each element is its row-major number; small and large reads, few and many rows.
  @Test(
    arguments: [[5, 7], [2, 3, 4], [3, 1, 2, 5], [9], [1, 6], [6, 1], [3000, 3], [2, 2000]],
    [1, 5, 64, 10_000])
  func fortranOrderIsTurned(shape: [Int], step: Int) throws {
    let count = shape.reduce(1, *)
    var data = [UInt8](repeating: 0, count: count * 4)
    for number in 0..<count {
      var (rest, place) = (number, 0)
      for (axis, extent) in shape.enumerated().reversed() {
        place += rest % extent * shape[..<axis].reduce(1, *)
        rest /= extent
      }
      data.replaceSubrange(4 * place..<4 * place + 4, with: UInt32(number).littleEndianBytes)
    }
    let text = shape.map(String.init).joined(separator: ", ") + (shape.count == 1 ? "," : "")
    let tensor = try open(Self.array(Self.dictionary("<u4", "(\(text))", fortran: true), data: data))
    let expected = (0..<UInt32(count)).flatMap(\.littleEndianBytes)
    #expect(try SafetensorsReadingTests.bytes(of: tensor, inBlocksOf: step) == expected)
  }

  // MARK: - Rejections

  @Test func everyTruncationIsRefused() throws {
    let whole = Self.array(Self.dictionary("<f4", "(2,)"), data: [1, 2, 3, 4, 5, 6, 7, 8])
    for length in 0..<whole.count {
      #expect(try refusal(Array(whole.prefix(length))) != "accepted", "\(length) bytes")
    }
  }

  @Test func otherMagicIsRefused() throws {
    #expect(try refusal(Array(repeating: 0x20, count: 128)).contains("does not start as a NumPy array does"))
  }

  @Test(arguments: [(0, 0), (4, 0), (1, 1)] as [(UInt8, UInt8)])
  func otherVersionsAreRefused(version: (UInt8, UInt8)) throws {
    var bytes = Self.array(Self.dictionary("<f4", "()"), data: [0, 0, 0, 0])
    (bytes[6], bytes[7]) = version
    #expect(try refusal(bytes).contains("is of version \(version.0).\(version.1)"))
  }

  @Test func longHeadersAreRefused() throws {
    var bytes = Self.array(Self.dictionary("<f4", "()"), version: 2, data: [0, 0, 0, 0])
    bytes.replaceSubrange(8..<12, with: UInt32.max.littleEndianBytes)
    #expect(try refusal(bytes).contains("has a header of 4294967295 bytes, but at most 65536 are allowed"))
  }

  @Test func headersBeyondTheEndAreRefused() throws {
    var bytes = Self.array(Self.dictionary("<f4", "()"))
    bytes[9] = 0x20
    #expect(try refusal(bytes).contains("but only"))
  }

  @Test func missingBytesAreRefused() throws {
    #expect(try refusal("<f4", "(3,)", data: 11).contains("takes 12 bytes (F32, shape [3]), but 11 follow"))
  }

  @Test func furtherArraysAreRefused() throws {
    #expect(try refusal("<f4", "(3,)", data: 13).contains("the file holds more than one array"))
  }

  @Test(arguments: ["(4294967296, 4294967296)", "(18446744073709551615, 2)", "(4611686018427387904,)"])
  func shapesThatOverflowAreRefused(shape: String) throws {
    #expect(try refusal("<f4", shape).contains("more than 2^56"))
  }

  @Test func tooManyDimensionsAreRefused() throws {
    let shape = "(" + Array(repeating: "1", count: 65).joined(separator: ", ") + ")"
    #expect(try refusal("<f4", shape, data: 4).contains("has 65 dimensions"))
  }

  @Test func pickledObjectsAreRefused() throws {
    #expect(try refusal("|O").contains("a pickle, which is never run"))
  }

  @Test(
    arguments: [
      ("<V2", "--npy-bf16"), (">V2", "two bytes without a meaning"), ("|V8", "bytes without a meaning"),
      ("<U8", "text"), ("|S5", "text"), ("<M8[ns]", "dates"), ("<m8", "dates"), ("<c16", "which checkpoints"),
      ("<f16", "which checkpoints"), ("", "which checkpoints"), ("<", "which checkpoints"),
      ("<f44", "which checkpoints"), ("|f4", "names no byte order"),
    ])
  func typesThatCheckpointsLackAreRefused(description: String, message: String) throws {
    #expect(try refusal(description).contains(message))
  }

  @Test(arguments: ["[('a', '<f4')]", "('<f4', (2,))"]) func structuredTypesAreRefused(type: String) throws {
    let text = "{'descr': \(type), 'fortran_order': False, 'shape': (), }"
    #expect(try refusal(Self.array(text)).contains("structured type"))
  }

  @Test(
    arguments: [
      ("", "'{' is expected here"),
      ("{'descr': '<f4', 'descr': '<f4'}", "the key 'descr' stands here for the second time"),
      ("{'descr': '<f4', 'shape': ()}", "without descr, fortran_order or shape"),
      ("{'descr': '<f4', 'x': ()}", "unknown key 'x'"),
      ("{'descr': __import__('os')}", "a string, a truth value or a tuple is expected here"),
      ("{'descr': '<f4\\x00'}", "other than plain ASCII"), ("{'descr': '<f4", "that doesn't end"),
      ("{'shape': (-1,)}", "no unsigned integer"), ("{'shape': (1.5,)}", "is expected here"),
      ("{'shape': (99999999999999999999,)}", "no unsigned integer"),
      ("{'shape': (3)}", "a tuple is expected here"), ("{'shape': 3}", "a tuple is expected here"),
      ("{'descr': '<f4'} + {}", "more follows after the dictionary"), ("{'descr' '<f4'}", "':' is expected"),
      ("{'descr': 'f4', 'fortran_order': 1}", "is expected here"), ("{'descr':", "the header ends"),
      ("{'descr': True, 'fortran_order': True, 'shape': ()}", "structured type"),
      ("{'descr': '<f4', 'fortran_order': 'x', 'shape': ()}", "neither True nor False"),
      ("{'descr': '<f4', 'fortran_order': True, 'shape': 'x'}", "no tuple of extents"),
    ])
  func headersThatNumPyDoesNotWriteAreRefused(text: String, message: String) throws {
    #expect(try refusal(Self.array(text)).contains(message))
  }
}
