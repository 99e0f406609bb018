import Kernels
import TensorCore

/// Task arithmetic: θ = θ₀ + λ·Σ c_k·(θ_k − θ₀) (Ilharco et al., arXiv 2212.04089).
///
/// With `normalize` the sum is divided by Σ c_k, where that isn't 0. One pass.
public struct TaskArithmetic: CombiningMethod {
  /// `weight`, `lambda` and `normalize`.
  public static let description = MethodDescription(
    name: "task-arithmetic", summary: "base plus the scaled sum of weighted deltas",
    reference: "Ilharco et al., Editing models with task arithmetic, arXiv 2212.04089", mergeSpace: .deltas,
    parameters: [
      .weight, .lambda,
      Parameter("normalize", .tensor, .flag, standard: "false", "divide by the sum of the weights"),
      Parameter(
        "int8_mask", .tensor, .flag, standard: "false", "taken for mergekit's sake; changes nothing here"),
    ])

  private let followsMergekit: Bool

  /// Task arithmetic.
  public init(_ options: MethodOptions) {
    followsMergekit = options.followsMergekit
  }

  /// True if the sum is divided, but mergekit treats very small weights in its own way.
  public func weighsByRatios(_ tensor: TensorContext) -> Bool {
    tensor.flag("normalize") && (!followsMergekit || tensor.hasLargePriors)
  }

  /// The base plus the scaled task vectors.
  public func combination(of tensor: TensorContext, hasBase: Bool, known: Known) -> Combination {
    let total = tensor.priors.reduce(0, +)
    let least = followsMergekit ? 1e-8 : .leastNonzeroMagnitude
    let divisor = tensor.flag("normalize") && total.magnitude >= least ? total : 1
    return .deltas(
      weights: tensor.priors.map { $0 / divisor }, scale: tensor.value("lambda"), isMean: divisor == total)
  }
}
