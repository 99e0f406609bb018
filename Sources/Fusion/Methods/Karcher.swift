import Kernels
import TensorCore

/// The Karcher mean of the models on the sphere, as mergekit 0.1.5 defines it (Karcher, 1977).
///
/// With u_k = θ_k/‖θ_k‖, starting from m = Σ u_k/‖Σ u_k‖, at most `max_iter` times T = 1/K·Σ φ_k/sin φ_k·(u_k − cos φ_k·m)
/// over the models whose angle φ_k to m is at least `tol`; until ‖T‖ < `tol`, m becomes cos‖T‖·m + sin‖T‖·T/‖T‖. The
/// result is m times the mean of the lengths. Zero tensors have no direction; all-zero ones give zeros. Two passes: all
/// of it follows from the products of the tensors.
public struct Karcher: FusionMethod {
  /// `max_iter` and `tol`.
  public static let description = MethodDescription(
    name: "karcher", summary: "mean of the models on the sphere",
    reference: "Karcher, Riemannian center of mass, 1977; mergekit 0.1.5", mergeSpace: .weights,
    parameters: [
      Parameter("max_iter", .tensor, .integer(1...100_000), standard: "10", "the most iterations"),
      Parameter("tol", .tensor, .number(0...1), standard: "1e-5", "the angle at which to stop"),
    ])

  private let followsMergekit: Bool

  /// The method.
  public init(_ options: MethodOptions) {
    followsMergekit = options.followsMergekit
  }

  /// The products of the models.
  public func stages(for tensor: TensorContext) -> [Stage] {
    [Stage(over: .tensor, .sums(pairCount(tensor.modelCount)))]
  }

  /// Adds the products.
  public func accumulate(
    stage: Int, _ tile: Tile, of inputs: Span<Double>, known: Known, in tensor: TensorContext,
    to lanes: inout MutableSpan<Double>, scratch: inout [Double]
  ) {
    addProducts(
      of: inputs, tile.layout, from: tile.hasBase ? 1 : 0, count: tile.modelCount, subtractsBase: false,
      to: &lanes)
  }

  /// The coefficients of the models.
  public func conclude(stage: Int, results: [Double], in tensor: TensorContext, known: Known) -> [Double] {
    let count = tensor.modelCount
    let gram = GramMatrix(results, count: count)
    let tolerance = tensor.value("tol")
    let norms = (0..<count).map { gram.norm($0) }
    let kept = (0..<count).filter { norms[$0] > (followsMergekit ? tolerance : 0) }
    guard let first = kept.first else { return Array(repeating: 0, count: count) }
    func unit(_ k: Int) -> [Double] { (0..<count).map { $0 == k ? 1 / norms[k] : 0 } }
    let share = 1 / Double(kept.count)
    var mean = Array(repeating: 0.0, count: count)
    for k in kept { mean[k] = share / norms[k] }
    let length = gram.norm(of: mean)
    mean = length < tolerance ? unit(first) : mean.map { $0 / length }
    for _ in 0..<Int(tensor.value("max_iter")) {
      var tangent = Array(repeating: 0.0, count: count)
      for k in kept {
        let cosine = min(1, max(-1, gram.product(unit(k), mean)))
        let angle = Angle.arccosine(cosine)
        let sine = Angle.sine(angle)
        guard angle >= tolerance, sine > 1e-12 else { continue }
        let factor = share * angle / sine
        tangent[k] += factor / norms[k]
        for j in 0..<count { tangent[j] -= factor * cosine * mean[j] }
      }
      let step = gram.norm(of: tangent)
      if step < tolerance || step == 0 { break }
      mean = zip(mean, tangent).map { Angle.cosine(step) * $0 + Angle.sine(step) * $1 / step }
      let length = gram.norm(of: mean)
      if length > tolerance { mean = mean.map { $0 / length } }
    }
    let size = norms.reduce(0, +) / Double(count)
    return mean.map { $0 * size }
  }

  /// Writes the combination.
  public func fuse(
    _ tile: Tile, of inputs: Span<Double>, known: Known, in tensor: TensorContext,
    into target: inout MutableSpan<Double>, tally: inout WeightTally, scratch: inout [Double]
  ) {
    weightedMean(
      of: inputs, tile.layout, coefficients: (tile.hasBase ? [0] : []) + known[0], divisor: 1, into: &target)
    tally.add(weights: known[0], elementCount: tile.count)
  }
}
