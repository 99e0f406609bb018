import EmbedFuse
import Foundation
import Kernels
import TestSupport
import Testing

/// Every method against its formula, written down once more over whole arrays in the plainest way: sorts for ranks, sums
/// in one go.
@Suite struct MethodFormulaTests {
  /// Small tensors, one that is searched by histogram, one whose rows are longer than a block, a scalar, a row of one
  /// element.
  static let shapes: [(String, [UInt])] = [
    ("embeddings.weight", [40, 24]), ("encoder.layer.0.dense.weight", [37, 1100]),
    ("encoder.layer.0.bias", [7]), ("encoder.layer.1.column", [9, 1]), ("encoder.layer.1.long", [1, 65_600]),
    ("encoder.layer.2.cube", [3, 4, 5]), ("scale", []),
  ]

  struct Case: Sendable, CustomTestStringConvertible {
    let method: String
    var parameters: [String: String] = [:]
    var weights: [Double] = []
    var models = 3
    var usesBase = true
    let expected: @Sendable (Tensor) -> [Double]
    var testDescription: String { "\(method) \(parameters.sorted { $0.key < $1.key })" }
  }

  static let weights = [1.0, 2, 0.5]

  static let cases: [Case] = [
    Case(method: "soup", weights: weights, usesBase: false) { t in
      map(t) { _, x in (x[0] + 2 * x[1] + 0.5 * x[2]) / 3.5 }
    },
    Case(method: "linear", parameters: ["normalize": "false"], weights: weights, usesBase: false) { t in
      map(t) { _, x in x[0] + 2 * x[1] + 0.5 * x[2] }
    },
    Case(method: "task_arithmetic", parameters: ["lambda": "0.7", "normalize": "true"], weights: weights) {
      t in
      consensus(t, t.deltas, weights: weights, elects: false, normalize: true, lambda: 0.7)
    },
    Case(method: "ties", parameters: ["density": "0.3"], weights: weights) { t in
      let kept = t.keeping(t.count - max(1, Int(0.3 * Double(t.count)))..<t.count)
      return consensus(t, kept, weights: weights, elects: true, normalize: true)
    },
    Case(
      method: "ties",
      parameters: ["density": "0.6", "rescale": "true", "normalize": "false", "lambda": "1.5"]
    ) { t in
      let kept = t.keeping(t.count - max(1, Int(0.6 * Double(t.count)))..<t.count)
      return consensus(
        t, rescaled(kept, to: t.deltas), weights: [1, 1, 1], elects: true, normalize: false, lambda: 1.5)
    },
    Case(method: "ties") { t in consensus(t, t.deltas, weights: [1, 1, 1], elects: true, normalize: true) },
    Case(method: "ties", parameters: ["density": "0"]) { t in t.base },
    Case(method: "breadcrumbs", parameters: ["density": "0.5", "gamma": "0.1"], weights: weights) { t in
      let n = t.count
      let bottom = max(0, n - n / 2 - Int(0.1 * Double(n)))
      let kept = t.keeping(bottom..<bottom + n / 2)
      return consensus(t, kept, weights: weights, elects: false, normalize: false)
    },
    Case(method: "breadcrumbs_ties", parameters: ["density": "0.9", "gamma": "0.3", "rescale": "true"]) { t in
      let n = t.count
      let size = Int(0.9 * Double(n))
      let bottom = max(0, n - size - Int(0.3 * Double(n)))
      let kept = t.keeping(bottom..<bottom + size)
      return consensus(t, rescaled(kept, to: t.deltas), weights: [1, 1, 1], elects: true, normalize: false)
    },
    Case(method: "sce") { sce($0, share: 1) },
    Case(method: "sce", parameters: ["select_topk": "0.4"]) { sce($0, share: 0.4) },
    Case(method: "ram", parameters: ["epsilon": "0.01"]) { ram($0, epsilon: 0.01) },
    Case(method: "ramplus_tl", parameters: ["epsilon": "0.01", "r": "0.3", "alpha": "0.8"]) {
      ram($0, epsilon: 0.01, r: 0.3, alpha: 0.8)
    },
    Case(method: "magmax") { t in
      map(t) { base, x in
        var best = 0.0
        for value in x where abs(value - base) >= abs(best) { best = value - base }
        return base + 0.5 * best
      }
    },
    Case(method: "consensus", parameters: ["lambda": "0.6", "tall_lambda": "0.5", "k": "2"]) { t in
      map(t) { base, x in
        let whole = base + 0.6 * x.reduce(0) { $0 + $1 - base }
        return x.count { abs(base - $0) > 0.5 * abs(whole - $0) } >= 2 ? whole : base
      }
    },
    Case(method: "emr-unified", parameters: ["lambda": "0.8"]) { t in
      map(t) { base, x in
        let deltas = x.map { $0 - base }
        let sign: Double = deltas.reduce(0, +) > 0 ? 1 : -1
        return base + 0.8 * sign * (deltas.filter { $0 * sign > 0 }.map(abs).max() ?? 0)
      }
    },
    Case(method: "pcb", parameters: ["ratio": "0.3", "lambda": "1.2"]) { pcb($0, ratio: 0.3, lambda: 1.2) },
    Case(method: "widen") { widen($0) },
    Case(method: "lines", parameters: ["alpha": "0.3", "beta": "0.5"], weights: weights) { t in
      let layer = t.name.firstMatch(of: /layer\.(\d)/).flatMap { Double($0.1) } ?? 0
      return consensus(
        t, t.deltas, weights: weights, elects: false, normalize: false, lambda: 0.3 + 0.5 * layer / 2)
    },
    Case(method: "model_stock") { modelStock($0.base, $0.models) },
    Case(method: "model_stock", parameters: ["filter_wise": "true"]) {
      byVectors($0, rows: true, modelStock)
    },
    Case(method: "slerp", parameters: ["t": "0.3"], models: 1) { t in
      slerp(t.base, t.models[0], 0.3) { abs($0) > 0.9995 }
    },
    Case(method: "nuslerp", weights: [0.7, 0.3], models: 2, usesBase: false) { t in
      slerp(t.models[0], t.models[1], 0.3) { 1 - $0 * $0 <= 1e-12 }
    },
    Case(
      method: "nuslerp", parameters: ["nuslerp_flatten": "false"], weights: [0.7, 0.3], models: 2,
      usesBase: false
    ) { t in
      byVectors(t, rows: true) { _, x in slerp(x[0], x[1], 0.3) { 1 - $0 * $0 <= 1e-12 } }
    },
    Case(
      method: "nuslerp", parameters: ["nuslerp_flatten": "false", "nuslerp_row_wise": "true"],
      weights: [0.7, 0.3], models: 2, usesBase: false
    ) { t in
      byVectors(t, rows: false) { _, x in slerp(x[0], x[1], 0.3) { 1 - $0 * $0 <= 1e-12 } }
    },
    Case(method: "multislerp", weights: weights) { t in
      zip(t.base, multislerp(t.deltas, weights)).map { $0 + $1 }
    },
    Case(method: "multislerp", weights: weights, usesBase: false) { multislerp($0.models, weights) },
    Case(method: "karcher", parameters: ["max_iter": "50", "tol": "1e-9"], usesBase: false) {
      karcher($0.models, iterations: 50, tolerance: 1e-9)
    },
    Case(method: "nearswap", parameters: ["t": "0.01"], models: 1) { t in
      map(t) { base, x in
        let w = abs(x[0] - base) <= 0.01 ? 1 : 0.01 / abs(x[0] - base)
        return w * x[0] + (1 - w) * base
      }
    },
    Case(method: "arcee_fusion", models: 1) { arcee($0) },
    Case(method: "passthrough", parameters: ["scale": "0.5"], models: 1, usesBase: false) { t in
      t.models[0].map { $0 * 0.5 }
    },
    Case(method: "median", usesBase: false) { t in map(t) { _, x in x.sorted()[1] } },
    Case(method: "median", models: 2, usesBase: false) { t in map(t) { _, x in (x[0] + x[1]) / 2 } },
    Case(method: "trimmed-mean", parameters: ["trim": "0.34"], usesBase: false) { t in
      map(t) { _, x in x.sorted()[1] }
    },
  ]

  @Test func everyMethodHasItsFormula() {
    let tested = Set(Self.cases.map { $0.method.replacing("_", with: "-") })
    // Delta-guided fusion, Fisher, the geometric median and the random methods have tests of their own.
    let others: Set = [
      "delta-guided", "fisher", "geometric-median", "dare", "dare-linear", "dare-ties", "della",
      "della-linear",
      "linear",
    ]
    for type in FusionMethods.all {
      #expect(tested.contains(type.description.name) || others.contains(type.description.name))
    }
  }

  /// The tensors of the base and the three models that every case fuses, or the first of them.
  static let tensors: [Tensor] = {
    let folder = try! TemporaryFolder()
    let files = try! family(folder).map { try TensorValues($0) }
    return shapes.map { name, shape in
      Tensor(
        name: name, shape: shape.map { Int($0) }, base: files[0].doubles(name),
        models: files.dropFirst().map { $0.doubles(name) })
    }
  }()

  static func family(_ folder: TemporaryFolder) throws -> [String] {
    try PropertyTests.family(folder, shapes: shapes, scale: 0.02, type: .f64)
  }

  @Test(arguments: cases) func followsItsFormula(_ test: Case) async throws {
    let folder = try TemporaryFolder()
    let paths = try Self.family(folder).prefix(1 + test.models)
    let recipe = Recipe(
      base: test.usesBase ? paths[0] : nil, models: Array(paths.dropFirst()),
      method: try MethodSettings(named: test.method, parameters: test.parameters),
      weights: test.weights.map { TensorValue($0) })
    let found = try await PropertyTests.fuse(recipe, to: folder("out.safetensors"))
    for tensor in Self.tensors {
      let expected = test.expected(tensor.first(test.models))
      let values = found.doubles(tensor.name)
      let scale = expected.reduce(1e-300) { max($0, $1.isNaN ? 0 : abs($1)) }
      let wrong = zip(values, expected).enumerated().filter { _, pair in
        !(abs(pair.0 - pair.1) <= 1e-12 * scale) && !pair.1.isNaN
      }
      #expect(
        values.count == expected.count && wrong.isEmpty,
        "\(tensor.name): \(wrong.count) of \(values.count), first at \(wrong.first.map { "\($0)" } ?? "")")
    }
  }

  /// No small step away from the geometric median lessens the sum of distances, and it is a mean of the models.
  @Test func theGeometricMedianIsTheNearestPoint() async throws {
    let folder = try TemporaryFolder()
    let paths = try Self.family(folder)
    let recipe = Recipe(
      models: Array(paths.dropFirst()), method: try MethodSettings(named: "geometric-median"),
      weights: [1, 1.5, 1])
    let found = try await PropertyTests.fuse(recipe, to: folder("out.safetensors"))
    for tensor in Self.tensors {
      func distance(_ x: [Double]) -> Double {
        zip([1, 1.5, 1], tensor.models).reduce(0) { sum, pair in
          sum + pair.0 * Self.norm(zip(x, pair.1).map { $0 - $1 })
        }
      }
      let median = found.doubles(tensor.name)
      let best = distance(median)
      for model in tensor.models {
        for step in [1e-3, -1e-3] {
          let other = zip(median, model).map { $0 + step * ($1 - $0) }
          #expect(distance(other) >= best * (1 - 1e-9), "\(tensor.name)")
        }
      }
    }
  }
}
