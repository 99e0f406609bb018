/// The sums over the deltas of a tensor or row, as `addDeltaSums` lays them out.
struct DeltaSums {
  /// |δ₁|, δ₁², |δ₂|, δ₂², …, θ₀², each summed; what follows doesn't matter.
  private let sums: [Double]
  /// The number of models.
  let modelCount: Int
  /// The number of elements summed over.
  let elementCount: Int

  /// Reads the first 2·K + 1 sums.
  init(_ sums: [Double], modelCount: Int, elementCount: Int) {
    self.sums = sums
    self.modelCount = modelCount
    self.elementCount = elementCount
  }

  /// Σ|δ_k|.
  func absolute(of k: Int) -> Double { sums[2 * k] }

  /// Σδ_k².
  func squares(of k: Int) -> Double { sums[2 * k + 1] }

  /// Σθ₀².
  var baseSquares: Double { sums[2 * modelCount] }

  /// ‖δ_k‖₂/‖θ₀‖₂, the denominator 1 where θ₀ is all zero.
  func relativeNorm(of k: Int) -> Double {
    squares(of: k).squareRoot() / (baseSquares > 0 ? baseSquares.squareRoot() : 1)
  }

  /// The size of a delta by this measure; 0 over no elements.
  func magnitude(of k: Int, by measure: DeltaGuided.Magnitude) -> Double {
    guard elementCount > 0 else { return 0 }
    return switch measure {
    case .meanAbs: absolute(of: k) / Double(elementCount)
    case .rms: (squares(of: k) / Double(elementCount)).squareRoot()
    case .relative: relativeNorm(of: k)
    }
  }
}
