import EmbedFuse
import Foundation
import Fusion
import TensorCore
import TestSupport
import Testing

/// Weights of any size: where only their ratios count they give what ordinary ones give; else what leaves the range of
/// numbers is told.
@Suite struct ExtremeWeightTests {
  let folder: TemporaryFolder
  let paths: [String]
  let options: OutputOptions

  init() throws {
    folder = try TemporaryFolder()
    paths = try PropertyTests.family(folder)
    var options = OutputOptions(synchronize: false)
    options.overwrite = true
    self.options = options
  }

  private func run(
    _ method: String, _ parameters: [String: String] = [:], weights: [Double], mergekit: Bool = false,
    type: ElementType? = nil, nonFinite: NonFinitePolicy = .error
  ) async throws -> FusionResult {
    let settings = try MethodSettings(named: method, parameters: parameters, followsMergekit: mergekit)
    let isFree = settings.description.mergeSpace == .weights && method != "passthrough"
    var recipe = Recipe(
      base: isFree && parameters["lambda"] == nil ? nil : paths[0],
      models: Array(paths[1..<1 + weights.count]), method: settings, weights: weights.map { TensorValue($0) },
      elementType: type, nonFinite: nonFinite)
    if method == "fisher" { recipe.companions = Array(paths[1..<1 + weights.count]) }
    return try await FusionPlan(recipe).run(to: folder("out.safetensors"), options: options)
  }

  private static let byRatios: [(String, [String: String])] =
    ["element", "row", "tensor", "layer", "model"].flatMap { granularity in
      ["1", "2", "0.5", "-1", "0", "3"].map { ("delta-guided", ["granularity": granularity, "power": $0]) }
    } + [
      ("delta-guided", ["lambda": "auto"]), ("delta-guided", ["balance": "model", "magnitude": "rms"]),
      ("soup", [:]), ("soup", ["lambda": "auto"]), ("task-arithmetic", ["normalize": "true"]),
      ("ties", ["density": "0.5"]), ("dare-linear", ["density": "0.5", "normalize": "true"]),
      ("della", ["density": "0.5"]), ("breadcrumbs-ties", ["density": "0.5", "normalize": "true"]),
      ("geometric-median", [:]), ("multislerp", [:]), ("fisher", [:]),
    ]

  /// 2^n times as large or small weights give the same bytes, and shares that sum to 1 or to what they did.
  @Test(arguments: byRatios.indices) func onlyRatiosCount(index: Int) async throws {
    let (method, parameters) = Self.byRatios[index]
    let weights = [1.0, 0.75, 1.5]
    let expected = try await run(method, parameters, weights: weights)
    for exponent in [-1070, -600, -65, -3, 40, 64, 65, 531, 1023] {
      let found = try await run(
        method, parameters,
        weights: weights.map { Double(sign: .plus, exponent: exponent, significand: $0) })
      #expect(found.manifest.digest == expected.manifest.digest, "\(method) \(parameters), 2^\(exponent)")
      if abs(expected.weightShares.reduce(0, +) - 1) < 1e-12, abs(exponent) > 64 {
        #expect(found.weightShares == expected.weightShares)
      }
      #expect(found.rounding == expected.rounding)
    }
  }

  @Test(arguments: [false, true]) func spheresAndMergekitsMeansTakeLargeWeights(mergekit: Bool) async throws {
    for (method, parameters) in [
      ("nuslerp", [:]), ("linear", [:]), ("task-arithmetic", ["normalize": "true"]), ("ties", [:]),
    ] {
      let expected = try await run(method, parameters, weights: [1, 1.75], mergekit: mergekit)
      let found = try await run(method, parameters, weights: [0x1p1022, 0x1.cp1022], mergekit: mergekit)
      #expect(found.manifest.digest == expected.manifest.digest, "\(method)")
    }
  }

  @Test(arguments: [[1, 1e-200], [0x1p-1030, 1], [1e308, 1e100], [0, 0x1p-1060, 1]])
  func weightsBeyondEachOthersReachAreRefused(weights: [Double]) async throws {
    for method in ["delta-guided", "soup", "ties"] {
      let error = try await #require(throws: EmbedFuseError.self) { try await run(method, weights: weights) }
      #expect(error.code == .usage && error.problem.contains("2^500"))
      #expect(error.remedy?.contains("the weight 0") == true)
    }
    // A plain sum knows no ratios.
    if weights.allSatisfy({ $0 <= 1 }) { _ = try await run("task-arithmetic", weights: weights) }
  }

  @Test(arguments: [[1e150, 1], [1e308, 1e200], [1e300, 0], [0, 0x1p-1060]])
  func weightsWithinReachAreTaken(weights: [Double]) async throws {
    let result = try await run("delta-guided", weights: weights)
    #expect(abs(result.weightShares.reduce(0, +) - 1) < 1e-12)
  }

  /// Where weights are taken as they are nothing is published if a model's weight isn't a number.
  @Test func weightsThatAreNoNumbersAreNotPublished() async throws {
    for method in ["task-arithmetic", "dare", "lines", "consensus"] {
      let error = try await #require(throws: EmbedFuseError.self) {
        try await run(method, weights: [1.7e308, 1.7e308])
      }
      #expect(error.code == .usage && error.problem.contains("binary64") && error.remedy != nil)
      #expect(error.problem.contains("ft1"))
      #expect(!FileManager.default.fileExists(atPath: folder("out.safetensors")))
    }
  }

  /// Finite inputs and weights, and a product that is too large even for binary64.
  @Test(arguments: [ElementType.f64, .f32, .bf16, .f8E4M3])
  func whatIsComputedThatIsNotFiniteIsTold(type: ElementType) async throws {
    let parameters = ["lambda": "1e308"]
    let result = try await run("task-arithmetic", parameters, weights: [1e10, 1], type: type)
    let values = try TensorValues(folder("out.safetensors"))
    let found = PropertyTests.shapes.map { name, _ in values.doubles(name).count { !$0.isFinite } }
    let counts = result.rounding.tensors.map { $0.counts.nonFinite }
    #expect(result.rounding.total.nonFinite > 0)
    if type == .f64 { #expect(counts == found.filter { $0 > 0 }) }
    let warning = try #require(result.rounding.warnings.first { $0.contains("finite inputs") })
    #expect(warning.contains("encoder.layer.0.dense.weight") && warning.contains("lambda"))
    // Whoever lets such values in isn't told of them.
    let allowed = try await run(
      "task-arithmetic", parameters, weights: [1e10, 1], type: type, nonFinite: .allow)
    #expect(allowed.rounding.total.nonFinite == 0)
  }
}

extension FusionManifest {
  /// The digest of all tensors of the output.
  fileprivate var digest: String? { json["output"]?["digest"]?.stringValue }
}
