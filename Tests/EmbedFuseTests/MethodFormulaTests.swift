import EmbedFuse
import Foundation
import Kernels
import TestSupport
import Testing

/// Every method against its formula, written down once more over whole arrays in the plainest way: sorts for ranks, sums
/// in one go.
@Suite struct MethodFormulaTests {
  /// One tensor of the base and of three models.
  struct Tensor {
    let name: String
    let shape: [Int]
    let base: [Double]
    let models: [[Double]]
    let deltas: [[Double]]
    var count: Int { base.count }
    var rowLength: Int { shape.last ?? 1 }

    init(name: String, shape: [Int], base: [Double], models: [[Double]]) {
      self.name = name
      self.shape = shape
      self.base = base
      self.models = models
      deltas = models.map { model in zip(model, base).map { $0 - $1 } }
    }
  }

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

  // MARK: The formulas

  static func map(_ t: Tensor, _ element: (Double, [Double]) -> Double) -> [Double] {
    t.base.indices.map { i in element(t.base[i], t.models.map { $0[i] }) }
  }

  /// Ranks by ascending key; of equal keys the lowest index is the greatest.
  static func order(_ keys: [Double]) -> [Int] {
    keys.indices.sorted { keys[$0] < keys[$1] || (keys[$0] == keys[$1] && $0 > $1) }
  }

  static func keeping(_ ranks: Range<Int>, of delta: [Double]) -> [Double] {
    var kept = delta.map { _ in 0.0 }
    for index in order(delta.map(abs))[ranks] { kept[index] = delta[index] }
    return kept
  }

  static func consensus(
    _ t: Tensor, _ deltas: [[Double]], weights: [Double], elects: Bool, normalize: Bool, lambda: Double = 1
  ) -> [Double] {
    t.base.indices.map { i in
      let d = zip(weights, deltas).map { $0 * $1[i] }
      let sum = d.reduce(0, +)
      if !elects { return t.base[i] + lambda * sum / (normalize ? weights.reduce(0, +) : 1) }
      let sign: Double = sum >= 0 ? 1 : -1
      let agreeing = d.indices.filter { d[$0] * sign > 0 }
      let total = agreeing.reduce(0) { $0 + weights[$1] }
      let kept = agreeing.reduce(0) { $0 + d[$1] }
      return t.base[i] + lambda * (normalize && total != 0 ? kept / total : kept)
    }
  }

  static func rescaled(_ kept: [[Double]], to deltas: [[Double]]) -> [[Double]] {
    zip(kept, deltas).map { kept, delta in
      let (part, whole) = (kept.reduce(0) { $0 + abs($1) }, delta.reduce(0) { $0 + abs($1) })
      return part == 0 ? kept : kept.map { $0 * whole / part }
    }
  }

  static func dot(_ a: [Double], _ b: [Double]) -> Double { zip(a, b).reduce(0) { $0 + $1.0 * $1.1 } }
  static func norm(_ a: [Double]) -> Double { dot(a, a).squareRoot() }

  static func slerp(_ x: [Double], _ y: [Double], _ t: Double, isCollinear: (Double) -> Bool) -> [Double] {
    let (m, n) = (norm(x), norm(y))
    let cosine = min(1, max(-1, dot(x, y) / (m == 0 ? 1 : m) / (n == 0 ? 1 : n)))
    if isCollinear(cosine) { return zip(x, y).map { (1 - t) * $0 + t * $1 } }
    let angle = acos(cosine)
    return zip(x, y).map { sin((1 - t) * angle) / sin(angle) * $0 + sin(t * angle) / sin(angle) * $1 }
  }

  /// Applies a function of vectors to each row, or to each column, of tensors with more than one axis.
  static func byVectors(
    _ t: Tensor, rows: Bool, _ function: ([Double], [[Double]]) -> [Double]
  ) -> [Double] {
    guard t.shape.count > 1 else { return function(t.base, t.models) }
    let step = rows ? t.rowLength : t.count / t.shape[0]
    let groups: [[Int]] =
      rows
      ? stride(from: 0, to: t.count, by: step).map { Array($0..<$0 + step) }
      : (0..<step).map { Array(stride(from: $0, to: t.count, by: step)) }
    var result = t.base
    for group in groups {
      let values = function(group.map { t.base[$0] }, t.models.map { model in group.map { model[$0] } })
      for (index, value) in zip(group, values) { result[index] = value }
    }
    return result
  }

  static func modelStock(_ base: [Double], _ models: [[Double]]) -> [Double] {
    let deltas = models.map { zip($0, base).map { $0 - $1 } }
    var sum = 0.0
    var pairs = 0.0
    for j in deltas.indices {
      for k in deltas.indices where k > j {
        let size = norm(deltas[j]) * norm(deltas[k])
        sum += size == 0 ? 0 : dot(deltas[j], deltas[k]) / size
        pairs += 1
      }
    }
    let (c, count) = (sum / pairs, Double(models.count))
    let t = count * c / (1 + (count - 1) * c)
    return base.indices.map { i in
      t * models.reduce(0) { $0 + $1[i] } / count + (1 - t) * base[i]
    }
  }

  static func multislerp(_ x: [[Double]], _ weights: [Double]) -> [Double] {
    let total = weights.reduce(0, +)
    let w = weights.map { $0 / total }
    let norms = x.map(norm)
    let units = zip(x, norms).map { x, n in n == 0 ? x : x.map { $0 / n } }
    let mean = x[0].indices.map { i in zip(w, units).reduce(0) { $0 + $1.0 * $1.1[i] } }
    let length = norm(mean)
    if length < 1e-8 { return x[0].indices.map { i in zip(w, x).reduce(0) { $0 + $1.0 * $1.1[i] } } }
    let m = mean.map { $0 / length }
    var r = m.map { _ in 0.0 }
    for (w, u) in zip(w, units) {
      let along = dot(u, m)
      for i in r.indices { r[i] += w * (u[i] - along * m[i]) }
    }
    let rho = norm(r)
    let size = zip(w, norms).reduce(0) { $0 + $1.0 * $1.1 }
    return m.indices.map { (m[$0] * cos(rho) + r[$0] * (rho == 0 ? 1 : sin(rho) / rho)) * size }
  }

  static func karcher(_ x: [[Double]], iterations: Int, tolerance: Double) -> [Double] {
    let norms = x.map(norm)
    let kept = x.indices.filter { norms[$0] > 0 }
    guard !kept.isEmpty else { return x[0].map { _ in 0 } }
    let units = kept.map { k in x[k].map { $0 / norms[k] } }
    var m = x[0].indices.map { i in units.reduce(0) { $0 + $1[i] } / Double(kept.count) }
    let start = norm(m)
    m = start < tolerance ? units[0] : m.map { $0 / start }
    for _ in 0..<iterations {
      var tangent = m.map { _ in 0.0 }
      for u in units {
        let c = min(1, max(-1, dot(u, m)))
        let angle = acos(c)
        guard angle >= tolerance, sin(angle) > 1e-12 else { continue }
        for i in m.indices { tangent[i] += angle / sin(angle) * (u[i] - c * m[i]) / Double(kept.count) }
      }
      let step = norm(tangent)
      if step < tolerance { break }
      m = zip(m, tangent).map { cos(step) * $0 + sin(step) * $1 / step }
      let length = norm(m)
      m = m.map { $0 / length }
    }
    let size = norms.reduce(0, +) / Double(x.count)
    return m.map { $0 * size }
  }

  static func sce(_ t: Tensor, share: Double) -> [Double] {
    var deltas = t.deltas
    if share < 1 {
      let variances = t.base.indices.map { i -> Double in
        let mean = deltas.reduce(0) { $0 + $1[i] } / Double(deltas.count)
        return deltas.reduce(0) { $0 + ($1[i] - mean) * ($1[i] - mean) } / Double(deltas.count)
      }
      let kept = Int(Double(variances.count { $0 != 0 }) * share)
      let selected = Set(order(variances).suffix(kept))
      deltas = deltas.map { delta in delta.indices.map { selected.contains($0) ? delta[$0] : 0 } }
    }
    let squares = deltas.map { dot($0, $0) }
    let total = squares.reduce(0, +)
    let weights = squares.map { total == 0 ? 1 / Double(squares.count) : $0 / total }
    return t.base.indices.map { i in
      let sign: Double = deltas.reduce(0) { $0 + $1[i] } >= 0 ? 1 : -1
      let agreeing = deltas.indices.filter { deltas[$0][i] * sign > 0 }
      let divisor = agreeing.reduce(0) { $0 + weights[$1] }
      return divisor == 0
        ? t.base[i] : t.base[i] + agreeing.reduce(0) { $0 + weights[$1] * deltas[$1][i] } / divisor
    }
  }

  static func ram(_ t: Tensor, epsilon: Double, r: Double? = nil, alpha: Double = 0) -> [Double] {
    let changed = t.deltas.map { $0.map { abs($0) > epsilon } }
    let owners = t.base.indices.map { i in changed.count { $0[i] } }
    let factors = changed.map { mine -> Double in
      guard let r else { return 1 }
      let alone = Double(mine.indices.count { mine[$0] && owners[$0] == 1 })
      let shared = Double(mine.indices.count { mine[$0] && owners[$0] > 1 })
      return 1 + r * min(alpha, shared / max(alone, epsilon))
    }
    return t.base.indices.map { i in
      var sum = 0.0
      for k in changed.indices where changed[k][i] {
        sum += t.deltas[k][i] * (owners[i] == 1 ? factors[k] : 1)
      }
      return t.base[i] + sum / Double(max(1, owners[i]))
    }
  }

  static func arcee(_ t: Tensor) -> [Double] {
    var importance = t.base.map { _ in 0.0 }
    for row in stride(from: 0, to: t.count, by: max(1, t.rowLength)) {
      func softmax(_ x: ArraySlice<Double>) -> [Double] {
        let largest = x.max()!
        let sum = x.reduce(0) { $0 + exp($1 - largest) }
        return x.map { exp($0 - largest) / sum + 1e-8 }
      }
      let range = row..<row + t.rowLength
      let (p, q) = (softmax(t.models[0][range]), softmax(t.base[range]))
      let divergence = zip(p, q).reduce(0) { $0 + $1.0 * log($1.0 / $1.1) }
      for i in range { importance[i] = abs(t.deltas[0][i]) * divergence }
    }
    let sorted = importance.sorted()
    func quantile(_ x: Double) -> Double { sorted[Int(x * Double(sorted.count - 1))] }
    let threshold = quantile(0.5) + 1.5 * (quantile(0.75) - quantile(0.25))
    return t.base.indices.map { i in
      // What lies at the threshold but for rounding errors may fall on either side.
      abs(importance[i] - threshold) < 1e-9 * threshold
        ? .nan : importance[i] >= threshold ? t.models[0][i] : t.base[i]
    }
  }

  static func pcb(_ t: Tensor, ratio: Double, lambda: Double) -> [Double] {
    let n = t.count
    var scores: [[Double]] = []
    for delta in t.deltas {
      let sizes = delta.map(abs)
      let sorted = sizes.sorted()
      let (low, high) = (sorted[Int(Double(n) * 0.0001)], sorted[max(0, Int(Double(n) * 0.9999 - 1))])
      scores.append(
        delta.indices.map { i in
          let size = max(low, min(high, sizes[i]))
          let place = high > low ? (size - low) / (high - low) : 0
          return exp(Double(t.deltas.count) * place * place)
            * tanh(delta[i] * t.deltas.reduce(0) { $0 + $1[i] })
        })
    }
    let weights = scores.map { score -> [Double] in
      let order = Self.order(score)
      let kept = order.suffix(max(1, Int(ratio * Double(n))))
      let (low, high) = (score[kept.first!], score[order.last!])
      var s = score.map { _ in 0.0 }
      for i in kept { s[i] = high > low ? (score[i] - low) / (high - low) : 1 }
      return s
    }
    return t.base.indices.map { i in
      let total = weights.reduce(0) { $0 + $1[i] }
      let sum = zip(weights, t.deltas).reduce(0) { $0 + $1.0[i] * $1.1[i] }
      return t.base[i] + lambda * sum / max(total, 1e-12)
    }
  }

  static func widen(_ t: Tensor) -> [Double] {
    guard t.shape.count > 1 else { return t.base.indices.map { i in t.models.reduce(0) { $0 + $1[i] } / 3 } }
    let rows = t.name.contains("embed")
    let step = rows ? t.rowLength : t.count / t.shape[0]
    let groups: [[Int]] =
      rows
      ? stride(from: 0, to: t.count, by: step).map { Array($0..<$0 + step) }
      : (0..<step).map { Array(stride(from: $0, to: t.count, by: step)) }
    func ranks(_ values: [Double]) -> [Double] {
      var ranks = values
      let order = values.indices.sorted { values[$0] < values[$1] || (values[$0] == values[$1] && $0 < $1) }
      for (rank, index) in order.enumerated() { ranks[index] = Double(rank) / Double(values.count) }
      return ranks
    }
    func scores(_ ranks: [[Double]]) -> [[Double]] {
      ranks.indices.map { k in
        let mean = ranks[k].reduce(0, +) / Double(ranks[k].count)
        return groups.indices.map { g in
          ranks[k][g] > mean + 1e-12 ? 1 : exp(ranks[k][g]) / ranks.reduce(0) { $0 + exp($1[g]) }
        }
      }
    }
    func column(_ values: [Double], _ g: Int) -> [Double] { groups[g].map { values[$0] } }
    let lengths = scores(
      t.models.map { model in
        ranks(groups.indices.map { abs(norm(column(model, $0)) - norm(column(t.base, $0))) })
      })
    let directions = scores(
      t.models.map { model in
        ranks(
          groups.indices.map { g in
            let (a, b) = (column(model, g), column(t.base, g))
            let size = (dot(a, a) * dot(b, b)).squareRoot()
            return size == 0 ? 0 : 1 - dot(a, b) / size
          })
      })
    var result = t.base
    for (g, group) in groups.enumerated() {
      for i in group {
        for k in t.models.indices { result[i] += (lengths[k][g] + directions[k][g]) / 2 * t.deltas[k][i] }
      }
    }
    return result
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
      let kept = t.deltas.map { keeping(t.count - max(1, Int(0.3 * Double(t.count)))..<t.count, of: $0) }
      return consensus(t, kept, weights: weights, elects: true, normalize: true)
    },
    Case(
      method: "ties",
      parameters: ["density": "0.6", "rescale": "true", "normalize": "false", "lambda": "1.5"]
    ) { t in
      let kept = t.deltas.map { keeping(t.count - max(1, Int(0.6 * Double(t.count)))..<t.count, of: $0) }
      return consensus(
        t, rescaled(kept, to: t.deltas), weights: [1, 1, 1], elects: true, normalize: false, lambda: 1.5)
    },
    Case(method: "ties") { t in consensus(t, t.deltas, weights: [1, 1, 1], elects: true, normalize: true) },
    Case(method: "ties", parameters: ["density": "0"]) { t in t.base },
    Case(method: "breadcrumbs", parameters: ["density": "0.5", "gamma": "0.1"], weights: weights) { t in
      let n = t.count
      let bottom = max(0, n - n / 2 - Int(0.1 * Double(n)))
      let kept = t.deltas.map { keeping(bottom..<bottom + n / 2, of: $0) }
      return consensus(t, kept, weights: weights, elects: false, normalize: false)
    },
    Case(method: "breadcrumbs_ties", parameters: ["density": "0.9", "gamma": "0.3", "rescale": "true"]) { t in
      let n = t.count
      let size = Int(0.9 * Double(n))
      let bottom = max(0, n - size - Int(0.3 * Double(n)))
      let kept = t.deltas.map { keeping(bottom..<bottom + size, of: $0) }
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
      slerp(t.models[0], t.models[1], 0.3) { 1 - $0 * $0 <= 1e-16 }
    },
    Case(
      method: "nuslerp", parameters: ["nuslerp_flatten": "false"], weights: [0.7, 0.3], models: 2,
      usesBase: false
    ) { t in
      byVectors(t, rows: true) { _, x in slerp(x[0], x[1], 0.3) { 1 - $0 * $0 <= 1e-16 } }
    },
    Case(
      method: "nuslerp", parameters: ["nuslerp_flatten": "false", "nuslerp_row_wise": "true"],
      weights: [0.7, 0.3], models: 2, usesBase: false
    ) { t in
      byVectors(t, rows: false) { _, x in slerp(x[0], x[1], 0.3) { 1 - $0 * $0 <= 1e-16 } }
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

  static func tensors(_ paths: [String]) throws -> [Tensor] {
    let files = try paths.map { try TensorValues($0) }
    return shapes.map { name, shape in
      Tensor(
        name: name, shape: shape.map { Int($0) }, base: files[0].doubles(name),
        models: files.dropFirst().map { $0.doubles(name) })
    }
  }

  @Test(arguments: cases) func followsItsFormula(_ test: Case) async throws {
    let folder = try TemporaryFolder()
    let paths = Array(
      try PropertyTests.family(folder, shapes: Self.shapes, scale: 0.02, type: .f64).prefix(1 + test.models))
    let recipe = Recipe(
      base: test.usesBase ? paths[0] : nil, models: Array(paths.dropFirst()),
      method: try MethodSettings(named: test.method, parameters: test.parameters),
      weights: test.weights.map { TensorValue($0) })
    let found = try await PropertyTests.fuse(recipe, to: folder("out.safetensors"))
    for tensor in try Self.tensors(paths) {
      let expected = test.expected(tensor)
      let values = found.doubles(tensor.name)
      let scale = expected.reduce(1e-300) { max($0, $1.isNaN ? 0 : abs($1)) }
      let wrong = zip(values, expected).enumerated().filter { _, pair in
        !(abs(pair.0 - pair.1) <= 1e-12 * scale) && !pair.1.isNaN
      }
      #expect(
        wrong.isEmpty,
        "\(tensor.name): \(wrong.count) of \(values.count), first at \(wrong.first.map { "\($0)" } ?? "")")
    }
  }

  /// No small step away from the geometric median lessens the sum of distances, and it is a mean of the models.
  @Test func theGeometricMedianIsTheNearestPoint() async throws {
    let folder = try TemporaryFolder()
    let paths = try PropertyTests.family(folder, shapes: Self.shapes, scale: 0.02, type: .f64)
    let recipe = Recipe(
      models: Array(paths.dropFirst()), method: try MethodSettings(named: "geometric-median"),
      weights: [1, 1.5, 1])
    let found = try await PropertyTests.fuse(recipe, to: folder("out.safetensors"))
    for tensor in try Self.tensors(paths) {
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
