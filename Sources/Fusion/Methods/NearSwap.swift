import Kernels
import TensorCore

/// Interpolates towards one model where it is near the base, as mergekit 0.1.5 defines it: with w = t/|θ₁ − θ₀|, at
/// most 1, θ = w·θ₁ + (1 − w)·θ₀. mergekit takes the distance for at least 1e-6. One pass.
public struct NearSwap: FusionMethod {
  /// `t`.
  public static let description = MethodDescription(
    name: "nearswap", summary: "move by at most t towards one model", reference: "mergekit 0.1.5",
    mergeSpace: .deltas, models: 1...1,
    parameters: [
      Parameter(
        "t", .tensor, .number(0...Double.greatestFiniteMagnitude), standard: nil,
        "distance up to which the model's value is taken")
    ])

  private let followsMergekit: Bool

  /// The method.
  public init(_ options: MethodOptions) {
    followsMergekit = options.followsMergekit
  }

  /// Writes the interpolation.
  public func fuse(
    _ tile: Tile, of inputs: Span<Double>, known: Known, in tensor: TensorContext,
    into target: inout MutableSpan<Double>, tally: inout WeightTally, scratch: inout [Double]
  ) {
    let t = tensor.value("t")
    var total = 0.0
    for i in 0..<tile.count {
      let (base, model) = (inputs[tile.firstOfBase + i], inputs[tile.first(ofModel: 0) + i])
      let distance = (model - base).magnitude
      let w = min(1, t / max(distance, followsMergekit ? 1e-6 : t))
      target[tile.firstOfBase + i] = w == 1 || distance == 0 ? model : w * model + (1 - w) * base
      total += w.isNaN ? 0 : w
    }
    tally.add(sums: [total], elementCount: tile.count)
  }
}
