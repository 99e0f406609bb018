import Foundation
import TestSupport
import Testing

@testable import Checkpoints
@testable import TensorCore

/// Pickles that are written by hand: what no file of torch's has, and tensors that have no plain values.
@Suite struct PickleRefusalTests {
  private let folder: TemporaryFolder

  init() throws { folder = try TemporaryFolder() }

  /// Why a torch file of this pickle can't be opened.
  private func refusal(_ pickle: [UInt8]) throws -> String {
    var builder = ZipBuilder()
    builder.entries = [.init("m/data.pkl", [0x80, 2] + pickle), .init("m/version", Array("3\n".utf8))]
    try Data(builder.bytes).write(to: URL(fileURLWithPath: folder("m.pt")))
    let error = try #require(throws: EmbedFuseError.self) {
      _ = try Checkpoint.openPyTorch(at: folder("m.pt"))
    }
    #expect(error.code == .badData && error.path == folder("m.pt"))
    return error.problem
  }

  private static func global(_ module: String, _ name: String) -> [UInt8] {
    Array("c\(module)\n\(name)\n".utf8)
  }

  /// `{"w": VALUE}`.
  private static func stateDict(_ value: [UInt8]) -> [UInt8] {
    [0x7D, 0x58, 1, 0, 0, 0, UInt8(ascii: "w")] + value + [UInt8(ascii: "s"), UInt8(ascii: ".")]
  }

  @Test func callsOfWhatCanNotBeCalled() throws {
    let (none, reduce, stop) = (UInt8(ascii: "N"), UInt8(ascii: "R"), UInt8(ascii: "."))
    let dictionary = Self.global("collections", "OrderedDict")
    #expect(try refusal(dictionary + [none, reduce, stop]).contains("what is no tuple of arguments"))
    // OrderedDict([None]).
    let list = [UInt8(ascii: "]"), none, UInt8(ascii: "a"), 0x85]
    #expect(try refusal(dictionary + list + [reduce, stop]).contains("a dictionary of what are no pairs"))
    // None.__new__(): an object of no class.
    #expect(try refusal([none, UInt8(ascii: ")"), 0x81, stop]).contains("an object of what is no class"))
  }

  @Test(arguments: [
    ("torch._utils", "_rebuild_meta_tensor_no_storage", "is a meta tensor: it has no values"),
    ("torch._utils", "_rebuild_sparse_tensor", "is a sparse tensor"),
    ("torch._utils", "_rebuild_nested_tensor", "is made by torch._utils._rebuild_nested_tensor"),
    ("torch._tensor", "_rebuild_from_type_v2", "is a tensor of the class my.Tensor"),
  ])
  func tensorsWithoutPlainValues(module: String, function: String, problem: String) throws {
    // function(rebuild, my.Tensor, (), None)
    let arguments =
      [UInt8(ascii: "(")] + Self.global("torch._utils", "_rebuild_tensor_v2") + Self.global("my", "Tensor")
      + [UInt8(ascii: ")"), UInt8(ascii: "N"), UInt8(ascii: "t")]
    let found = try refusal(Self.stateDict(Self.global(module, function) + arguments + [UInt8(ascii: "R")]))
    #expect(found.contains(problem), "\(found)")
  }

  @Test func parametersAroundParameters() throws {
    var value: [UInt8] =
      Self.global("torch._utils", "_rebuild_tensor_v2") + [UInt8(ascii: ")"), UInt8(ascii: "R")]
    for _ in 0..<9 {
      value = Self.global("torch._utils", "_rebuild_parameter") + value + [0x85, UInt8(ascii: "R")]
    }
    #expect(try refusal(Self.stateDict(value)).contains("is wrapped more than 8 times"))
  }

  @Test func aKeyThatLeadsToATensor() throws {
    let path = Fixtures.path("samples/torch/two_state_dicts.pt")
    var options = OpeningOptions()
    options.stateDictKey = "model.w"
    let error = try #require(throws: EmbedFuseError.self) {
      _ = try Checkpoint.openPyTorch(at: path, options: options)
    }
    #expect(error.problem.contains("has no dictionary under the key 'model.w'"), "\(error)")
    #expect(error.remedy?.contains("key of a state dict") == true)
  }
}
