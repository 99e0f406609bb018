import Kernels
import TensorCore

/// LiNeS: task arithmetic whose scale grows with the depth of the layer (Wang et al., arXiv 2410.17146).
///
/// θ = θ₀ + (α + β·l/(L − 1))·Σ c_k·δ_k in layer l of L, with α alone outside of the layers. α is a number or `auto`, then
/// (‖Σ δ_k‖/‖Σ c_k·δ_k‖)/K over the model. One pass; with `auto` and weights other than 1 one more.
public struct Lines: FusionMethod {
  /// `weight`, `alpha` and `beta`.
  public static let description = MethodDescription(
    name: "lines", summary: "task arithmetic that grows with the depth of the layer",
    reference: "Wang et al., LiNeS, arXiv 2410.17146", mergeSpace: .deltas,
    parameters: [
      .weight,
      Parameter("alpha", .method, .numberOr(["auto"]), standard: "auto", "scale of the first layer"),
      Parameter(
        "beta", .tensor, .number(Parameter.anyNumber), standard: "1", "what the last layer has more"),
    ])

  private let alpha: Double?
  private var ratio = 1.0

  /// The method.
  public init(_ options: MethodOptions) {
    alpha = options.parameters["alpha"].flatMap { Double($0) }
  }

  /// Norms, if the scale is to be found.
  public func stages(for tensor: TensorContext) -> [Stage] {
    alpha == nil ? [Stage(over: .model, .sums(2))] : []
  }

  /// Adds (Σ δ_k)² and (Σ c_k·δ_k)².
  public func accumulate(
    stage: Int, _ tile: Tile, of inputs: Span<Double>, known: Known, in tensor: TensorContext,
    to lanes: inout MutableSpan<Double>, scratch: inout [Double]
  ) {
    for i in 0..<tile.count {
      let base = inputs[tile.firstOfBase + i]
      var (plain, weighted) = (0.0, 0.0)
      for k in 0..<tile.modelCount {
        let delta = inputs[tile.first(ofModel: k) + i] - base
        plain += delta
        weighted += tensor.priors[k] * delta
      }
      lanes[i % laneCount] += plain * plain
      lanes[laneCount + i % laneCount] += weighted * weighted
    }
  }

  /// The ratio of the norms.
  public mutating func learn(stage: Int, results: [[Double]], of tensors: [TensorContext]) {
    let plain = results.reduce(0) { $0 + $1[0] }
    let weighted = results.reduce(0) { $0 + $1[1] }
    ratio = weighted > 0 ? (plain / weighted).squareRoot() : 1
  }

  /// Writes the base plus the scaled deltas.
  public func fuse(
    _ tile: Tile, of inputs: Span<Double>, known: Known, in tensor: TensorContext,
    into target: inout MutableSpan<Double>, tally: inout WeightTally, scratch: inout [Double]
  ) {
    let least = alpha ?? ratio / Double(tile.modelCount)
    let scale = least + tensor.value("beta") * (tensor.depth ?? 0)
    combineDeltas(
      of: inputs, tile.layout, weights: tensor.priors, scale: scale, isMean: false, into: &target)
    tally.add(weights: tensor.priors.map { $0 * scale }, elementCount: tile.count)
  }
}
