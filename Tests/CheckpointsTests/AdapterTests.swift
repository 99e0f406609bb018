import Foundation
import Kernels
import TestSupport
import Testing

@testable import Checkpoints
@testable import TensorCore

/// Adapters applied to their base: against PEFT's own merging, and against the formula.
@Suite struct AdapterTests {
  static let kinds = [
    "lora", "rslora", "dora", "rank_pattern", "embedding", "modules_to_save", "bias_all", "fan_in_fan_out",
    "lora_only", "embedding_saved", "patterns", "modules_to_save_embedding", "transformers_adapter",
    "pickled",
  ]

  static func sample(_ name: String) -> String { Fixtures.path("samples/peft/\(name)") }

  static func base(of kind: String) throws -> ModelSource {
    try ModelSource.open(sample(kind == "fan_in_fan_out" ? "gpt2base" : "base"))
  }

  @Test(arguments: kinds) func mergesAsPEFTDoes(kind: String) throws {
    let merged = try Self.base(of: kind).applying(adapter: Self.sample(kind))
    let ours = try TensorValues(merged)
    let expected = try TensorValues(Self.sample(kind) + "/merged_expected.safetensors")
    let base = try TensorValues(try Self.base(of: kind))
    #expect(ours.names == expected.names)
    var changed = 0
    for name in expected.names {
      let (mine, theirs) = (ours.doubles(name), expected.doubles(name))
      #expect(ours.tensors[name]?.info == expected.tensors[name]?.info)
      // PEFT rounds to F32 after each operation, so its last places are of the size of the largest values.
      let tolerance = 0x1p-22 * (mine.map(\.magnitude).max() ?? 0)
      #expect(zip(mine, theirs).allSatisfy { ($0 - $1).magnitude <= tolerance }, "\(name)")
      if mine != base.doubles(name) { changed += 1 }
    }
    #expect(changed > 0)
    #expect(merged.path == Self.sample(kind) && merged.companions.map(\.relativePath).contains("config.json"))
    #expect(merged.notes.isEmpty, "\(merged.notes)")
  }

  // MARK: The formula

  /// An adapter of rank 3 on one weight of 70 by 1000, in a folder.
  struct Made {
    let folder: TemporaryFolder
    var weight: [Double], a: [Double], b: [Double]
    var magnitudes: [Double] = []
    static let (rows, columns, rank) = (70, 1000, 3)

    init(_ type: ElementType, isDecomposed: Bool = false, isTransposed: Bool = false, seed: UInt64 = 1) throws
    {
      var generator = SeededGenerator(seed: seed)
      folder = try TemporaryFolder()
      func values(_ count: Int, _ type: ElementType) -> ([Double], [UInt8]) {
        let exact = generator.normals(count)
        var bytes = [UInt8](repeating: 0, count: type.byteCount(ofElements: count))
        var span = bytes.mutableSpan
        narrow(exact.span, to: type, into: &span)
        var back = exact
        var target = back.mutableSpan
        _ = widen(bytes.span, as: type, into: &target)
        return (back, bytes)
      }
      let (rows, columns, rank) = (UInt(Self.rows), UInt(Self.columns), UInt(Self.rank))
      let (w, weightBytes) = values(Self.rows * Self.columns, type)
      let (inputs, outputs) = isTransposed ? (rows, columns) : (columns, rows)
      let (a, aBytes) = values(Int(rank * inputs), .bf16)
      let (b, bBytes) = values(Int(outputs * rank), .f32)
      (weight, self.a, self.b) = (w, a, b)
      try FileManager.default.createDirectory(atPath: folder("adapter"), withIntermediateDirectories: true)
      try SafetensorsBuilder.write(
        [("x.dense.weight", type, [rows, columns], weightBytes)], to: folder("base.safetensors"))
      var tensors: [SafetensorsBuilder.Tensor] = [
        ("base_model.model.x.dense.lora_A.weight", .bf16, [rank, inputs], aBytes),
        ("base_model.model.x.dense.lora_B.weight", .f32, [outputs, rank], bBytes),
      ]
      if isDecomposed {
        let (m, bytes) = values(Self.rows, .f32)
        magnitudes = m
        tensors.append(("base_model.model.x.dense.lora_magnitude_vector", .f32, [rows], bytes))
      }
      try SafetensorsBuilder.write(tensors, to: folder("adapter/adapter_model.safetensors"))
      try AdapterTests.write(
        ["r": 3, "lora_alpha": 4, "use_dora": .bool(isDecomposed), "fan_in_fan_out": .bool(isTransposed)],
        in: folder("adapter"))
    }

    func model() throws -> ModelSource {
      try ModelSource.open(folder("base.safetensors")).applying(adapter: folder("adapter"))
    }

    /// The merged values in binary64.
    func expected(isTransposed: Bool = false) -> [Double] {
      let (rows, columns, rank) = (Self.rows, Self.columns, Self.rank)
      var result = weight
      for i in 0..<rows {
        for j in 0..<columns {
          let (o, k) = isTransposed ? (j, i) : (i, j)
          let inputs = isTransposed ? rows : columns
          let sum = (0..<rank).reduce(0.0) { $0 + b[o * rank + $1] * a[$1 * inputs + k] }
          result[i * columns + j] += 4.0 / 3.0 * sum
        }
        guard !magnitudes.isEmpty else { continue }
        let row = i * columns..<(i + 1) * columns
        let norm = result[row].reduce(0) { $0 + $1 * $1 }.squareRoot()
        for place in row { result[place] *= magnitudes[i] / norm }
      }
      return result
    }
  }

  /// Writes an `adapter_config.json` with these settings beside the usual ones.
  static func write(_ settings: [String: JSON], in folder: String) throws {
    var config: JSON.Object = ["peft_type": "LORA", "r": 2, "lora_alpha": 4, "init_lora_weights": true]
    for (key, value) in settings { config[key] = value }
    try JSON.object(config).prettyText.write(
      toFile: folder + "/adapter_config.json", atomically: true, encoding: .utf8)
  }

  @Test(arguments: [(ElementType.f32, false), (.f32, true), (.bf16, false), (.f16, true), (.f64, false)])
  func theFormulaIsRoundedOnce(type: ElementType, isTransposed: Bool) throws {
    let made = try Made(type, isTransposed: isTransposed)
    let values = try TensorValues(try made.model())
    let result = values.tensors["x.dense.weight"]?.info.elementType
    #expect(result == (type == .f64 ? .f64 : .f32))
    let expected = made.expected(isTransposed: isTransposed)
    let rounded = type == .f64 ? expected : expected.map { Double(Float($0)) }
    #expect(values.doubles("x.dense.weight") == rounded)
  }

  @Test(arguments: [false, true]) func rangesDoNotMatter(isDecomposed: Bool) throws {
    let made = try Made(.bf16, isDecomposed: isDecomposed)
    let whole = try TensorValues(try made.model(), step: 70_000).doubles("x.dense.weight")
    for step in [1, 333, 1000, 1001, 3000, 65_000] where step > 1 || !isDecomposed {
      #expect(try TensorValues(try made.model(), step: step).doubles("x.dense.weight") == whole, "\(step)")
    }
    let difference = zip(whole, made.expected()).map { ($0 - $1).magnitude / max(1, $1.magnitude) }.max()!
    #expect(difference < 0x1p-23)
  }

  /// The left factor of a rank beyond any sense is read in parts.
  @Test func theRankMayBeLarge() throws {
    let folder = try TemporaryFolder()
    try FileManager.default.createDirectory(atPath: folder("adapter"), withIntermediateDirectories: true)
    let (rank, rows) = (40_000, 6)
    func ones(_ count: Int) -> [UInt8] { (0..<count).flatMap { _ in [0x80, 0x3F] as [UInt8] } }
    try SafetensorsBuilder.write(
      [("x.weight", .bf16, [UInt(rows), 2], ones(rows * 2))], to: folder("base.safetensors"))
    try SafetensorsBuilder.write(
      [
        ("x.lora_A.weight", .bf16, [UInt(rank), 2], ones(rank * 2)),
        ("x.lora_B.weight", .bf16, [UInt(rows), UInt(rank)], ones(rows * rank)),
      ], to: folder("adapter/adapter_model.safetensors"))
    try Self.write(["r": .number(rank), "lora_alpha": .number(rank)], in: folder("adapter"))
    let merged = try ModelSource.open(folder("base.safetensors")).applying(adapter: folder("adapter"))
    let values = try TensorValues(merged).doubles("x.weight")
    #expect(values == Array(repeating: Double(rank + 1), count: rows * 2))
  }

  @Test func adaptersFollowOneAnother() throws {
    let first = try Made(.f64, seed: 1)
    let second = try Made(.f64, seed: 2)
    let both = try first.model().applying(adapter: second.folder("adapter"))
    let once = try TensorValues(try first.model()).doubles("x.dense.weight")
    let alone = try TensorValues(try second.model()).doubles("x.dense.weight")
    let twice = try TensorValues(both).doubles("x.dense.weight")
    let delta = zip(alone, second.weight).map { $0 - $1 }
    #expect(zip(zip(once, delta), twice).allSatisfy { ($0.0 + $0.1 - $1).magnitude < 1e-12 })
  }

  @Test func whatIsKeptStaysWithinItsLimit() throws {
    let cache = FactorCache()
    var loads = 0
    for key in [0, 1, 0, 2, 0, 1] {
      _ = try cache.factor(of: key) { () throws(EmbedFuseError) in
        loads += 1
        // Two of these fit.
        return Array(repeating: Double(key), count: FactorCache.byteLimit / 24)
      }.values[0]
    }
    #expect(loads == 3)
    _ = try cache.factor(of: 3) { () throws(EmbedFuseError) in
      Array(repeating: 0, count: FactorCache.byteLimit / 8)
    }
    _ = try cache.factor(of: 0) { () throws(EmbedFuseError) in
      loads += 1
      return [0]
    }
    #expect(loads == 4)
    let third = FactorCache.byteLimit / 3
    #expect(FactorCache.byteCount(ofFactors: [third, third]) == 2 * third)
    #expect(FactorCache.byteCount(ofFactors: Array(repeating: third, count: 9)) == 4 * third + 2)
    #expect(FactorCache.byteCount(ofFactors: [4 * third, 5]) == 4 * third + 5)
  }
}
