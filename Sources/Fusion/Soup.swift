import Kernels

/// Model Soups: the weighted mean of the models' weights, θ = Σ c_k·θ_k / Σ c_k (Wortsman et al.,
/// arXiv 2203.05482); without normalisation the weighted sum, θ = Σ c_k·θ_k.
///
/// The base is not an ingredient. With normalisation equal models give themselves bit for bit.
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
    weightedMean(
      of: inputs, tile.layout, coefficients: coefficients,
      divisor: normalize ? tensor.priors.reduce(0, +) : 1,
      into: &target)
    tally.add(
      weights: normalize ? FusionWeights.shares(of: tensor.priors) : tensor.priors, elementCount: tile.count)
  }
}
