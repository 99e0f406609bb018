import Kernels
import TensorCore

/// Spherical interpolation between two models, or between their deltas where there is a base, as mergekit 0.1.5 defines
/// it.
///
/// With t = c₂/(c₁ + c₂) (½ where that sum is 0) and φ the angle between the vectors x₁, x₂,
/// x = [sin((1 − t)φ)·x₁ + sin(tφ)·x₂] / sin φ, on the line where sin²φ ≤ 1e-12 (mergekit: 1e-16, so that rounding errors
/// decide about opposite vectors). A vector is the whole tensor; with
/// `nuslerp_flatten=false` each row along the last axis, and with `nuslerp_row_wise=true` besides each column, along the
/// first axis (mergekit's names are the other way round). Two passes; one by rows.
public struct NuSlerp: FusionMethod {
  /// `weight`, `nuslerp_flatten` and `nuslerp_row_wise`.
  public static let description = MethodDescription(
    name: "nuslerp", summary: "interpolate on the sphere between two models or their deltas",
    reference: "mergekit 0.1.5", mergeSpace: .either, models: 2...2,
    parameters: [
      .weight,
      Parameter(
        "nuslerp_flatten", .tensor, .flag, standard: "true", "take the whole tensor for one vector"),
      Parameter(
        "nuslerp_row_wise", .tensor, .flag, standard: "false",
        "unless flattened, take columns (the first axis) for vectors, not rows"),
    ])

  private let followsMergekit: Bool

  /// The method.
  public init(_ options: MethodOptions) {
    followsMergekit = options.followsMergekit
  }

  /// True, but mergekit treats very small weights in its own way.
  public func weighsByRatios(_ tensor: TensorContext) -> Bool { !followsMergekit || tensor.hasLargePriors }

  private func scope(of tensor: TensorContext) -> Stage.Scope {
    guard tensor.shape.rank > 1, !tensor.flag("nuslerp_flatten") else { return .tensor }
    return tensor.flag("nuslerp_row_wise") ? .columns : .row
  }

  /// The products of the two vectors.
  public func stages(for tensor: TensorContext) -> [Stage] {
    [Stage(over: scope(of: tensor), .sums(pairCount(2)))]
  }

  /// Adds the products.
  public func accumulate(
    stage: Int, _ tile: Tile, of inputs: Span<Double>, known: Known, in tensor: TensorContext,
    to lanes: inout MutableSpan<Double>, scratch: inout [Double]
  ) {
    let first = tile.hasBase ? 1 : 0
    guard scope(of: tensor) == .columns else {
      addProducts(
        of: inputs, tile.layout, from: first, count: 2, subtractsBase: tile.hasBase, to: &lanes)
      return
    }
    for i in 0..<tile.count {
      let base = tile.hasBase ? inputs[tile.firstOfBase + i] : 0
      let x = inputs[tile.first(ofModel: 0) + i] - base
      let y = inputs[tile.first(ofModel: 1) + i] - base
      lanes[i] += x * x
      lanes[tile.count + i] += x * y
      lanes[2 * tile.count + i] += y * y
    }
  }

  /// The coefficients of the two vectors, of every column first those of the first.
  public func conclude(stage: Int, results: [Double], in tensor: TensorContext, known: Known) -> [Double] {
    let total = tensor.priors[0] + tensor.priors[1]
    let least = followsMergekit ? 1e-6 : .leastNonzeroMagnitude
    let t = total.magnitude < least ? 0.5 : tensor.priors[1] / total
    let count = results.count / 3
    var coefficients = Array(repeating: 0.0, count: 2 * count)
    for place in 0..<count {
      let pair = self.coefficients(
        t: t, squares: (results[place], results[2 * count + place]), product: results[count + place])
      coefficients[place] = pair[0]
      coefficients[count + place] = pair[1]
    }
    return coefficients
  }

  private func coefficients(t: Double, squares: (Double, Double), product: Double) -> [Double] {
    let least = followsMergekit ? 1e-7 : .leastNonzeroMagnitude
    let first = max(squares.0.squareRoot(), least)
    let second = max(squares.1.squareRoot(), least)
    let cosine = min(1, max(-1, product / first / second))
    return Slerp.coefficients(
      t: t, cosine: cosine, isCollinear: 1 - cosine * cosine <= (followsMergekit ? 1e-16 : 1e-12))
  }

  /// Writes the combination.
  public func fuse(
    _ tile: Tile, of inputs: Span<Double>, known: Known, in tensor: TensorContext,
    into target: inout MutableSpan<Double>, tally: inout WeightTally, scratch: inout [Double]
  ) {
    let coefficients = known[0]
    if scope(of: tensor) == .columns {
      let columns = tensor.columnCount
      for i in 0..<tile.count {
        let column = (tile.start + i) % columns
        let base = tile.hasBase ? inputs[tile.firstOfBase + i] : 0
        let x = inputs[tile.first(ofModel: 0) + i] - base
        let y = inputs[tile.first(ofModel: 1) + i] - base
        let sum = coefficients[column] * x + coefficients[columns + column] * y
        target[tile.firstOfBase + i] = tile.hasBase && sum == 0 ? base : base + sum
      }
      tally.add(weights: FusionWeights.shares(of: tensor.priors), elementCount: tile.count)
    } else {
      combine(tile, of: inputs, coefficients: coefficients, into: &target)
      tally.add(weights: coefficients, elementCount: tile.count)
    }
  }
}

extension FusionMethod {
  /// Writes the linear combination of the models, or of their deltas to the base.
  func combine(
    _ tile: Tile, of inputs: Span<Double>, coefficients: [Double], into target: inout MutableSpan<Double>
  ) {
    if tile.hasBase {
      combineDeltas(
        of: inputs, tile.layout, weights: coefficients, scale: 1,
        isMean: coefficients.reduce(0, +) == 1, into: &target)
    } else {
      weightedMean(of: inputs, tile.layout, coefficients: coefficients, divisor: 1, into: &target)
    }
  }
}
