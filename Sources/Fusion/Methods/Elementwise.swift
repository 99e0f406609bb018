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

/// One model as it is, times `scale`: mergekit's way to take layers over. One pass.
public struct Passthrough: FusionMethod {
  /// `scale`.
  public static let description = MethodDescription(
    name: "passthrough", summary: "one model as it is, or scaled", reference: "mergekit 0.1.5",
    mergeSpace: .weights, models: 1...1,
    parameters: [
      Parameter("scale", .model, .number(Parameter.anyNumber), standard: "1", "what values are multiplied by")
    ])

  /// The method.
  public init(_ options: MethodOptions) {}

  /// Writes the scaled values.
  public func fuse(
    _ tile: Tile, of inputs: Span<Double>, known: Known, in tensor: TensorContext,
    into target: inout MutableSpan<Double>, tally: inout WeightTally, scratch: inout [Double]
  ) {
    let scale = tensor.values("scale")[0]
    let first = tile.first(ofModel: 0)
    if scale == 1 {
      for i in 0..<tile.count { target[tile.firstOfBase + i] = inputs[first + i] }
    } else {
      for i in 0..<tile.count { target[tile.firstOfBase + i] = scale * inputs[first + i] }
    }
    tally.add(weights: [scale], elementCount: tile.count)
  }
}

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

  /// Weights must be such that there is a mean.
  public func validate(_ tensor: TensorContext) throws(EmbedFuseError) {
    guard !tensor.priors.allSatisfy({ $0 >= 0 }) || tensor.priors.reduce(0, +) <= 0 else { return }
    throw EmbedFuseError(
      .usage, "the weights \(tensor.priors) must be 0 or more, and not all 0", tensor: tensor.name)
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

/// Consensus merging with TALL masks: an element takes part if at least `k` of the tasks need it (Wang et al.,
/// arXiv 2405.07813).
///
/// With the multi-task model θ_mt = θ₀ + λ·Σ c_k·δ_k, task k needs the elements where |θ₀ − θ_k| > τ·|θ_mt − θ_k|, and
/// θ = θ_mt where at least `k` tasks do, θ₀ elsewhere. One pass.
public struct TallConsensus: FusionMethod {
  /// `weight`, `lambda`, `tall_lambda` (τ) and `k`.
  public static let description = MethodDescription(
    name: "consensus", summary: "task arithmetic where several tasks need it",
    reference: "Wang et al., Localizing Task Information, arXiv 2405.07813", mergeSpace: .deltas,
    parameters: [
      .weight, .lambda,
      Parameter(
        "tall_lambda", .tensor, .number(0...Double.greatestFiniteMagnitude), standard: "0.4",
        "how strictly an element must be needed"),
      Parameter("k", .tensor, .integer(0...1_000_000), standard: "2", "how many tasks must need an element"),
    ])

  /// The method.
  public init(_ options: MethodOptions) {}

  /// Writes the multi-task values or the base.
  public func fuse(
    _ tile: Tile, of inputs: Span<Double>, known: Known, in tensor: TensorContext,
    into target: inout MutableSpan<Double>, tally: inout WeightTally, scratch: inout [Double]
  ) {
    let (lambda, strictness) = (tensor.value("lambda"), tensor.value("tall_lambda"))
    let least = Int(tensor.value("k"))
    for i in 0..<tile.count {
      let base = inputs[tile.firstOfBase + i]
      var sum = 0.0
      for k in 0..<tile.modelCount {
        sum += tensor.priors[k] * (inputs[tile.first(ofModel: k) + i] - base)
      }
      let whole = sum == 0 ? base : base + lambda * sum
      var needing = 0
      for k in 0..<tile.modelCount {
        let model = inputs[tile.first(ofModel: k) + i]
        if (base - model).magnitude > strictness * (whole - model).magnitude { needing += 1 }
      }
      target[tile.firstOfBase + i] = needing >= least ? whole : base
    }
    tally.add(weights: tensor.priors, elementCount: tile.count)
  }
}

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
