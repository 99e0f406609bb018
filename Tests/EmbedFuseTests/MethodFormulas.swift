import Foundation

// The formulas of the methods, over whole arrays in the plainest way: sorts for ranks, sums in one go.
extension MethodFormulaTests {
  /// One tensor of the base and of three models.
  struct Tensor {
    let name: String
    let shape: [Int]
    let base: [Double]
    let models: [[Double]]
    let deltas: [[Double]]
    /// The places of each delta by size, the smallest first.
    let orders: [[Int]]
    var count: Int { base.count }
    var rowLength: Int { shape.last ?? 1 }

    init(name: String, shape: [Int], base: [Double], models: [[Double]]) {
      self.name = name
      self.shape = shape
      self.base = base
      self.models = models
      deltas = models.map { zip($0, base).map { $0 - $1 } }
      orders = deltas.map { MethodFormulaTests.order($0.map(abs)) }
    }

    private init(_ whole: Tensor, models: Int) {
      (name, shape, base) = (whole.name, whole.shape, whole.base)
      self.models = Array(whole.models.prefix(models))
      deltas = Array(whole.deltas.prefix(models))
      orders = Array(whole.orders.prefix(models))
    }

    /// The same with the first of the models alone.
    func first(_ models: Int) -> Tensor { Tensor(self, models: models) }

    /// The deltas where their sizes are of these ranks, 0 elsewhere.
    func keeping(_ ranks: Range<Int>) -> [[Double]] {
      zip(deltas, orders).map { delta, order in
        var kept = [Double](repeating: 0, count: count)
        for index in order[ranks] { kept[index] = delta[index] }
        return kept
      }
    }
  }

  static func map(_ t: Tensor, _ element: (Double, [Double]) -> Double) -> [Double] {
    t.base.indices.map { i in element(t.base[i], t.models.map { $0[i] }) }
  }

  /// Ranks by ascending key; of equal keys the lowest index is the greatest.
  static func order(_ keys: [Double]) -> [Int] {
    keys.indices.sorted { keys[$0] < keys[$1] || (keys[$0] == keys[$1] && $0 > $1) }
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
      for i in kept { s[i] = high > low ? (score[i] - low) / (high - low) : score[i] > 0 ? 1 : 0 }
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
}
