import EmbedFuse
import Foundation
import TestSupport
import Testing
import Yams

/// The fusions of fixtures/golden/manifest.json that the methods of this version cover: outputs of mergekit 0.1.5
/// and of a float64 reference.
@Suite struct GoldenTests {
  struct Case: Sendable, CustomTestStringConvertible {
    let name: String
    let config: String
    let inputs: [String]
    let tolerance: String
    let weights: [String: [Double]]

    var testDescription: String { name }
    var output: String { Fixtures.path("golden/outputs/\(name).safetensors") }
  }

  static let cases: [Case] = {
    guard let data = FileManager.default.contents(atPath: Fixtures.path("golden/manifest.json")),
      let json = try? JSON.parse(String(decoding: data, as: UTF8.self))
    else { return [] }
    return (json["cases"]?.arrayValue ?? []).map { entry in
      Case(
        name: entry["name"]?.stringValue ?? "", config: entry["config"]?.stringValue ?? "",
        inputs: (entry["inputs"]?.arrayValue ?? []).compactMap(\.stringValue),
        tolerance: entry["tolerance"]?.stringValue ?? "",
        weights: (entry["weights"]?.objectValue?.members ?? []).reduce(into: [:]) {
          $0[$1.key] = $1.value.arrayValue?.compactMap(\.doubleValue)
        })
    }
  }()

  static func fixture(_ path: String) -> String { Fixtures.path("golden/\(path)") }

  // MARK: The float64 reference

  static let reference = cases.filter {
    $0.name.hasPrefix("np_delta_") || $0.name.hasPrefix("np_uniform_soup")
  }

  static func recipe(ofReference golden: Case) throws -> Recipe {
    if golden.name.hasPrefix("np_uniform_soup") {
      return Recipe(models: golden.inputs.map(fixture), method: .soup())
    }
    let config = try JSON.parse(golden.config)
    let measure = try #require(config["measure"]?.stringValue)
    let method = DeltaGuided(
      granularity: try #require(config["granularity"]?.stringValue.flatMap(DeltaGuided.Granularity.init)),
      // A norm over a pooled group divided by the base's gives the weights of RMS: the denominators are equal.
      magnitude: measure == "mean_abs" ? .meanAbs : measure == "rel_l2_mean_of_tensors" ? .relative : .rms,
      power: try #require(config["power"]?.doubleValue),
      lambda: .fixed(try #require(config["scaling"]?.doubleValue)))
    return Recipe(
      base: fixture(golden.inputs[0]), models: golden.inputs.dropFirst().map(fixture),
      method: .deltaGuided(method))
  }

  @Test func everyReferenceCaseIsHere() {
    #expect(Self.reference.count == 26)
    #expect(Self.mergekit.count == 26)
  }

  @Test(arguments: reference) func matchesTheFloat64Reference(golden: Case) async throws {
    let folder = try TemporaryFolder()
    let recipe = try Self.recipe(ofReference: golden)
    try await FusionPlan(recipe).run(to: folder("out.safetensors"))
    let expected = try TensorValues(golden.output)
    let found = try TensorValues(folder("out.safetensors"))
    #expect(Set(expected.names) == Set(found.names))
    var exact = 0
    var total = 0
    for name in expected.names {
      let (info, bytes) = try #require(found.tensors[name])
      guard info.elementType.isFusable else {
        #expect(bytes == expected.tensors[name]?.bytes)
        continue
      }
      let nearest = Rounding.bits(expected.doubles(name), as: info.elementType)
      let bits = Rounding.bits(found.doubles(name), as: info.elementType)
      total += bits.count
      exact += zip(bits, nearest).count { $0 == $1 }
      #expect(
        zip(bits, nearest).allSatisfy { ($0 - $1).magnitude <= 1 }, "\(name) is more than one place off")
    }
    #expect(Double(exact) >= 0.999 * Double(total), "\(exact) of \(total) are the nearest value")
    if golden.name == "np_delta_all_zero" {
      let base = try TensorValues(Self.fixture(golden.inputs[0]))
      for name in base.names { #expect(found.tensors[name]?.bytes == base.tensors[name]?.bytes) }
    }
  }

  @Test(arguments: reference.filter { !$0.weights.isEmpty && !$0.name.contains("_p0_") })
  func weighsAsTheReference(golden: Case) async throws {
    let folder = try TemporaryFolder()
    let options = OutputOptions(weightsReport: folder("weights.json"))
    try await FusionPlan(try Self.recipe(ofReference: golden)).run(
      to: folder("out.safetensors"), options: options)
    let text = try String(contentsOfFile: folder("weights.json"), encoding: .utf8)
    for tensor in try JSON.parse(text)["tensors"]?.arrayValue ?? [] {
      let name = try #require(tensor["name"]?.stringValue)
      let layer = try #require(tensor["layer"]?.stringValue)
      let expected = try #require(golden.weights[name] ?? golden.weights[layer] ?? golden.weights["model"])
      let found = (tensor["weights"]?.arrayValue ?? []).compactMap(\.doubleValue)
      #expect(zip(found, expected).allSatisfy { abs($0 - $1) <= 1e-12 }, "\(name): \(found), not \(expected)")
    }
  }

  // MARK: mergekit

  static let mergekit = cases.filter {
    ($0.name.hasPrefix("linear") || $0.name.hasPrefix("task_arithmetic"))
  }

  static func recipe(ofMergekit golden: Case) throws -> Recipe {
    let config = try #require(try Yams.load(yaml: golden.config) as? [String: Any])
    let models = try #require(config["models"] as? [[String: Any]])
    let shared = config["parameters"] as? [String: Any] ?? [:]
    let normalize = shared["normalize"] as? Bool
    func number(_ value: Any?) -> Double? { (value as? Double) ?? (value as? Int).map(Double.init) }
    let weights = try models.map { model in
      let weight = (model["parameters"] as? [String: Any])?["weight"]
      if let value = number(weight) { return TensorValue(value) }
      let rules = try #require(weight as? [[String: Any]])
      return TensorValue(
        rules: try rules.map { rule in
          let filter = rule["filter"] as? String
          return TensorValue.Rule(
            filter: filter == "*" ? nil : filter, value: try #require(number(rule["value"])))
        })
    }
    let paths = try models.map { fixture(try #require($0["model"] as? String)) }
    let base = (config["base_model"] as? String).map(fixture)
    let types: [String: ElementType] = ["float32": .f32, "bfloat16": .bf16, "float16": .f16]
    let type = (config["out_dtype"] as? String) ?? (config["dtype"] as? String)
    return Recipe(
      base: base, models: paths,
      method: base == nil
        ? .soup(normalize: normalize ?? true)
        : .taskArithmetic(lambda: number(shared["lambda"]) ?? 1, normalize: normalize ?? false),
      weights: weights,
      // mergekit promotes inputs of different types to F32; here the base's type holds unless told otherwise.
      elementType: type.flatMap { types[$0] } ?? (golden.name.contains("mixed") ? .f32 : nil))
  }

  /// What to hold a case to. Where all of mergekit's arithmetic was in 16 bits its result is no measure, and the
  /// same case with F32 arithmetic stands in.
  static func expectation(of golden: Case) throws -> TensorValues {
    guard golden.tolerance.hasPrefix("do NOT") else { return try TensorValues(golden.output) }
    return try TensorValues(golden.output.replacingOccurrences(of: "_native", with: "_acc32"))
  }

  @Test(arguments: mergekit) func agreesWithMergekit(golden: Case) async throws {
    let folder = try TemporaryFolder()
    var recipe = try Self.recipe(ofMergekit: golden)
    try await FusionPlan(recipe).run(to: folder("out.safetensors"))
    recipe.elementType = .f64
    try await FusionPlan(recipe).run(to: folder("exact.safetensors"))
    let expected = try Self.expectation(of: golden)
    let found = try TensorValues(folder("out.safetensors"))
    let exact = try TensorValues(folder("exact.safetensors"))
    #expect(Set(expected.names) == Set(found.names))
    let absolute = golden.tolerance.firstMatch(of: /abs <= ([0-9.e+-]+)/).flatMap { Double($0.1) }
    var equal = 0
    var total = 0
    for name in expected.names {
      let (info, bytes) = try #require(found.tensors[name])
      guard info.elementType.isFusable else {
        #expect(bytes == expected.tensors[name]?.bytes)
        continue
      }
      let (values, references) = (found.doubles(name), expected.doubles(name))
      if let absolute {
        #expect(zip(values, references).allSatisfy { abs($0 - $1) <= absolute }, "\(name)")
        continue
      }
      let bits = Rounding.bits(values, as: info.elementType)
      let nearest = Rounding.bits(references, as: info.elementType)
      #expect(zip(bits, nearest).allSatisfy { ($0 - $1).magnitude <= 1 }, "\(name)")
      // Half way between two values the last bit of mergekit's F32 sum decides; that is no disagreement.
      for (index, value) in exact.doubles(name).enumerated() {
        let isTie = abs(2 * value - values[index] - references[index]) <= 4e-7 * abs(value)
        equal += bits[index] == nearest[index] || isTie ? 1 : 0
        total += 1
      }
    }
    if absolute == nil { #expect(Double(equal) >= 0.999 * Double(total), "\(equal) of \(total) are equal") }
  }
}

/// Values as places in the order of all values of a type.
enum Rounding {
  /// The place of each value once rounded to `type`: neighbouring values have neighbouring places, zero has 0.
  static func bits(_ values: [Double], as type: ElementType) -> [Int] {
    values.map { value in
      switch type {
      case .f32: ordered(Int(Float(value).bitPattern), sign: 1 << 31)
      case .f16:
        // Through 64-bit places: rounding twice would be wrong.
        ordered(Int(Float16(value).bitPattern), sign: 1 << 15)
      case .bf16: ordered(bfloat16(value), sign: 1 << 15)
      default: preconditionFailure("not compared in places: \(type)")
      }
    }
  }

  private static func ordered(_ bits: Int, sign: Int) -> Int {
    bits & sign == 0 ? bits : -(bits & (sign - 1))
  }

  /// To nearest, ties to even, from the exact value.
  private static func bfloat16(_ value: Double) -> Int {
    let single = Float(value)
    let truncated = Int(single.bitPattern >> 16)
    let lower = Double(Float(bitPattern: UInt32(truncated) << 16))
    let upper = Double(Float(bitPattern: UInt32(truncated + 1) << 16))
    let (below, above) = (abs(value - lower), abs(upper - value))
    return below < above || (below == above && truncated % 2 == 0) ? truncated : truncated + 1
  }
}
