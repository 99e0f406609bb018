import Kernels
import TensorCore

/// WIDEN: each column of a matrix is weighted by how much its length and its direction changed (Yu et al.,
/// arXiv 2408.03092).
///
/// With n_k the length of a column of θ_k: Δm_k = |n_k − n_0| and Δd_k = 1 − cos(θ_k, θ₀) are replaced by their rank among
/// the columns of model k, divided by their number; of those follow scores, the softmax over the models, and 1
/// (`calibration`) where the rank is above `ratio` times the mean rank of the model. The weight of a column is the mean
/// of both scores and θ = θ₀ + Σ w_k·δ_k. Embedding matrices (a name with `embed` in it) are taken by rows, one for each
/// token. Vectors are averaged: w_k = 1/K. Two passes.
public struct Widen: FusionMethod {
  /// `ratio` and `calibration`.
  public static let description = MethodDescription(
    name: "widen", summary: "weights from the change of each column's length and direction",
    reference: "Yu et al., WIDEN, arXiv 2408.03092", mergeSpace: .deltas,
    parameters: [
      Parameter(
        "ratio", .tensor, .number(0...Double.greatestFiniteMagnitude), standard: "1",
        "how far above the mean a rank counts fully"),
      Parameter(
        "calibration", .tensor, .number(Parameter.anyNumber), standard: "1", "the score that then counts"),
    ])

  /// The method.
  public init(_ options: MethodOptions) {}

  private func isVector(_ tensor: TensorContext) -> Bool { tensor.shape.rank < 2 }

  private func takesRows(_ tensor: TensorContext) -> Bool {
    tensor.name.lowercased().contains("embed")
  }

  /// Products of base and models, by column or row: θ₀², then θ_k² and θ_k·θ₀ of every model.
  public func stages(for tensor: TensorContext) -> [Stage] {
    isVector(tensor)
      ? [] : [Stage(over: takesRows(tensor) ? .rows : .columns, .sums(2 * tensor.modelCount + 1))]
  }

  /// Adds the products.
  public func accumulate(
    stage: Int, _ tile: Tile, of inputs: Span<Double>, known: Known, in tensor: TensorContext,
    to lanes: inout MutableSpan<Double>, scratch: inout [Double]
  ) {
    let byRow = takesRows(tensor)
    let step = byRow ? laneCount : tile.count
    for i in 0..<tile.count {
      let base = inputs[tile.firstOfBase + i]
      let place = byRow ? i % laneCount : i
      lanes[place] += base * base
      for k in 0..<tile.modelCount {
        let model = inputs[tile.first(ofModel: k) + i]
        lanes[(2 * k + 1) * step + place] += model * model
        lanes[(2 * k + 2) * step + place] += model * base
      }
    }
  }

  /// The weights, model by model of every column or row.
  public func conclude(stage: Int, results: [Double], in tensor: TensorContext, known: Known) -> [Double] {
    let (models, sums) = (tensor.modelCount, 2 * tensor.modelCount + 1)
    let count = results.count / sums
    let byRow = takesRows(tensor)
    func sum(_ s: Int, _ place: Int) -> Double { results[byRow ? place * sums + s : s * count + place] }
    var lengths: [[Double]] = []
    var directions: [[Double]] = []
    for k in 0..<models {
      lengths.append(
        Self.ranks((0..<count).map { (sum(2 * k + 1, $0).squareRoot() - sum(0, $0).squareRoot()).magnitude }))
      directions.append(
        Self.ranks(
          (0..<count).map { place in
            let product = (sum(2 * k + 1, place) * sum(0, place)).squareRoot()
            return product == 0 ? 0 : 1 - sum(2 * k + 2, place) / product
          }))
    }
    let (ratio, calibration) = (tensor.value("ratio"), tensor.value("calibration"))
    let first = Self.scores(of: lengths, ratio: ratio, calibration: calibration)
    let second = Self.scores(of: directions, ratio: ratio, calibration: calibration)
    return (0..<models).flatMap { k in zip(first[k], second[k]).map { ($0 + $1) / 2 } }
  }

  /// The rank of each value among all, from 0 to just below 1; of equal ones the first has the lowest.
  private static func ranks(_ values: [Double]) -> [Double] {
    var ranks = Array(repeating: 0.0, count: values.count)
    let order = values.indices.sorted { values[$0] < values[$1] || (values[$0] == values[$1] && $0 < $1) }
    for (rank, index) in order.enumerated() { ranks[index] = Double(rank) / Double(values.count) }
    return ranks
  }

  /// The softmax over the models, or the calibration where a rank is above the mean.
  private static func scores(of ranks: [[Double]], ratio: Double, calibration: Double) -> [[Double]] {
    let count = ranks[0].count
    // The mean of 0/n … (n − 1)/n.
    let mean = Double(count - 1) / 2 / Double(count)
    var scores = ranks.map { $0.map { exponential($0) } }
    for place in 0..<count {
      let total = scores.reduce(0) { $0 + $1[place] }
      for k in scores.indices {
        scores[k][place] = ranks[k][place] > mean * ratio ? calibration : scores[k][place] / total
      }
    }
    return scores
  }

  /// Writes the base plus the weighted deltas.
  public func fuse(
    _ tile: Tile, of inputs: Span<Double>, known: Known, in tensor: TensorContext,
    into target: inout MutableSpan<Double>, tally: inout WeightTally, scratch: inout [Double]
  ) {
    guard !isVector(tensor) else {
      let weights = tensor.priors.map { _ in 1 / Double(tile.modelCount) }
      combineDeltas(of: inputs, tile.layout, weights: weights, scale: 1, isMean: true, into: &target)
      tally.add(weights: weights, elementCount: tile.count)
      return
    }
    let weights = known[0]
    let groups = weights.count / tile.modelCount
    let byRow = takesRows(tensor)
    let rowLength = tensor.grid.rowLength
    var sums = Array(repeating: 0.0, count: tile.modelCount)
    for i in 0..<tile.count {
      let group = byRow ? (tile.start + i) / rowLength : (tile.start + i) % groups
      let base = inputs[tile.firstOfBase + i]
      var sum = 0.0
      for k in 0..<tile.modelCount {
        let weight = weights[k * groups + group]
        sums[k] += weight
        sum += weight * (inputs[tile.first(ofModel: k) + i] - base)
      }
      target[tile.firstOfBase + i] = sum == 0 ? base : base + sum
    }
    tally.add(sums: sums, elementCount: tile.count)
  }
}
