import EmbedFuse
import Foundation
import Kernels
import TestSupport
import Testing

/// The digests of fused checkpoints as values in git: methods by element types, on any number of threads, in any memory,
/// with every instruction set, from any format, into any kind of output.
@Suite struct DigestMatrixTests {
  /// One fusion of the matrix.
  struct Fusion: Sendable, CustomTestStringConvertible {
    let method: String
    let parameters: [String: String]
    let type: ElementType

    /// The key in the table of digests.
    var name: String {
      let settings = parameters.sorted { $0.key < $1.key }.map { " \($0.key)=\($0.value)" }.joined()
      return "\(method)\(settings) \(type)"
    }
    var testDescription: String { name }
  }

  static let types: [ElementType] = [.f32, .bf16, .f16]

  static let fusions: [Fusion] = {
    let guided: [[String: String]] =
      DeltaGuided.Granularity.allCases.map { ["granularity": $0.rawValue] } + [
        ["granularity": "row", "magnitude": "rms", "power": "2", "lambda": "auto"],
        ["granularity": "tensor", "magnitude": "relative", "power": "-1", "balance": "model"],
        ["granularity": "element", "power": "0.5", "balance": "tensor", "lambda": "auto:row"],
      ]
    var fusions: [Fusion] = []
    for type in types {
      for parameters in guided {
        fusions.append(Fusion(method: "delta-guided", parameters: parameters, type: type))
      }
      // Methods that need files besides the models are left out.
      for method in FusionMethods.all.map({ $0.description })
      where method.name != "delta-guided" && !method.needsCompanions && method.models.contains(2) {
        fusions.append(Fusion(method: method.name, parameters: [:], type: type))
      }
    }
    return fusions
  }()

  /// The digests in git, by the fusions' names.
  static let expected: [String: String] = {
    let text = try! String(contentsOfFile: Fixtures.path("digests.json"), encoding: .utf8)
    return try! JSON.parse(text).objectValue!.members.reduce(into: [:]) { $0[$1.key] = $1.value.stringValue }
  }()

  private static let shapes: [(String, [UInt])] = [
    ("embeddings.word_embeddings.weight", [50, 24]), ("encoder.layer.0.dense.weight", [2, 4100]),
    ("encoder.layer.0.dense.bias", [7]), ("encoder.layer.1.dense.weight", [17, 33]),
    ("encoder.layer.1.LayerNorm.weight", [33]), ("pooler.dense.weight", [3, 4, 5]),
  ]

  private static func recipe(_ fusion: Fusion, _ inputs: [String]) throws -> Recipe {
    let method = try MethodSettings(named: fusion.method, parameters: fusion.parameters)
    return Recipe(
      base: inputs[0], models: Array(inputs[1...2]), method: method, elementType: fusion.type)
  }

  private static func digest(
    _ fusion: Fusion, _ inputs: [String], to path: String, _ options: OutputOptions
  ) async throws -> String? {
    try await FusionPlan(try recipe(fusion, inputs)).run(to: path, options: options).manifest.json["output"]?[
      "digest"]?.stringValue
  }

  /// Every fusion gives the digest in git. Threads and memory take turns, so that each stands beside many methods.
  @Test func everyFusionHasItsDigest() async throws {
    let folder = try TemporaryFolder()
    let inputs = try PropertyTests.family(folder, shapes: Self.shapes)
    var found = JSON.Object()
    for (place, fusion) in Self.fusions.enumerated() {
      let options = OutputOptions(
        overwrite: true, synchronize: false, memory: [64 << 20, 512 << 20, 2 << 30][place % 3],
        threads: 1 + place % 4)
      let digest = try await Self.digest(fusion, inputs, to: folder("out.safetensors"), options)
      found[fusion.name] = digest.map { .string($0) }
      #expect(digest == Self.expected[fusion.name], "\(fusion.name)")
    }
    if let path = ProcessInfo.processInfo.environment["EMBEDFUSE_WRITE_DIGESTS"] {
      try JSON.object(found).prettyText.write(toFile: path, atomically: true, encoding: .utf8)
    }
    #expect(Self.expected.count == Self.fusions.count)
  }

  /// Some fusions in every combination: threads by memory by instruction set.
  @Test func nothingElseDecidesTheDigest() async throws {
    let folder = try TemporaryFolder()
    let inputs = try PropertyTests.family(folder, shapes: Self.shapes)
    let chosen = Self.fusions.filter {
      $0.type == .bf16 && ["delta-guided", "ties", "dare"].contains($0.method)
        && ($0.parameters["granularity"].map { ["element", "model"].contains($0) } ?? true)
    }
    #expect(chosen.count == 5)
    try await onEveryInstructionSet { _ in
      for fusion in chosen {
        for threads in 1...4 {
          for memory in [64 << 20, 2 << 30] {
            let options = OutputOptions(overwrite: true, synchronize: false, memory: memory, threads: threads)
            let digest = try await Self.digest(fusion, inputs, to: folder("out.safetensors"), options)
            #expect(
              digest == Self.expected[fusion.name], "\(fusion.name), \(threads) threads, \(memory) bytes")
          }
        }
      }
    }
  }

  /// Kinds of output and shards, and the formats of the inputs.
  @Test func theFormatsDoNotDecideTheDigest() async throws {
    let folder = try TemporaryFolder()
    let inputs = try PropertyTests.family(folder, shapes: Self.shapes)
    var others: [String] = []
    for (place, input) in inputs.enumerated() {
      let ending = ["h5", "npz", "gguf", "h5"][place]
      others.append(folder("other\(place).\(ending)"))
      try await Conversion(of: input).run(to: others[place])
    }
    let fusion = try #require(Self.fusions.first { $0.name == "delta-guided granularity=row F32" })
    for (name, inputs) in [
      ("out", inputs), ("out.h5", inputs), ("delta.h5", inputs), ("out.npz", inputs), ("out.gguf", inputs),
      ("others.safetensors", others),
    ] {
      var options = OutputOptions(synchronize: false, maximumShardBytes: 3000)
      if name == "delta.h5" { options.relativeTo = inputs[0] }
      let digest = try await Self.digest(fusion, inputs, to: folder(name), options)
      #expect(digest == Self.expected[fusion.name], "\(name)")
      #expect(try await Verification(of: folder(name)).run().tensorCount == Self.shapes.count)
    }
    #expect(
      try FileManager.default.contentsOfDirectory(atPath: folder("out")).count {
        $0.hasSuffix(".safetensors")
      }
        > 1)
  }
}
