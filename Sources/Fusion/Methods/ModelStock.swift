import Kernels
import TensorCore

/// Model Stock: go from the base towards the mean as far as the angle between the deltas suggests (Jang et al.,
/// arXiv 2403.19522), as mergekit 0.1.5 defines it.
///
/// With c the mean cosine between the deltas of two models, t = K·c/(1 + (K − 1)·c) and θ = t·mean(θ_k) + (1 − t)·θ₀. t is
/// not limited to 0 … 1. A delta is the whole tensor, or with `filter_wise` each row. A pair with a delta that is 0
/// counts as cosine 0; mergekit takes the product of their lengths for at least 1e-6, which shrinks c for light
/// fine-tunes. Two passes; one by rows.
public struct ModelStock: FusionMethod {
  /// `filter_wise`.
  public static let description = MethodDescription(
    name: "model-stock", summary: "go towards the mean as far as the deltas agree",
    reference: "Jang et al., Model Stock, arXiv 2403.19522; mergekit 0.1.5", mergeSpace: .deltas,
    models: 2...Int.max,
    parameters: [
      Parameter("filter_wise", .tensor, .flag, standard: "false", "each row has an angle of its own")
    ])

  private let followsMergekit: Bool

  /// The method.
  public init(_ options: MethodOptions) {
    followsMergekit = options.followsMergekit
  }

  /// The products of the deltas.
  public func stages(for tensor: TensorContext) -> [Stage] {
    [
      Stage(
        over: tensor.flag("filter_wise") && tensor.shape.rank > 1 ? .row : .tensor,
        .sums(pairCount(tensor.modelCount)))
    ]
  }

  /// Adds the products.
  public func accumulate(
    stage: Int, _ tile: Tile, of inputs: Span<Double>, known: Known, in tensor: TensorContext,
    to lanes: inout MutableSpan<Double>, scratch: inout [Double]
  ) {
    addProducts(
      of: inputs, tile.layout, from: 1, count: tile.modelCount, subtractsBase: true, to: &lanes)
  }

  /// t.
  public func conclude(stage: Int, results: [Double], in tensor: TensorContext, known: Known) -> [Double] {
    let count = tensor.modelCount
    let gram = GramMatrix(results, count: count)
    let least = followsMergekit ? 1e-6 : .leastNonzeroMagnitude
    var sum = 0.0
    for j in 0..<count {
      for k in (j + 1)..<max(j + 1, count) {
        sum += min(1, max(-1, gram[j, k] / max(gram.norm(j) * gram.norm(k), least)))
      }
    }
    let cosine = sum / Double(pairCount(count) - count)
    let denominator = 1 + Double(count - 1) * cosine
    return [denominator.magnitude < 1e-6 ? 0 : Double(count) * cosine / denominator]
  }

  /// Writes the point between base and mean.
  public func fuse(
    _ tile: Tile, of inputs: Span<Double>, known: Known, in tensor: TensorContext,
    into target: inout MutableSpan<Double>, tally: inout WeightTally, scratch: inout [Double]
  ) {
    let weights = tensor.priors.map { _ in 1 / Double(tile.modelCount) }
    combineDeltas(of: inputs, tile.layout, weights: weights, scale: known[0][0], isMean: true, into: &target)
    tally.add(weights: weights.map { $0 * known[0][0] }, elementCount: tile.count)
  }
}
