import EmbedFuse
import Foundation
import TestSupport
import Testing

/// Any format to any other and on to safetensors: the same tensors, bit for bit.
@Suite struct ConversionMatrixTests {
  /// A format that is read or written here.
  enum Format: String, CaseIterable, Sendable {
    case safetensors
    case directory
    case shards
    case hdf5
    case npz
    case gguf

    /// The element types that it holds.
    var types: [ElementType] {
      switch self {
      case .safetensors, .directory, .shards, .hdf5: ElementType.allCases
      case .npz: ElementType.allCases.filter { $0.byteWidth != nil }
      case .gguf: [.f64, .f32, .f16, .bf16, .i8, .i16, .i32, .i64]
      }
    }

    func path(in folder: String) -> String {
      switch self {
      case .safetensors: "\(folder)/\(self).safetensors"
      case .directory, .shards: "\(folder)/\(self)"
      case .hdf5: "\(folder)/\(self).h5"
      case .npz: "\(folder)/\(self).npz"
      case .gguf: "\(folder)/\(self).gguf"
      }
    }

    var options: OutputOptions {
      OutputOptions(
        synchronize: false, threads: 3, maximumShardBytes: self == .shards ? 100_000 : 5_000_000_000)
    }
  }

  private let folder: TemporaryFolder

  init() throws { folder = try TemporaryFolder() }

  /// Tensors of each type: matrices of more than one block, rows longer than a block, a scalar, nothing at all.
  private func seed(_ types: [ElementType]) throws -> String {
    let path = folder("seed.safetensors")
    var generator = SeededGenerator(seed: 3)
    var tensors: [SafetensorsBuilder.Tensor] = []
    for (number, type) in types.enumerated() {
      var shapes: [[UInt]] = [[number % 2 == 0 ? 9000 : 2, 8], [3, 4, 8], [0, 8]]
      if type.byteWidth != nil { shapes.append([]) }
      if type == .f32 || type == .i8 { shapes.append([2, 70_000]) }
      for (place, shape) in shapes.enumerated() {
        let count = type.byteCount(ofElements: Int(shape.reduce(1, *)))
        // Bits of every kind, NaN with payloads among them; a truth value is 0 or 1.
        let bytes = generator.bytes(count, mask: type == .bool ? 1 : .max)
        tensors.append(("layer.\(number).\(type) ü.\(place)", type, shape, bytes))
      }
    }
    try SafetensorsBuilder.write(tensors, to: path)
    return path
  }

  private func expectSame(_ first: TensorValues, _ second: TensorValues) {
    #expect(first.names == second.names)
    for name in first.names {
      let (a, b) = (first.tensors[name], second.tensors[name])
      #expect(a?.info.elementType == b?.info.elementType, "\(name)")
      #expect(a?.info.shape == b?.info.shape, "\(name)")
      let isSame = a?.bytes == b?.bytes
      #expect(isSame, "the values of \(name) differ")
    }
  }

  @Test(arguments: Format.allCases, Format.allCases)
  func everyFormatToEveryOther(source: Format, target: Format) async throws {
    let types = source.types.filter(target.types.contains)
    let seed = try seed(types)
    let expected = try TensorValues(seed, step: 70_000)
    let between = source.path(in: folder.path)
    try await Conversion(of: seed).run(to: between, options: source.options)
    expectSame(try TensorValues(between, step: 70_000), expected)
    try FileManager.default.createDirectory(atPath: folder("next"), withIntermediateDirectories: true)
    let other = target.path(in: folder("next"))
    try await Conversion(of: between).run(to: other, options: target.options)
    let last = folder("last.safetensors")
    try await Conversion(of: other).run(to: last, options: Format.safetensors.options)
    expectSame(try TensorValues(last, step: 70_000), expected)
  }

  /// Files that other programs have written: torch, h5py, NumPy, the gguf package.
  static let foreign = [
    "samples/torch/all_readable_dtypes.pt", "samples/torch/bf16_f16.pt", "samples/torch/state_dict.pt",
    "samples/torch/state_dict_legacy.pt", "samples/torch/rezip_deflated.pt", "samples/torch/noncontig.pt",
    "samples/torch/channels_last.pt", "samples/torch/views_legacy.pt", "samples/torch/scalar_empty.pt",
    "samples/hdf5/chunked.h5", "samples/npz/w.npz", "samples/npz/w_compressed.npz",
    "samples/npz/a.npy", "samples/gguf/t.gguf", "samples/st/with_dense", "samples/safetensors/good/sharded",
  ]

  @Test(arguments: foreign, Format.allCases)
  func foreignFilesToEveryFormat(source: String, target: Format) async throws {
    let path = Fixtures.path(source)
    let expected = try TensorValues(path)
    let other = target.path(in: folder.path)
    let unheld = expected.tensors.filter { !target.types.contains($0.value.info.elementType) }.keys
    guard unheld.isEmpty else {
      let error = await #expect(throws: EmbedFuseError.self) {
        try await Conversion(of: path).run(to: other, options: target.options)
      }
      // All that can't be held is listed, and nothing is left behind.
      for name in unheld { #expect(error?.problem.contains(name) == true, "\(name)") }
      #expect(folder.names == [])
      return
    }
    try await Conversion(of: path).run(to: other, options: target.options)
    let last = folder("last.safetensors")
    try await Conversion(of: other).run(to: last, options: Format.safetensors.options)
    expectSame(try TensorValues(last), expected)
  }
}
