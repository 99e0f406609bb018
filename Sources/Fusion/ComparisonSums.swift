import Kernels

/// What `DeltaComparison` finds out about a tensor.
public struct ComparisonSums: Sendable, Hashable {
  /// Σθ₀².
  public let baseSquares: Double
  /// The products of the deltas with each other: pairs (j, k), j ≤ k, in the order (0,0), (0,1), …, (1,1), ….
  public let products: [Double]
  /// The sum over elements of each model's share |δ_k| / Σ_j |δ_j|.
  public let shares: [Double]
  /// The number of elements that each model left as they were.
  public let zeros: [Double]
  /// The number of elements that at least two models moved.
  public let contested: Double
  /// The number of elements that some models moved up and some down.
  public let conflicts: Double
  /// Each model's greatest |δ_k|.
  public let greatest: [Double]

  /// The number of sums for so many models, without the greatest values.
  static func sumCount(_ models: Int) -> Int { 1 + pairCount(models) + 2 * models + 2 }

  /// Reads the results of the stage over a tensor.
  public init(_ results: [Double], modelCount: Int) {
    baseSquares = results[0]
    let first = 1 + pairCount(modelCount)
    products = Array(results[1..<first])
    shares = (0..<modelCount).map { results[first + 2 * $0] }
    zeros = (0..<modelCount).map { results[first + 2 * $0 + 1] }
    contested = results[first + 2 * modelCount]
    conflicts = results[first + 2 * modelCount + 1]
    greatest = results[(first + 2 * modelCount + 2)...].map { max(0, $0) }
  }
}
