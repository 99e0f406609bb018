import Kernels
import TensorCore

/// The geometric median of the models, tensor by tensor: the point with the least weighted sum of distances,
/// argmin Σ c_k·‖θ − θ_k‖₂ (Weiszfeld, 1937; where it meets a model as Vardi and Zhang, 2000).
///
/// Two passes: the iteration needs only the products of the models' differences to the first.
public struct GeometricMedian: FusionMethod {
  /// `weight`, `max_iter` and `tol`.
  public static let description = MethodDescription(
    name: "geometric-median", summary: "point with the least sum of distances to the models",
    reference: "Weiszfeld, 1937; Vardi and Zhang, 2000", mergeSpace: .weights,
    parameters: [
      .weight,
      Parameter("max_iter", .tensor, .integer(1...100_000), standard: "1000", "the most iterations"),
      Parameter(
        "tol", .tensor, .number(0...1), standard: "1e-12", "the change of the coefficients at which to stop"),
    ])

  /// The method.
  public init(_ options: MethodOptions) {}

  /// True.
  public func weighsByRatios(_ tensor: TensorContext) -> Bool { true }

  /// Weights must not be negative.
  public func validate(_ tensor: TensorContext) throws(EmbedFuseError) {
    guard !tensor.priors.allSatisfy({ $0 >= 0 }) || tensor.priors.reduce(0, +) <= 0 else { return }
    throw EmbedFuseError(
      .usage, "the weights \(tensor.priors) of a median must be 0 or more, and not all 0",
      tensor: tensor.name, remedy: "choose other weights")
  }

  /// The products of the differences.
  public func stages(for tensor: TensorContext) -> [Stage] {
    [Stage(over: .tensor, .sums(pairCount(tensor.modelCount - 1)))]
  }

  /// Adds the products of the differences to the first model.
  public func accumulate(
    stage: Int, _ tile: Tile, of inputs: Span<Double>, known: Known, in tensor: TensorContext,
    to lanes: inout MutableSpan<Double>, scratch: inout [Double]
  ) {
    // The first model stands where a base would.
    let skipped = tile.hasBase ? tile.layout.stride : 0
    let layout = TileLayout(
      stride: tile.layout.stride, inputCount: tile.modelCount, elements: tile.layout.elements)
    addProducts(
      of: inputs.extracting(skipped...), layout, from: 1, count: tile.modelCount - 1, subtractsBase: true,
      to: &lanes)
  }

  /// The coefficients of the models, whose sum is 1.
  public func conclude(stage: Int, results: [Double], in tensor: TensorContext, known: Known) -> [Double] {
    let count = tensor.modelCount
    let gram = GramMatrix(results, count: count - 1)
    func product(_ j: Int, _ k: Int) -> Double { j == 0 || k == 0 ? 0 : gram[j - 1, k - 1] }
    /// The squares of the distances from a combination to the models.
    func squares(_ a: [Double]) -> [Double] {
      let inner = gram.product(Array(a.dropFirst()), Array(a.dropFirst()))
      return (0..<count).map { k in
        var cross = 0.0
        for j in 0..<count { cross += a[j] * product(j, k) }
        return max(0, product(k, k) - 2 * cross + inner)
      }
    }
    let scale = (0..<count).reduce(0.0) { largest, j in
      (0..<count).reduce(largest) { max($0, product(j, j) + product($1, $1) - 2 * product(j, $1)) }
    }
    var a = FusionWeights.shares(of: tensor.priors)
    guard scale > 0 else { return a }
    // A model is the median if no force pulls it away that is stronger than its own weight.
    for k in 0..<count where tensor.priors[k] > 0 {
      var unit = Array(repeating: 0.0, count: count)
      unit[k] = 1
      let distances = squares(unit).map { $0.squareRoot() }
      var own = 0.0
      var pull = Array(repeating: 0.0, count: count)
      for j in 0..<count {
        if distances[j] * distances[j] <= 1e-24 * scale {
          own += tensor.priors[j]
        } else {
          pull[j] += tensor.priors[j] / distances[j]
          pull[k] -= tensor.priors[j] / distances[j]
        }
      }
      let force = gram.norm(of: Array(pull.dropFirst()))
      if force <= own { return unit }
    }
    for _ in 0..<Int(tensor.value("max_iter")) {
      let next = FusionWeights.shares(
        of: zip(tensor.priors, squares(a)).map { $0 / max($1, 1e-300).squareRoot() })
      let change = zip(a, next).reduce(0) { max($0, ($1.0 - $1.1).magnitude) }
      a = next
      if change <= tensor.value("tol") { break }
    }
    return a
  }

  /// Writes the combination.
  public func fuse(
    _ tile: Tile, of inputs: Span<Double>, known: Known, in tensor: TensorContext,
    into target: inout MutableSpan<Double>, tally: inout WeightTally, scratch: inout [Double]
  ) {
    let divisor = known[0].reduce(0, +)
    weightedMean(
      of: inputs, tile.layout, coefficients: (tile.hasBase ? [0] : []) + known[0], divisor: divisor,
      into: &target)
    tally.add(weights: known[0], elementCount: tile.count)
  }
}
