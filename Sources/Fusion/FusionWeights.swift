import Kernels

/// The weights that a group's magnitudes give its models.
public enum FusionWeights {
  /// w_k = c_k·m_k^p / Σ_j c_j·m_j^p, which sums to 1 and is free of scale: multiplying all m by a constant
  /// changes nothing.
  ///
  /// Where all m are 0, or p is 0, the weights are the shares of c. With p < 0 the models with m_k = 0 take the
  /// whole weight in the proportion of c (the limit). Magnitudes are finite and not negative, priors not
  /// negative with a positive sum; their sum doesn't overflow.
  public static func of(magnitudes: [Double], priors: [Double], power: Double) -> [Double] {
    // Ratios to the magnitude that dominates, so that no power under- or overflows.
    var (largest, smallest, someRest) = (0.0, Double.infinity, false)
    for (k, magnitude) in magnitudes.enumerated() where priors[k] > 0 {
      if magnitude > 0 {
        (largest, smallest) = (max(largest, magnitude), min(smallest, magnitude))
      } else {
        someRest = true
      }
    }
    guard power != 0, largest > 0 else { return shares(of: priors) }
    if power < 0 && someRest {
      return shares(of: zip(magnitudes, priors).map { $0 == 0 ? $1 : 0 })
    }
    let reference = power > 0 ? largest : smallest
    // One array, since rows come by the hundred thousand.
    var weights = priors
    for k in weights.indices where priors[k] != 0 {
      weights[k] *= Kernels.power(magnitudes[k] / reference, power)
    }
    let total = weights.reduce(0, +)
    for k in weights.indices { weights[k] /= total }
    return weights
  }

  /// The values divided by their sum, which must not overflow.
  public static func shares(of values: [Double]) -> [Double] {
    let total = values.reduce(0, +)
    return values.map { $0 / total }
  }
}
