import Kernels

/// Model Soups: the weighted mean of the models' weights, θ = Σ c_k·θ_k / Σ c_k (Wortsman et al.,
/// arXiv 2203.05482); without normalisation the weighted sum, θ = Σ c_k·θ_k.
///
/// The base is not an ingredient. With normalisation the mean is taken around the model of largest weight, so
/// that equal models give themselves bit for bit.
public struct Soup: FusionMethod {
  /// True to divide by the sum of the weights.
  public let normalize: Bool

  /// A soup, normalised unless told otherwise.
  public init(normalize: Bool = true) {
    self.normalize = normalize
  }

  /// Weights.
  public var mergeSpace: MergeSpace { .weights }

  /// Writes the weighted mean or sum.
  public func fuse(
    _ tile: Tile, of inputs: Span<Double>, rowSums: [Double], in tensor: TensorContext,
    into target: inout MutableSpan<Double>, tally: inout WeightTally, scratch: inout [Double]
  ) {
    let coefficients = tile.hasBase ? [0] + tensor.priors : tensor.priors
    if normalize {
      combineAffinely(coefficients, divisor: tensor.priors.reduce(0, +), tile, of: inputs, into: &target)
      tally.add(weights: FusionWeights.shares(of: tensor.priors), elementCount: tile.count)
    } else {
      linearCombination(of: inputs, tile.layout, coefficients: coefficients, into: &target)
      tally.add(weights: tensor.priors, elementCount: tile.count)
    }
  }
}

/// θ = Σ a_j·x_j / divisor with Σ a_j = divisor, computed around the input of largest coefficient:
/// x_a + Σ_{j≠a} a_j·(x_j − x_a) / divisor.
///
/// Equal inputs so give themselves, and a coefficient of 1 among zeros gives that input, bit for bit.
func combineAffinely(
  _ coefficients: [Double], divisor: Double, _ tile: Tile, of inputs: Span<Double>,
  into target: inout MutableSpan<Double>
) {
  var anchor = 0
  for (j, coefficient) in coefficients.enumerated()
  where coefficient.magnitude > coefficients[anchor].magnitude {
    anchor = j
  }
  affineCombination(
    of: inputs, tile.layout, coefficients: coefficients, around: anchor, divisor: divisor, into: &target)
}
