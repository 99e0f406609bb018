import Foundation
import TestSupport
import Testing

@testable import Checkpoints
@testable import TensorCore

/// The hand-made files of samples/torch/bad: what torch does with each is in its expected.json.
@Suite struct PyTorchBadFileTests {
  static let folder = "samples/torch/bad"
  static let names = try! FilePath.names(in: Fixtures.path(folder)).filter { $0.hasSuffix(".pt") }
    .map { String($0.dropLast(3)) }

  /// What the message says of each file that is refused.
  static let messages: [String: String] = [
    "bad_byteorder": "its byte order is neither little nor big",
    "binunicode_bad_utf8": "has a text that is no UTF-8",
    "binunicode_past_end": "more than are left",
    "constants_pkl": "is a TorchScript program",
    "empty": "the file has 0 bytes",
    "global_getattr": "what builtins.getattr would give",
    "global_os_system": "what os.system would give",
    "leading_junk": "neither a zip archive nor the older stream",
    "legacy_trunc": "3 bytes are missing",
    "memo_undefined": "asks for the value 5",
    "missing_record": "has no storage '7'",
    "no_data_pkl": "has no data.pkl",
    "no_stop": "ends before its STOP",
    "no_version": "has no record of its version",
    "offset_negative": "negative extent, stride or offset",
    "offset_out_of_range": "of a storage of 4",
    "opcode_EXT1": "has the opcode 0x82",
    "opcode_INST": "has the opcode 0x53",
    "opcode_LONG4": "has the opcode 0x8b",
    "opcode_OBJ": "has the opcode 0x6f",
    "opcode_POP_DUP": "has the opcode 0x32",
    "opcode_unknown": "has the opcode 0xff",
    "persid_not_storage": "is no storage",
    "persid_str": "is no storage",
    "rank_mismatch": "has 2 extents, but 1 strides",
    "record_traversal_key": "has no storage '../version'",
    "reduce_on_dict": "calls what is no function",
    "size_negative": "negative extent, stride or offset",
    "empty_huge": "has the extents [0, 9223372036854775807]",
    "size_overflow": "product overflows",
    "size_too_big": "of a storage of 4",
    "stack_underflow": "empty stack",
    "storage_long_record": "should have 16 bytes",
    "storage_numel_huge": "a size that no file has",
    "storage_numel_negative": "negative size",
    "storage_numel_smaller_than_record": "should have 8 bytes",
    "storage_short_record": "should have 16 bytes",
    "stride_negative": "negative extent, stride or offset",
    "stride_overflow": "reaches element 4611686018427387905",
    "stride_zero_bomb": "but only 16 are stored",
    "trunc_1": "no directory at its end",
    "trunc_half": "no directory at its end",
    "trunc_no_eocd": "no directory at its end",
    "two_top_folders": "just one folder",
    "unknown_storage_class": "torch.FooStorage",
    // Read by torch, but they hold no tensors.
    "deep_tuple": "without tensors",
    "proto_9": "without tensors",
    "self_ref_dict": "without tensors",
    "self_ref_list": "without tensors",
  ]

  @Test(arguments: names) func behavesAsExpected(name: String) throws {
    let path = Fixtures.path("\(Self.folder)/\(name).pt")
    do {
      let checkpoint = try Checkpoint.openPyTorch(at: path)
      #expect(Self.messages[name] == nil)
      let names = checkpoint.tensors.map(\.info.name).sorted()
      #expect([["w"], ["5"], ["embeddings.weight", "encoder.0.bias"]].contains(names))
      for tensor in checkpoint.tensors { _ = try PyTorchSampleTests.hex(tensor) }
    } catch let error as EmbedFuseError {
      let message = try #require(Self.messages[name], "\(error)")
      #expect(error.code == .badData)
      #expect(error.problem.contains(message), "\(error.problem)")
    }
  }

  /// No file that torch refuses is read, but for those that it can't put on the device that they name.
  @Test func noMoreIsAcceptedThanByTorch() throws {
    let url = URL(fileURLWithPath: Fixtures.path("\(Self.folder)/expected.json"))
    let expected = try JSONDecoder().decode([String: [String: String]].self, from: Data(contentsOf: url))
    #expect(Set(expected.keys) == Set(Self.names))
    for (name, outcome) in expected where outcome["load"]?.hasPrefix("OK") == false {
      #expect(Self.messages[name] != nil || name == "loc_cuda" || name == "cuda_storage_class", "\(name)")
    }
  }

  @Test func ofEqualKeysTheLastCounts() throws {
    let checkpoint = try Checkpoint.openPyTorch(at: Fixtures.path("\(Self.folder)/dup_key.pt"))
    #expect(checkpoint.tensors.map(\.info.shape.dimensions) == [[1, 1]])
  }

  /// Every file cut short anywhere is refused; of zip archives ZipArchiveTests shows it.
  @Test(arguments: ["state_dict_legacy.pt", "views_legacy.pt"])
  func truncationsAreRefused(name: String) throws {
    let whole = try Data(contentsOf: URL(fileURLWithPath: Fixtures.path("samples/torch/\(name)")))
    let folder = try TemporaryFolder()
    for count in 0..<whole.count {
      let path = folder("cut.pt")
      try whole.prefix(count).write(to: URL(fileURLWithPath: path))
      #expect(throws: EmbedFuseError.self) { try Checkpoint.openPyTorch(at: path) }
    }
  }
}
