import Kernels
import TensorCore

/// Model Soups: the weighted mean of the models' weights, θ = Σ c_k·θ_k / Σ c_k (Wortsman et al.,
/// arXiv 2203.05482); without normalisation the weighted sum, θ = Σ c_k·θ_k. mergekit calls it `linear`.
///
/// The base is not an ingredient. With normalisation equal models give themselves bit for bit. A λ other than 1
/// scales the mean's difference to the base. One pass; with λ `auto` one more.
public struct Soup: CombiningMethod {
  /// `weight`, `normalize` and `lambda`.
  public static let description = MethodDescription(
    name: "soup", aliases: ["linear"], summary: "weighted mean of the models' weights",
    reference: "Wortsman et al., Model soups, arXiv 2203.05482", mergeSpace: .weights,
    parameters: [
      .weight,
      Parameter("normalize", .tensor, .flag, standard: "true", "divide by the sum of the weights"),
      Parameter(
        "lambda", .method, .numberOr(["auto", "auto:tensor", "auto:row"]), standard: "1",
        "scale of the mean's difference to the base"),
    ])

  private let followsMergekit: Bool
  /// What does the work where λ isn't 1: no magnitudes, so that the weights are the shares of c.
  private var scaled: DeltaGuided?

  /// A soup, normalised unless a tensor's settings say otherwise.
  public init(_ options: MethodOptions) throws(EmbedFuseError) {
    followsMergekit = options.followsMergekit
    let lambda = options.parameters["lambda"].flatMap(DeltaGuided.Lambda.init) ?? .fixed(1)
    if lambda != .fixed(1) {
      scaled = DeltaGuided(granularity: .model, power: 0, lambda: lambda)
    }
  }

  /// True if the mean's difference to a base is scaled, so that there must be one.
  public var needsBase: Bool { scaled != nil }

  /// True of a mean, but mergekit's in binary32 shows how small the weights are.
  public func weighsByRatios(_ tensor: TensorContext) -> Bool {
    tensor.flag("normalize") && (!followsMergekit || tensor.hasLargePriors)
  }

  /// Weights that sum to 0 have no mean.
  public func validate(_ tensor: TensorContext) throws(EmbedFuseError) {
    let normalize = tensor.flag("normalize")
    if normalize && tensor.priors.reduce(0, +) == 0 {
      throw EmbedFuseError(
        .usage, "the weights \(tensor.priors) sum to 0, so their mean is undefined", tensor: tensor.name,
        remedy: "choose other weights, or normalize=false for the plain weighted sum")
    }
    guard let scaled else { return }
    guard normalize else {
      throw EmbedFuseError(
        .usage, "lambda scales a mean, but normalize=false asks for a plain sum", tensor: tensor.name,
        remedy: "leave one of the two out, or use the method task-arithmetic")
    }
    try scaled.validate(tensor)
  }

  /// Those that λ needs.
  public func stages(for tensor: TensorContext) -> [Stage] { scaled?.stages(for: tensor) ?? [] }

  /// Norms of the deltas, for λ.
  public func accumulate(
    stage: Int, _ tile: Tile, of inputs: Span<Double>, known: Known, in tensor: TensorContext,
    to lanes: inout MutableSpan<Double>, scratch: inout [Double]
  ) {
    scaled?.accumulate(
      stage: stage, tile, of: inputs, known: known, in: tensor, to: &lanes, scratch: &scratch)
  }

  /// λ from the norms.
  public func conclude(stage: Int, results: [Double], in tensor: TensorContext, known: Known) -> [Double] {
    scaled?.conclude(stage: stage, results: results, in: tensor, known: known) ?? results
  }

  /// λ from the norms of all tensors.
  public mutating func learn(stage: Int, results: [[Double]], of tensors: [TensorContext]) {
    scaled?.learn(stage: stage, results: results, of: tensors)
  }

  /// The weighted mean or sum.
  public func combination(of tensor: TensorContext, hasBase: Bool, known: Known) -> Combination {
    if let scaled { return scaled.combination(of: tensor, hasBase: hasBase, known: known) }
    let coefficients = hasBase ? [0] + tensor.priors : tensor.priors
    let divisor = tensor.flag("normalize") ? tensor.priors.reduce(0, +) : 1
    return followsMergekit && !tensor.isDoublePrecision
      ? .singlePrecisionMean(coefficients: coefficients, divisor: divisor)
      : .mean(coefficients: coefficients, divisor: divisor)
  }
}
