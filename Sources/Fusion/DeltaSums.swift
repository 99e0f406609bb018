/// The sums over the deltas of a tensor or row, as `addDeltaSums` lays them out.
struct DeltaSums {
  /// Σ|δ_k|, by model.
  let magnitudes: [Double]
  /// Σδ_k², by model.
  let squares: [Double]
  /// Σθ₀².
  let baseSquares: Double
  /// The number of elements summed over.
  let elementCount: Int

  /// Reads the first 2·K + 1 sums: |δ₁|, δ₁², |δ₂|, δ₂², …, θ₀².
  init(_ sums: [Double], modelCount: Int, elementCount: Int) {
    magnitudes = (0..<modelCount).map { sums[2 * $0] }
    squares = (0..<modelCount).map { sums[2 * $0 + 1] }
    baseSquares = sums[2 * modelCount]
    self.elementCount = elementCount
  }

  /// ‖δ_k‖₂/‖θ₀‖₂, the denominator 1 where θ₀ is all zero.
  func relativeNorm(of k: Int) -> Double {
    squares[k].squareRoot() / (baseSquares > 0 ? baseSquares.squareRoot() : 1)
  }

  /// The size of each delta by this measure.
  func magnitudes(by measure: DeltaGuided.Magnitude) -> [Double] {
    guard elementCount > 0 else { return magnitudes.map { _ in 0 } }
    return magnitudes.indices.map { k in
      switch measure {
      case .meanAbs: magnitudes[k] / Double(elementCount)
      case .rms: (squares[k] / Double(elementCount)).squareRoot()
      case .relative: relativeNorm(of: k)
      }
    }
  }
}
