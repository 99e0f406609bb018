import Kernels
import TensorCore

/// MagMax: of each element the delta of largest size, θ = θ₀ + λ·δ_k with k = argmax |δ_k|; of equal ones that of the
/// later model (Marczak et al., arXiv 2407.06322). One pass.
public struct MagMax: FusionMethod {
  /// `lambda`, 0.5 as in the paper.
  public static let description = MethodDescription(
    name: "magmax", summary: "of each element the largest delta",
    reference: "Marczak et al., MagMax, arXiv 2407.06322", mergeSpace: .deltas,
    parameters: [
      Parameter("lambda", .tensor, .number(Parameter.anyNumber), standard: "0.5", "scale of the delta")
    ])

  /// The method.
  public init(_ options: MethodOptions) {}

  /// Writes the base plus the largest delta.
  public func fuse(
    _ tile: Tile, of inputs: Span<Double>, known: Known, in tensor: TensorContext,
    into target: inout MutableSpan<Double>, tally: inout WeightTally, scratch: inout [Double]
  ) {
    let lambda = tensor.value("lambda")
    var sums = Array(repeating: 0.0, count: tile.modelCount)
    for i in 0..<tile.count {
      let base = inputs[tile.firstOfBase + i]
      var (largest, model) = (0.0, 0)
      for k in 0..<tile.modelCount {
        let delta = inputs[tile.first(ofModel: k) + i] - base
        if delta.magnitude >= largest.magnitude { (largest, model) = (delta, k) }
      }
      sums[model] += 1
      target[tile.firstOfBase + i] =
        largest == 0 ? base : lambda == 1 ? inputs[tile.first(ofModel: model) + i] : base + lambda * largest
    }
    tally.add(sums: sums, elementCount: tile.count)
  }
}
