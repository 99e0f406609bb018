import Kernels

/// Task arithmetic: θ = θ₀ + λ·Σ c_k·(θ_k − θ₀) (Ilharco et al., arXiv 2212.04089).
///
/// With `normalize` the sum is divided by Σ c_k, where that is not within 1e-8 of 0.
public struct TaskArithmetic: FusionMethod {
  /// The scale λ of the summed task vectors.
  public let lambda: Double
  /// True to divide by the sum of the weights.
  public let normalize: Bool

  /// Task arithmetic with this scale.
  public init(lambda: Double = 1, normalize: Bool = false) {
    self.lambda = lambda
    self.normalize = normalize
  }

  /// Deltas.
  public var mergeSpace: MergeSpace { .deltas }

  /// Writes the base plus the scaled task vectors.
  public func fuse(
    _ tile: Tile, of inputs: Span<Double>, rowSums: [Double], in tensor: TensorContext,
    into target: inout MutableSpan<Double>, tally: inout WeightTally, scratch: inout [Double]
  ) {
    let total = tensor.priors.reduce(0, +)
    let divisor = normalize && total.magnitude >= 1e-8 ? total : 1
    let weights = tensor.priors.map { $0 / divisor }
    combineDeltas(
      of: inputs, tile.layout, weights: weights, scale: lambda, isMean: divisor == total, into: &target)
    tally.add(weights: weights, elementCount: tile.count)
  }
}
