import EmbedFuse
import Foundation
import Kernels
import Synchronization
import TestSupport
import Testing

/// What holds for every fusion, whatever its numbers.
@Suite struct PropertyTests {
  static let every: [DeltaGuided] = DeltaGuided.Granularity.allCases.flatMap { granularity in
    [
      DeltaGuided(granularity: granularity),
      DeltaGuided(granularity: granularity, magnitude: .rms, power: 2, lambda: .auto),
      DeltaGuided(granularity: granularity, magnitude: .relative, power: 0.5, balance: .model),
      DeltaGuided(granularity: granularity, power: -1, balance: .tensor, lambda: .autoRow),
      DeltaGuided(granularity: granularity, power: 0, lambda: .autoTensor),
    ]
  }

  static let types: [ElementType] = [.f64, .f32, .f16, .bf16, .f8E4M3, .f8E5M2, .f8E4M3FNUZ, .f8E5M2FNUZ]

  /// Shapes that meet every way of cutting: scalars, empty tensors, rows of one element and rows longer than a tile.
  static let shapes: [(String, [UInt])] = [
    ("embeddings.weight", [20, 24]), ("encoder.layer.0.dense.weight", [2, 4100]),
    ("encoder.layer.0.bias", [7]), ("encoder.layer.1.column", [9, 1]), ("scale", []),
    ("empty", [0, 4]), ("pooler.weight", [3, 4, 5]),
  ]
  /// Rows longer than a block.
  static let long: [(String, [UInt])] = [("encoder.layer.1.dense.weight", [2, 66_000])]

  /// A model of seeded values that `value` makes, stored as `type`.
  static func model(
    _ path: String, type: ElementType = .f32, shapes: [(String, [UInt])] = shapes, seed: UInt64,
    _ value: (inout SeededGenerator, Int) -> Double
  ) throws {
    var generator = SeededGenerator(seed: seed)
    try SafetensorsBuilder.write(
      shapes.map { name, shape in
        let values = (0..<Shape(shape)!.elementCount).map { value(&generator, $0) }
        var bytes = [UInt8](repeating: 0, count: type.byteCount(ofElements: values.count))
        var span = bytes.mutableSpan
        narrow(values.span, to: type, into: &span)
        return (name, type, shape, bytes)
      }, to: path)
  }

  /// The files of the families made so far, by what they were asked for.
  private static let families = Mutex<[String: [Data]]>([:])

  /// A base and three models fine-tuned from it.
  static func family(
    _ folder: TemporaryFolder, shapes: [(String, [UInt])] = shapes, scale: Double = 0.01,
    type: ElementType = .f32
  ) throws -> [String] {
    let paths = ["base", "ft1", "ft2", "ft3"].map { folder("\($0).safetensors") }
    let key = "\(shapes) \(scale) \(type)"
    if let files = families.withLock({ $0[key] }) {
      for (path, file) in zip(paths, files) { try file.write(to: URL(fileURLWithPath: path)) }
      return paths
    }
    try model(paths[0], type: type, shapes: shapes, seed: 1) { generator, _ in generator.normal() }
    let base = try TensorValues(paths[0])
    let all = shapes.flatMap { base.doubles($0.0) }
    for k in 1...3 {
      var next = 0
      try model(paths[k], type: type, shapes: shapes, seed: UInt64(10 + k)) { generator, index in
        defer { next += 1 }
        // Some elements did not move, and models move by different amounts.
        return all[next] + (index % 7 == k ? 0 : scale * Double(k) * generator.normal())
      }
    }
    let files = try paths.map { try Data(contentsOf: URL(fileURLWithPath: $0)) }
    families.withLock { $0[key] = files }
    return paths
  }

  static func bytes(_ path: String) throws -> [UInt8] {
    Array(try Data(contentsOf: URL(fileURLWithPath: path)))
  }

  static func fuse(
    _ recipe: Recipe, to path: String,
    options: OutputOptions = OutputOptions(overwrite: true, synchronize: false)
  ) async throws -> TensorValues {
    try await FusionPlan(recipe).run(to: path, options: options)
    return try TensorValues(path)
  }

  @Test(arguments: types) func copiesOfOneModelFuseToItsBits(type: ElementType) async throws {
    let folder = try TemporaryFolder()
    try Self.model(folder("base.safetensors"), type: type, seed: 5) { generator, _ in generator.normal() }
    try Self.model(folder("ft.safetensors"), type: type, seed: 6) { generator, index in
      // Zeros of both signs, subnormals and values far from the base's.
      [-0.0, 0, 1e-12, Double.leastNonzeroMagnitude, 1e-40, 3e-7, 200, generator.normal()][index % 8]
    }
    let copies = Array(repeating: folder("ft.safetensors"), count: 3)
    let expected = try TensorValues(folder("ft.safetensors"))
    let weights: [TensorValue] = [0.1, 0.7, 0.2]
    var methods = Self.every.filter { $0.lambda == .fixed(1) }.map(MethodSettings.deltaGuided)
    methods += [.soup(), .taskArithmetic(normalize: true)]
    for method in methods {
      let recipe = Recipe(base: folder("base.safetensors"), models: copies, method: method, weights: weights)
      let found = try await Self.fuse(recipe, to: folder("out.safetensors"))
      for name in expected.names {
        #expect(found.tensors[name]?.bytes == expected.tensors[name]?.bytes, "\(name), \(method.name)")
      }
    }
  }

  @Test(arguments: types) func modelsThatDidNotMoveGiveTheBasesBits(type: ElementType) async throws {
    let folder = try TemporaryFolder()
    try Self.model(folder("base.safetensors"), type: type, seed: 5) { generator, index in
      [-0.0, 1e-40, generator.normal()][index % 3]
    }
    let base = folder("base.safetensors")
    let expected = try TensorValues(base)
    var methods = Self.every.map(MethodSettings.deltaGuided)
    methods += [
      .deltaGuided(DeltaGuided(lambda: .fixed(1.3))), .taskArithmetic(lambda: 0.7), .soup(lambda: .auto),
    ]
    for method in methods {
      let found = try await Self.fuse(
        Recipe(base: base, models: [base, base], method: method, weights: [0.3, 0.6]),
        to: folder("out.safetensors"))
      for name in expected.names {
        #expect(found.tensors[name]?.bytes == expected.tensors[name]?.bytes, "\(name), \(method.name)")
      }
    }
  }

  @Test(arguments: every) func bytesDependOnInputsAndRecipeAlone(method: DeltaGuided) async throws {
    let folder = try TemporaryFolder()
    let needsLong =
      method.granularity == .row || (method.granularity == .element && method.lambda == .autoRow)
    let inputs = try Self.family(folder, shapes: needsLong ? Self.shapes + Self.long : Self.shapes)
    let recipe = Recipe(base: inputs[0], models: Array(inputs[1...]), method: .deltaGuided(method))
    var outputs: [[UInt8]] = []
    for (threads, memory) in [(1, 1 << 30), (2, 64 << 20), (4, 1 << 30), (3, 64 << 20)] {
      let options = OutputOptions(overwrite: true, synchronize: false, memory: memory, threads: threads)
      _ = try await Self.fuse(recipe, to: folder("out.safetensors"), options: options)
      outputs.append(try Self.bytes(folder("out.safetensors")))
    }
    try await onEveryInstructionSet { _ in
      _ = try await Self.fuse(recipe, to: folder("out.safetensors"))
      outputs.append(try Self.bytes(folder("out.safetensors")))
    }
    #expect(outputs.dropFirst().allSatisfy { $0 == outputs[0] })
  }

  @Test func everyKindOfOutputHoldsTheSame() async throws {
    let folder = try TemporaryFolder()
    let inputs = try Self.family(folder)
    let recipe = Recipe(base: inputs[0], models: Array(inputs[1...]))
    let single = try await Self.fuse(recipe, to: folder("out.safetensors"))
    let compressed = try await Self.fuse(recipe, to: folder("out.h5"))
    let shards = try await Self.fuse(
      recipe, to: folder("out"), options: OutputOptions(synchronize: false, maximumShardBytes: 20_000))
    let files = try FileManager.default.contentsOfDirectory(atPath: folder("out"))
    #expect(files.filter { $0.hasPrefix("model-0") }.count > 1)
    #expect(files.contains("model.safetensors.index.json") && files.contains("README.md"))
    for name in single.names {
      #expect(single.tensors[name]?.bytes == compressed.tensors[name]?.bytes, "\(name)")
      #expect(single.tensors[name]?.bytes == shards.tensors[name]?.bytes, "\(name)")
    }
    for output in ["out.safetensors", "out.h5", "out"] {
      #expect(try await Verification(of: folder(output)).run(rerun: false).tensorCount == Self.shapes.count)
    }
  }

  @Test(arguments: every) func theOrderOfModelsDoesNotMatter(method: DeltaGuided) async throws {
    let folder = try TemporaryFolder()
    let inputs = try Self.family(folder)
    func outcome(_ order: [Int]) async throws -> TensorValues {
      try await Self.fuse(
        Recipe(
          base: inputs[0], models: order.map { inputs[$0] }, method: .deltaGuided(method),
          weights: order.map { TensorValue(Double($0)) }), to: folder("out.safetensors"))
    }
    let first = try await outcome([1, 2, 3])
    let second = try await outcome([3, 1, 2])
    #expect(second.names == first.names)
    for name in first.names {
      let places = zip(
        Rounding.bits(first.doubles(name), as: .f32), Rounding.bits(second.doubles(name), as: .f32))
      #expect(places.allSatisfy { ($0 - $1).magnitude <= 1 }, "\(name)")
    }
  }

  @Test(arguments: [DeltaGuided.Granularity.row, .tensor, .layer, .model], [-2.5, -1, 0.5, 1, 2, 40])
  func weightsAreFreeOfScale(granularity: DeltaGuided.Granularity, power: Double) async throws {
    let folder = try TemporaryFolder()
    func shares(_ scale: Double) async throws -> [Double] {
      // Deltas from a base of zeros are exact at every scale.
      try Self.model(folder("base.safetensors"), type: .f64, seed: 1) { _, _ in 0 }
      for k in 1...3 {
        try Self.model(folder("ft\(k).safetensors"), type: .f64, seed: UInt64(k)) { generator, _ in
          scale * Double(k + 1) * generator.normal()
        }
      }
      let method = DeltaGuided(granularity: granularity, magnitude: .rms, power: power)
      let plan = try FusionPlan(
        Recipe(
          base: folder("base.safetensors"), models: (1...3).map { folder("ft\($0).safetensors") },
          method: .deltaGuided(method)))
      return try await plan.run(
        to: folder("out.safetensors"), options: OutputOptions(overwrite: true, synchronize: false)
      ).weightShares
    }
    let (large, small) = (try await shares(1), try await shares(1e-8))
    #expect(zip(large, small).allSatisfy { abs($0 - $1) <= 1e-12 }, "\(large) \(small)")
    #expect(large[0] != large[2])
  }

  @Test func carriesIntegersAndBooleans() async throws {
    let folder = try TemporaryFolder()
    let flags: SafetensorsBuilder.Tensor = ("flags", .bool, [3], [1, 0, 1])
    let ids: SafetensorsBuilder.Tensor = ("position_ids", .i64, [1, 2], Array(repeating: 7, count: 16))
    let packed: SafetensorsBuilder.Tensor = ("packed", .f4, [6], [1, 2, 3])
    func weight(_ value: Float) -> SafetensorsBuilder.Tensor {
      ("weight", .f32, [1], (0..<4).map { UInt8(truncatingIfNeeded: value.bitPattern >> (8 * $0)) })
    }
    try SafetensorsBuilder.write([weight(1), flags, ids, packed], to: folder("base.safetensors"))
    try SafetensorsBuilder.write([weight(3), flags], to: folder("ft.safetensors"))
    let recipe = Recipe(base: folder("base.safetensors"), models: [folder("ft.safetensors")])
    for output in ["out.safetensors", "out.h5"] {
      let found = try await Self.fuse(recipe, to: folder(output))
      #expect(found.tensors["flags"]?.bytes == flags.bytes)
      #expect(found.tensors["position_ids"]?.bytes == ids.bytes)
      #expect(found.tensors["packed"]?.bytes == packed.bytes)
      #expect(found.doubles("weight") == [3])
    }
  }

  @Test func eachElementTypeIsRoundedOnceFromBinary64() async throws {
    let folder = try TemporaryFolder()
    let inputs = try Self.family(folder)
    let exact = try await Self.fuse(
      Recipe(base: inputs[0], models: Array(inputs[1...]), elementType: .f64), to: folder("exact.safetensors")
    )
    for type in Self.types {
      let found = try await Self.fuse(
        Recipe(base: inputs[0], models: Array(inputs[1...]), elementType: type), to: folder("out.safetensors")
      )
      for name in exact.names {
        let values = exact.doubles(name)
        var expected = [UInt8](repeating: 0, count: type.byteCount(ofElements: values.count))
        var span = expected.mutableSpan
        narrow(values.span, to: type, into: &span)
        #expect(found.tensors[name]?.bytes == expected, "\(name) as \(type)")
      }
    }
  }
}
