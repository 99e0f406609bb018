import Kernels
import TensorCore

/// The unified model of EMR-Merging: with g = sign(Σ δ_k), minus where the sum is 0, θ = θ₀ + λ·g·max |δ_k| over the
/// models whose δ_k has that sign (Huang et al., arXiv 2405.17461). Masks and scales of single tasks are not made. One
/// pass.
public struct EMRUnified: FusionMethod {
  /// `lambda`.
  public static let description = MethodDescription(
    name: "emr-unified", summary: "elected sign with the largest size that has it",
    reference: "Huang et al., EMR-Merging, arXiv 2405.17461", mergeSpace: .deltas, parameters: [.lambda])

  /// The method.
  public init(_ options: MethodOptions) {}

  /// Writes the base plus the unified delta.
  public func fuse(
    _ tile: Tile, of inputs: Span<Double>, known: Known, in tensor: TensorContext,
    into target: inout MutableSpan<Double>, tally: inout WeightTally, scratch: inout [Double]
  ) {
    let lambda = tensor.value("lambda")
    var sums = Array(repeating: 0.0, count: tile.modelCount)
    for i in 0..<tile.count {
      let base = inputs[tile.firstOfBase + i]
      var sum = 0.0
      for k in 0..<tile.modelCount { sum += inputs[tile.first(ofModel: k) + i] - base }
      let sign: Double = sum > 0 ? 1 : -1
      var (largest, model) = (0.0, -1)
      for k in 0..<tile.modelCount {
        let delta = inputs[tile.first(ofModel: k) + i] - base
        if delta * sign > 0 && delta.magnitude > largest.magnitude { (largest, model) = (delta, k) }
      }
      if model >= 0 { sums[model] += 1 }
      target[tile.firstOfBase + i] =
        model < 0 ? base : lambda == 1 ? inputs[tile.first(ofModel: model) + i] : base + lambda * largest
    }
    tally.add(sums: sums, elementCount: tile.count)
  }
}
