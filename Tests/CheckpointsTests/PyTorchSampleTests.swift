import Foundation
import TestSupport
import Testing

@testable import Checkpoints
@testable import TensorCore

/// The files of samples/torch that torch wrote: `expected.json` says what they hold.
@Suite struct PyTorchSampleTests {
  struct Expectation: Decodable {
    struct Tensor: Decodable {
      let dtype: String
      let shape: [UInt]
      let hex: String
    }
    let weights_only: String?
    let tensors: [String: Tensor]?
  }

  static let folder = "samples/torch"
  static let expectations = try! JSONDecoder().decode(
    [String: Expectation].self,
    from: Data(contentsOf: URL(fileURLWithPath: Fixtures.path("\(folder)/expected.json"))))

  /// What is refused although its tensors are listed, and what the message says.
  static let refused = [
    "all_dtypes.pt": "torch.ComplexDoubleStorage", "all_dtypes_legacy.pt": "torch.ComplexDoubleStorage",
    "sparse.pt": "is a sparse tensor", "quantized.pt": "is a quantized tensor",
    "torchscript.pt": "is a TorchScript program",
    "whole_module.pt": "an object of torch.nn.modules.container.Sequential",
    "evil_eval.pt": "a dictionary without tensors",
  ]

  /// Where the tensors stand that are read, for files with several dictionaries.
  static let keys = [
    "trainer_nested.pt": "state_dict.", "lightning_like.ckpt": "state_dict.", "ddp.pt": "model.",
    "compiled.pt": "", "namespace.pt": "state_dict.", "numpy_scalar.pt": "state_dict.",
    "numpy_array.pt": "state_dict.", "evil_os_system.pt": "state_dict.",
  ]

  static func open(_ name: String, key: String? = nil, strict: Bool = false) throws -> Checkpoint {
    var options = OpeningOptions()
    options.stateDictKey = key
    options.strictPickle = strict
    return try Checkpoint.open(at: Fixtures.path("\(folder)/\(name)"), options: options)
  }

  static func hex(_ tensor: StoredTensor) throws -> String {
    var bytes = [UInt8](repeating: 0, count: tensor.info.byteCount)
    var span = bytes.mutableSpan
    try tensor.storage.read(0..<tensor.info.shape.elementCount, into: &span)
    return bytes.map { String($0 >> 4, radix: 16) + String($0 & 15, radix: 16) }.joined()
  }

  @Test(arguments: expectations.keys.filter { refused[$0] == nil }.sorted())
  func readsWhatTorchWrote(name: String) throws {
    let checkpoint = try Self.open(name)
    let prefix = Self.keys[name] ?? ""
    var expected = try #require(Self.expectations[name]?.tensors)
    if name == "single_tensor.pt" { expected = ["single_tensor": expected[""]!] }
    expected = expected.filter { $0.key.hasPrefix(prefix) }
    let names = checkpoint.tensors.map(\.info.name) + checkpoint.aliases.keys
    #expect(Set(names.map { prefix + $0 }) == Set(expected.keys))
    #expect(names.count == expected.count)
    for name in names {
      let stored = checkpoint.aliases[name] ?? name
      let tensor = try #require(checkpoint.tensors.first { $0.info.name == stored })
      let wanted = try #require(expected[prefix + name])
      #expect(tensor.info.elementType.name == wanted.dtype)
      #expect(tensor.info.shape.dimensions == wanted.shape)
      let hex = try Self.hex(tensor)
      #expect(hex == wanted.hex, "\(name)")
    }
  }

  @Test(arguments: refused.keys.sorted())
  func refusesByName(name: String) {
    let problem = Self.problem { try Self.open(name) }
    #expect(problem.contains(Self.refused[name]!), "\(problem)")
  }

  /// With `strictPickle` a file is refused where torch's weights-only loader refuses it for what it names, and read
  /// where it isn't.
  @Test(arguments: expectations.keys.filter { refused[$0] == nil }.sorted())
  func strictIsAsStrictAsTorch(name: String) {
    let torch = Self.expectations[name]?.weights_only ?? "ok"
    let problem = Self.problem { try Self.open(name, strict: true) }
    #expect((problem == "accepted") == (torch == "ok"), "\(problem)")
  }

  @Test func everyElementType() throws {
    struct Tensor: Decodable {
      let shape: [UInt]
      let hex: String
    }
    let expected = try JSONDecoder().decode(
      [String: Tensor].self,
      from: Data(
        contentsOf: URL(fileURLWithPath: Fixtures.path("samples/torch/all_readable_dtypes.json"))))
    let checkpoint = try Self.open("all_readable_dtypes.pt")
    #expect(Set(checkpoint.tensors.map(\.info.name)) == Set(expected.keys))
    for tensor in checkpoint.tensors {
      #expect(tensor.info.elementType.name == tensor.info.name)
      #expect(tensor.info.shape.dimensions == expected[tensor.info.name]?.shape)
      let hex = try Self.hex(tensor)
      #expect(hex == expected[tensor.info.name]?.hex, "\(tensor.info.name)")
    }
  }

  /// Views of three axes: permuted, expanded in the middle, with steps; asked for in ranges of every length.
  @Test func viewsAreGatheredByRanges() throws {
    struct View: Decodable {
      let shape: [UInt]
      let values: [Float]
    }
    let expected = try JSONDecoder().decode(
      [String: View].self,
      from: Data(contentsOf: URL(fileURLWithPath: Fixtures.path("samples/torch/views3d.json"))))
    for tensor in try Self.open("views3d.pt").tensors {
      let wanted = try #require(expected[tensor.info.name])
      #expect(tensor.info.shape.dimensions == wanted.shape)
      let count = wanted.values.count
      for length in 1...count {
        for start in stride(from: 0, to: count, by: length) {
          let range = start..<min(start + length, count)
          var bytes = [UInt8](repeating: 0, count: 4 * range.count)
          var span = bytes.mutableSpan
          try tensor.storage.read(range, into: &span)
          let values = unsafe bytes.withUnsafeBytes { unsafe Array($0.bindMemory(to: Float.self)) }
          #expect(values == Array(wanted.values[range]))
        }
      }
    }
  }

  @Test func identicalViewsAreAliases() throws {
    let checkpoint = try Self.open("tied.pt")
    #expect(checkpoint.tensors.map(\.info.name) == ["a.weight"])
    #expect(checkpoint.aliases == ["b.weight": "a.weight"])
  }

  @Test func severalStateDictsNeedAKey() throws {
    do {
      _ = try Self.open("two_state_dicts.pt")
      Issue.record("accepted")
    } catch let error as EmbedFuseError {
      #expect(error.problem == "holds several state dicts: model (1 tensor), ema (1 tensor)")
      #expect(error.remedy == "choose one with --key model")
    }
    let hex = try Self.hex(try Self.open("two_state_dicts.pt", key: "ema").tensors[0])
    #expect(hex == "0000000000000000")
  }

  @Test func aKeyMayHoldDots() throws {
    let names = try Self.open("deep.pt", key: "state_dict.model.backbone").tensors.map(\.info.name)
    #expect(names == ["w"])
    let problem = Self.problem { try Self.open("deep.pt", key: "state_dict.nothing") }
    #expect(problem == "has nothing under the key 'state_dict.nothing'")
  }

  @Test func valuesThatAreNoTensorsAreTold() throws {
    let checkpoint = try Self.open("extra_values.pt")
    #expect(checkpoint.tensors.map(\.info.name) == ["w", "v"])
    let notes = checkpoint.notes.joined()
    #expect(notes.contains("ignores what are no tensors: _extra_state, n"))
  }

  @Test func namesOutsideOfTorchAreTold() throws {
    let notes = try Self.open("evil_os_system.pt").notes.joined(separator: "\n")
    #expect(notes.contains("reads the state dict under 'state_dict'"))
    #expect(notes.contains("posix.system"))
  }

  @Test func shardsByTheirIndex() throws {
    let checkpoint = try Self.open("sharded/pytorch_model.bin.index.json")
    #expect(checkpoint.format == .pytorch)
    #expect(checkpoint.tensors.map(\.info.name) == ["a", "b"])
    #expect(checkpoint.aliases == ["c": "b"])
    #expect(checkpoint.files.count == 3)
  }

  @Test func refusesABarePickle() {
    #expect(Self.problem { try Self.open("bare_pickle.pt") }.contains("is a bare pickle"))
  }

  static func problem(_ body: () throws -> Checkpoint) -> String {
    do {
      _ = try body()
      return "accepted"
    } catch let error as EmbedFuseError {
      return error.problem
    } catch {
      return "\(error)"
    }
  }
}
