import Fusion

/// The sums of some tensors taken together, for all models, of which some may lack a tensor.
struct ComparisonTotals {
  private let modelCount: Int
  private var elements = 0
  private var baseSquares = 0.0
  private var ownElements: [Int]
  private var ownBaseSquares: [Double]
  /// The product of the deltas of models j and k at `j * modelCount + k`.
  private var products: [Double]
  private var shares: [Double]
  private var zeros: [Double]
  private var greatest: [Double]
  private var contested = 0.0
  private var conflicts = 0.0

  init(modelCount: Int) {
    self.modelCount = modelCount
    let none = Array(repeating: 0.0, count: modelCount)
    (ownBaseSquares, shares, zeros, greatest) = (none, none, none, none)
    ownElements = none.map { _ in 0 }
    products = Array(repeating: 0, count: modelCount * modelCount)
  }

  /// Adds a tensor that these of the models have.
  mutating func add(_ sums: ComparisonSums, elements count: Int, models: [Int]) {
    elements += count
    baseSquares += sums.baseSquares
    contested += sums.contested
    conflicts += sums.conflicts
    var pair = 0
    for (j, model) in models.enumerated() {
      ownElements[model] += count
      ownBaseSquares[model] += sums.baseSquares
      shares[model] += sums.shares[j]
      zeros[model] += sums.zeros[j]
      greatest[model] = max(greatest[model], sums.greatest[j])
      for other in models[j...] {
        products[model * modelCount + other] += sums.products[pair]
        pair += 1
      }
    }
  }

  /// What they come to.
  func part(name: String, layer: String? = nil, shape: [Int]? = nil) -> ModelComparison.Part {
    ModelComparison.Part(
      name: name, layer: layer, shape: shape, elements: elements, baseNorm: baseSquares.squareRoot(),
      models: (0..<modelCount).map { ownElements[$0] > 0 ? movement(of: $0) : nil },
      cosines: (0..<modelCount).flatMap { j in (j + 1..<modelCount).map { cosine(j, $0) } },
      contested: Int(contested), conflicts: Int(conflicts),
      conflictShare: contested > 0 ? conflicts / contested : nil)
  }

  private func movement(of k: Int) -> ModelComparison.Movement {
    let squares = products[k * modelCount + k]
    let (norm, count) = (squares.squareRoot(), Double(ownElements[k]))
    return ModelComparison.Movement(
      norm: norm, relativeNorm: norm / (ownBaseSquares[k] > 0 ? ownBaseSquares[k].squareRoot() : 1),
      rms: (squares / count).squareRoot(), greatest: greatest[k], zeros: Int(zeros[k]),
      sparsity: zeros[k] / count, weight: shares[k] / Double(elements))
  }

  /// Models that share no tensor have no angle either, nor do deltas whose squares leave binary64.
  private func cosine(_ j: Int, _ k: Int) -> Double? {
    let norms = products[j * modelCount + j].squareRoot() * products[k * modelCount + k].squareRoot()
    let product = products[j * modelCount + k]
    guard norms > 0, norms.isFinite, product.isFinite else { return nil }
    return min(1, max(-1, product / norms))
  }
}
