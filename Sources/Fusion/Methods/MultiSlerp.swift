import Kernels
import TensorCore

/// Spherical interpolation among any number of models, or of deltas where there is a base, as mergekit 0.1.5 defines it.
///
/// With unit vectors u_k = x_k/‖x_k‖, μ = Σ c_k·u_k and m = μ/‖μ‖, the tangent r = Σ c_k·(u_k − (u_k·m)m) at m, of
/// length ρ, leads to x = (m·cos ρ + r·sin ρ/ρ)·Σ c_k‖x_k‖. Weights are divided by their sum unless
/// `normalize_weights=false`. Where ‖μ‖ < eps (opposite vectors) the weighted sum of the x_k is taken; mergekit stops
/// there with more than two. Zero vectors have no direction and take no part. Two passes: all of it follows from the
/// products of the vectors.
public struct MultiSlerp: FusionMethod {
  /// `weight`, `normalize_weights` and `eps`.
  public static let description = MethodDescription(
    name: "multislerp", summary: "interpolate on the sphere among models or their deltas",
    reference: "mergekit 0.1.5", mergeSpace: .either,
    parameters: [
      .weight,
      Parameter(
        "normalize_weights", .tensor, .flag, standard: "true", "divide the weights by their sum"),
      Parameter(
        "eps", .tensor, .number(0...1), standard: "1e-8", "the length of a mean direction that has none"),
    ])

  private let followsMergekit: Bool

  /// The method.
  public init(_ options: MethodOptions) {
    followsMergekit = options.followsMergekit
  }

  /// True if they are normalised.
  public func weighsByRatios(_ tensor: TensorContext) -> Bool { tensor.flag("normalize_weights") }

  /// Weights that are normalised must not sum to 0.
  public func validate(_ tensor: TensorContext) throws(EmbedFuseError) {
    guard tensor.flag("normalize_weights"), tensor.priors.reduce(0, +) == 0 else { return }
    throw EmbedFuseError(
      .usage, "the weights \(tensor.priors) sum to 0", tensor: tensor.name,
      remedy: "choose other weights, or normalize_weights=false")
  }

  /// The products of the vectors.
  public func stages(for tensor: TensorContext) -> [Stage] {
    tensor.modelCount == 1 ? [] : [Stage(over: .tensor, .sums(pairCount(tensor.modelCount)))]
  }

  /// Adds the products.
  public func accumulate(
    stage: Int, _ tile: Tile, of inputs: Span<Double>, known: Known, in tensor: TensorContext,
    to lanes: inout MutableSpan<Double>, scratch: inout [Double]
  ) {
    addProducts(
      of: inputs, tile.layout, from: tile.hasBase ? 1 : 0, count: tile.modelCount,
      subtractsBase: tile.hasBase, to: &lanes)
  }

  /// The coefficients of the vectors.
  public func conclude(stage: Int, results: [Double], in tensor: TensorContext, known: Known) -> [Double] {
    let gram = GramMatrix(results, count: tensor.modelCount)
    let eps = tensor.value("eps")
    let total = tensor.flag("normalize_weights") ? tensor.priors.reduce(0, +) : 1
    let weights = tensor.priors.map { $0 / total }
    let norms = weights.indices.map { gram.norm($0) }
    // u_k = x_k·inverse_k.
    let inverses = norms.map { norm in
      followsMergekit ? 1 / (norm + eps) : norm == 0 ? 0 : 1 / norm
    }
    let mean = zip(weights, inverses).map { $0 * $1 }
    let length = gram.norm(of: mean)
    guard length >= max(eps, .leastNonzeroMagnitude) else { return weights }
    let direction = mean.map { $0 / length }
    // Σ c_k(u_k − (u_k·m)m): the part along m is taken from it.
    let along = gram.product(mean, direction)
    let tangent = zip(mean, direction).map { $0 - along * $1 }
    let angle = gram.norm(of: tangent) + (followsMergekit ? eps : 0)
    let ratio = angle == 0 ? 1 : Angle.sine(angle) / angle
    let size = zip(weights, norms).reduce(0) { $0 + $1.0 * $1.1 }
    return zip(direction, tangent).map { ($0 * Angle.cosine(angle) + $1 * ratio) * size }
  }

  /// Writes the combination.
  public func fuse(
    _ tile: Tile, of inputs: Span<Double>, known: Known, in tensor: TensorContext,
    into target: inout MutableSpan<Double>, tally: inout WeightTally, scratch: inout [Double]
  ) {
    let coefficients = tensor.modelCount == 1 ? [1] : known[0]
    combine(tile, of: inputs, coefficients: coefficients, into: &target)
    tally.add(weights: coefficients, elementCount: tile.count)
  }
}
