import Kernels
import TensorCore

/// Consensus merging with TALL masks: an element takes part if at least `k` of the tasks need it (Wang et al.,
/// arXiv 2405.07813).
///
/// With the multi-task model θ_mt = θ₀ + λ·Σ c_k·δ_k, task k needs the elements where |θ₀ − θ_k| > τ·|θ_mt − θ_k|, and
/// θ = θ_mt where at least `k` tasks do, θ₀ elsewhere. One pass.
public struct TallConsensus: FusionMethod {
  /// `weight`, `lambda`, `tall_lambda` (τ) and `k`.
  public static let description = MethodDescription(
    name: "consensus", summary: "task arithmetic where several tasks need it",
    reference: "Wang et al., Localizing Task Information, arXiv 2405.07813", mergeSpace: .deltas,
    parameters: [
      .weight, .lambda,
      Parameter(
        "tall_lambda", .tensor, .number(0...Double.greatestFiniteMagnitude), standard: "0.4",
        "how strictly an element must be needed"),
      Parameter("k", .tensor, .integer(0...1_000_000), standard: "2", "how many tasks must need an element"),
    ])

  /// The method.
  public init(_ options: MethodOptions) {}

  /// Writes the multi-task values or the base.
  public func fuse(
    _ tile: Tile, of inputs: Span<Double>, known: Known, in tensor: TensorContext,
    into target: inout MutableSpan<Double>, tally: inout WeightTally, scratch: inout [Double]
  ) {
    let (lambda, strictness) = (tensor.value("lambda"), tensor.value("tall_lambda"))
    let least = Int(tensor.value("k"))
    for i in 0..<tile.count {
      let base = inputs[tile.firstOfBase + i]
      var sum = 0.0
      for k in 0..<tile.modelCount {
        sum += tensor.priors[k] * (inputs[tile.first(ofModel: k) + i] - base)
      }
      let whole = sum == 0 ? base : base + lambda * sum
      var needing = 0
      for k in 0..<tile.modelCount {
        let model = inputs[tile.first(ofModel: k) + i]
        if (base - model).magnitude > strictness * (whole - model).magnitude { needing += 1 }
      }
      target[tile.firstOfBase + i] = needing >= least ? whole : base
    }
    tally.add(weights: tensor.priors, elementCount: tile.count)
  }
}
