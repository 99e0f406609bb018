import Kernels
import TensorCore

/// RAM: deltas that one model alone made are kept whole, those that several made are averaged (Yuan et al.,
/// arXiv 2601.13572), as mergekit 0.1.5 defines it.
///
/// With Z_k = [|δ_k| > ε] and q = Σ Z_k, θ = θ₀ + Σ Z_k·δ_k / max(q, 1). `epsilon` is an absolute size. One pass.
public struct RAM: FusionMethod {
  /// `epsilon`.
  public static let description = MethodDescription(
    name: "ram", summary: "keep what one model alone changed, average what several did",
    reference: "RAM, arXiv 2601.13572; mergekit 0.1.5", mergeSpace: .deltas,
    parameters: [
      Parameter(
        "epsilon", .tensor, .number(0...Double.greatestFiniteMagnitude), standard: "1e-5",
        "size up to which a delta counts as none")
    ])

  /// RAM.
  public init(_ options: MethodOptions) {}

  /// Writes the base plus the deltas.
  public func fuse(
    _ tile: Tile, of inputs: Span<Double>, known: Known, in tensor: TensorContext,
    into target: inout MutableSpan<Double>, tally: inout WeightTally, scratch: inout [Double]
  ) {
    combineByOwners(
      tile, of: inputs, epsilon: tensor.value("epsilon"), factors: tensor.priors.map { _ in 1 }, into: &target
    )
    tally.add(
      weights: tensor.priors.map { 1 / Double($0 == 0 ? 1 : tile.modelCount) }, elementCount: tile.count)
  }
}

extension FusionMethod {
  /// Writes the base plus the mean of the deltas larger than ε; a lone one times its model's factor.
  func combineByOwners(
    _ tile: Tile, of inputs: Span<Double>, epsilon: Double, factors: [Double],
    into target: inout MutableSpan<Double>
  ) {
    for i in 0..<tile.count {
      let base = inputs[tile.firstOfBase + i]
      var (sum, owners, last) = (0.0, 0.0, 0)
      for k in 0..<tile.modelCount {
        let delta = inputs[tile.first(ofModel: k) + i] - base
        if delta.magnitude > epsilon {
          sum += delta
          owners += 1
          last = k
        }
      }
      let mean = owners == 1 ? sum * factors[last] : sum / max(owners, 1)
      target[tile.firstOfBase + i] = sum == 0 ? base : base + mean
    }
  }
}
