import Foundation
import Testing
import TestSupport

@testable import Checkpoints
@testable import TensorCore

/// The 80 files of samples/safetensors/bad: what the reference does with each is in expected.json.
@Suite struct SafetensorsBadFileTests {
  /// Accepted by the reference, rejected here.
  static let stricter: Set<String> = [
    "duplicate_tensor_key_same", "duplicate_tensor_key_lastwins", "array_form_info",
    "overflow_zero_first",
  ]

  /// What the message for a rejected file must say.
  static let messages: [String: String] = [
    "empty_file": "the file has 0 bytes",
    "seven_bytes": "the file has 7 bytes",
    "zero_header_len": "the text ends where an object is expected",
    "len_only": "only 0 bytes follow it",
    "header_len_past_eof": "are missing",
    "header_len_100_000_001": "at most 100000000 is allowed",
    "header_len_100_000_000_short_file": "are missing",
    "header_len_u64_max": "is 18446744073709551615",
    "not_utf8": "byte 0xFF stands where",
    "not_json": "the text ends where a key in quotes is expected",
    "json_array": "'[' stands where an object is expected",
    "json_null": "'n' stands where an object is expected",
    "json_trailing_garbage": "stands where the end is expected",
    "nul_padding": "byte 0x0 stands where the end is expected",
    "bom": "byte 0xEF stands where an object is expected",
    "hole_start": "to the start of the data",
    "hole_middle": "to the tensor a before it",
    "overlap_same": "overlaps the tensor a before it",
    "overlap_partial": "overlaps the tensor a before it",
    "end_before_begin": "which are no range",
    "trailing_bytes": "follow the last tensor",
    "truncated_2": "2 are missing",
    "size_mismatch": "takes",
    "shape_overflow": "more than 2^56",
    "nbits_overflow": "more than 2^56",
    "overflow_times_zero_after": "more than 2^56",
    "overflow_zero_first": "more than 2^56",
    "shape_u64_plus": "no array of unsigned integers",
    "negative_dim": "no array of unsigned integers",
    "float_dim": "no array of unsigned integers",
    "string_dim": "no array of unsigned integers",
    "exp_dim": "no array of unsigned integers",
    "null_shape": "no array of unsigned integers",
    "minus_zero": "not two unsigned integers",
    "offsets_3": "not two unsigned integers",
    "offsets_1": "not two unsigned integers",
    "unknown_dtype": "unknown dtype \"F128\"",
    "lowercase_dtype": "unknown dtype \"f32\"",
    "missing_shape": "has no shape",
    "missing_dtype": "has no dtype",
    "missing_offsets": "has no data_offsets",
    "duplicate_field": "the key 'dtype' stands here for the second time",
    "duplicate_tensor_key_same": "the key 'a' stands here for the second time",
    "duplicate_tensor_key_diff": "the key 'a' stands here for the second time",
    "duplicate_tensor_key_lastwins": "the key 'a' stands here for the second time",
    "duplicate_metadata": "the key '__metadata__' stands here for the second time",
    "metadata_number_value": "that is no string",
    "metadata_nested": "that is no string",
    "metadata_string": "no object of strings",
    "unknown_top_string": "no object",
    "zero_dim_past_end": "leaves a gap",
    "array_form_info": "no object",
    "lone_surrogate_name": "half of a surrogate pair",
    "f4_odd": "don't end at a byte",
    "f6_bad": "don't end at a byte",
    "json_comment": "'/' stands where a key in quotes is expected",
    "json_trailing_comma": "'}' stands where a key in quotes is expected",
    "leading_zero_int": "a number starts with 0",
    "deep_nesting": "nest more than 128 deep",
  ]

  static let cases: [(name: String, accepted: Bool)] = {
    let path = Fixtures.path("samples/safetensors/bad/expected.json")
    guard let data = FileManager.default.contents(atPath: path),
      let json = try? JSON.parse(Array(data).span).objectValue
    else { return [] }
    return json.members.map { ($0.key, $0.value["accept"]?.boolValue ?? false) }
  }()

  @Test func allFilesAreHere() {
    #expect(Self.cases.count == 80)
    let rejected = Self.cases.filter { !$0.accepted || Self.stricter.contains($0.name) }
    #expect(Set(rejected.map(\.name)) == Set(Self.messages.keys))
  }

  @Test(arguments: cases) func behavesAsTheReference(name: String, accepted: Bool) throws {
    let path = Fixtures.path("samples/safetensors/bad/\(name).safetensors")
    guard let message = Self.messages[name] else {
      _ = try Checkpoint.openSafetensors(at: path)
      return
    }
    let error = try #require(throws: EmbedFuseError.self) { try Checkpoint.openSafetensors(at: path) }
    #expect(error.code == .badData)
    #expect(error.path == path)
    #expect(error.description.contains(message), "\(error)")
    #expect(
      error.tensor != nil || error.offset != nil || error.description.contains("length alone"), "\(error)")
    #expect(error.remedy?.contains("download or copy it again") == true, "\(error)")
  }
}
