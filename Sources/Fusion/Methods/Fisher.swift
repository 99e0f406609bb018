import Kernels
import TensorCore

/// Fisher merging: θ = Σ c_k·F_k·θ_k / Σ c_k·F_k with each model's diagonal Fisher information F_k, given as a
/// checkpoint of the same tensors (Matena and Raffel, arXiv 2111.09832). Where all c_k·F_k are 0 the weighted mean is
/// taken. One pass.
public struct Fisher: FusionMethod {
  /// `weight`.
  public static let description = MethodDescription(
    name: "fisher", summary: "mean weighted by each model's diagonal Fisher information",
    reference: "Matena and Raffel, Merging Models with Fisher-Weighted Averaging, arXiv 2111.09832",
    mergeSpace: .weights, parameters: [.weight], needsCompanions: true)

  /// The method.
  public init(_ options: MethodOptions) {}

  /// True.
  public func weighsByRatios(_ tensor: TensorContext) -> Bool { true }

  /// Weights must be such that there is a mean.
  public func validate(_ tensor: TensorContext) throws(EmbedFuseError) {
    guard !tensor.priors.allSatisfy({ $0 >= 0 }) || tensor.priors.reduce(0, +) <= 0 else { return }
    throw EmbedFuseError(
      .usage, "the weights \(tensor.priors) must be 0 or more, and not all 0", tensor: tensor.name,
      remedy: "choose other weights")
  }

  /// Writes the weighted mean.
  public func fuse(
    _ tile: Tile, of inputs: Span<Double>, known: Known, in tensor: TensorContext,
    into target: inout MutableSpan<Double>, tally: inout WeightTally, scratch: inout [Double]
  ) {
    let (count, stride) = (tile.modelCount, tile.layout.stride)
    let total = tensor.priors.reduce(0, +)
    var sums = Array(repeating: 0.0, count: count)
    var weights = Array(repeating: 0.0, count: count)
    for i in 0..<tile.count {
      var divisor = 0.0
      for k in 0..<count {
        weights[k] = tensor.priors[k] * inputs[tile.first(ofModel: k) + count * stride + i]
        divisor += weights[k]
      }
      if divisor == 0 {
        for k in 0..<count { weights[k] = tensor.priors[k] }
        divisor = total
      }
      var (sum, first) = (0.0, Double.nan)
      var isEqual = true
      for k in 0..<count {
        let value = inputs[tile.first(ofModel: k) + i]
        sums[k] += weights[k] / divisor
        guard weights[k] != 0 else { continue }
        sum += weights[k] * value
        if first.isNaN { first = value }
        isEqual = isEqual && value == first
      }
      target[tile.firstOfBase + i] = isEqual ? first : sum / divisor
    }
    tally.add(sums: sums, elementCount: tile.count)
  }
}
