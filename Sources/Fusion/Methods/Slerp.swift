import Kernels
import TensorCore

/// Spherical interpolation between the base and one model, as mergekit 0.1.5 defines it (Shoemake, SIGGRAPH 1985).
///
/// With φ the angle between the whole tensors, θ = [sin((1 − t)φ)·θ₀ + sin(tφ)·θ₁] / sin φ; where |cos φ| > 0.9995,
/// the line (1 − t)·θ₀ + t·θ₁. Two passes.
public struct Slerp: FusionMethod {
  /// `t`.
  public static let description = MethodDescription(
    name: "slerp", summary: "interpolate on the sphere between the base and one model",
    reference: "Shoemake, Animating rotation with quaternion curves, 1985; mergekit 0.1.5",
    mergeSpace: .deltas, models: 1...1,
    parameters: [
      Parameter("t", .tensor, .number(Parameter.anyNumber), standard: nil, "0 gives the base, 1 the model")
    ])

  private let followsMergekit: Bool

  /// Spherical interpolation.
  public init(_ options: MethodOptions) {
    followsMergekit = options.followsMergekit
  }

  /// The products of base and model.
  public func stages(for tensor: TensorContext) -> [Stage] { [Stage(over: .tensor, .sums(pairCount(2)))] }

  /// Adds the products.
  public func accumulate(
    stage: Int, _ tile: Tile, of inputs: Span<Double>, known: Known, in tensor: TensorContext,
    to lanes: inout MutableSpan<Double>, scratch: inout [Double]
  ) {
    addProducts(of: inputs, tile.layout, from: 0, count: 2, subtractsBase: false, to: &lanes)
  }

  /// The coefficients of base and model.
  public func conclude(stage: Int, results: [Double], in tensor: TensorContext, known: Known) -> [Double] {
    let gram = GramMatrix(results, count: 2)
    let t = tensor.value("t")
    let least = followsMergekit ? 1e-8 : 0
    let (first, second) = (gram.norm(0), gram.norm(1))
    let cosine = gram[0, 1] / (first <= least ? 1 : first) / (second <= least ? 1 : second)
    // A tensor of zeros has no direction.
    let isCollinear = cosine.magnitude > 0.9995 || (!followsMergekit && (first == 0 || second == 0))
    return Self.coefficients(t: t, cosine: min(1, max(-1, cosine)), isCollinear: isCollinear)
  }

  /// The coefficients of the two ends.
  static func coefficients(t: Double, cosine: Double, isCollinear: Bool) -> [Double] {
    guard !isCollinear else { return [1 - t, t] }
    let angle = Angle.arccosine(cosine)
    let sine = Angle.sine(angle)
    if t == 0 { return [1, 0] }
    if t == 1 { return [0, 1] }
    return [Angle.sine((1 - t) * angle) / sine, Angle.sine(t * angle) / sine]
  }

  /// Writes the combination.
  public func fuse(
    _ tile: Tile, of inputs: Span<Double>, known: Known, in tensor: TensorContext,
    into target: inout MutableSpan<Double>, tally: inout WeightTally, scratch: inout [Double]
  ) {
    weightedMean(of: inputs, tile.layout, coefficients: known[0], divisor: 1, into: &target)
    tally.add(weights: [known[0][1]], elementCount: tile.count)
  }
}
