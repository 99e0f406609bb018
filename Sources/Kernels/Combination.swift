import CKernels

/// How the values of all inputs combine, element by element, where one kernel does the work.
public enum Combination: Sendable, Hashable {
  /// As `weightedMean` has it.
  case mean(coefficients: [Double], divisor: Double)
  /// As `singlePrecisionMean` has it.
  case singlePrecisionMean(coefficients: [Double], divisor: Double)
  /// As `combineDeltas` has it.
  case deltas(weights: [Double], scale: Double, isMean: Bool)
  /// As `elementWeights` and `combineByElement` have it.
  case elementWeighted(scales: [Double], priors: [Double], power: Double, lambda: Double)
}

extension Combination {
  /// Combines values that have been widened.
  ///
  /// - Parameters:
  ///   - values: the inputs' values, laid out as `layout` says.
  ///   - lanes: if elements have weights of their own, a sum of `laneCount` lanes for each model, to which its weights
  ///     are added.
  ///   - target: receives the results at `layout.elements`.
  ///   - scratch: room for the weights.
  public func apply(
    to values: Span<Double>, _ layout: TileLayout, lanes: inout MutableSpan<Double>,
    into target: inout MutableSpan<Double>, scratch: inout [Double]
  ) {
    switch self {
    case .mean(let coefficients, let divisor):
      weightedMean(of: values, layout, coefficients: coefficients, divisor: divisor, into: &target)
    case .singlePrecisionMean(let coefficients, let divisor):
      Kernels.singlePrecisionMean(
        of: values, layout, coefficients: coefficients, divisor: divisor, into: &target)
    case .deltas(let weights, let scale, let isMean):
      combineDeltas(of: values, layout, weights: weights, scale: scale, isMean: isMean, into: &target)
    case .elementWeighted(let scales, let priors, let power, let lambda):
      let needed = (layout.inputCount - 1) * layout.elements.count
      if scratch.count < needed { scratch = Array(repeating: 0, count: needed) }
      var weights = scratch.mutableSpan
      elementWeights(of: values, layout, scales: scales, priors: priors, power: power, into: &weights)
      combineByElement(
        of: values, layout, weights: scratch.span, lambda: lambda, lanes: &lanes, into: &target)
    }
  }
}

/// Σ_j c_j·x_j / divisor, element by element, terms in the order of j.
///
/// - Parameters:
///   - values: the inputs' values, laid out as `layout` says.
///   - coefficients: one for each input; inputs with 0 are not read.
///   - divisor: what the sum is divided by. If it is the coefficients' sum, the result is a mean, and inputs that
///     are equal give themselves bit for bit.
///   - target: receives the results at `layout.elements`.
public func weightedMean(
  of values: Span<Double>, _ layout: TileLayout, coefficients: [Double], divisor: Double,
  into target: inout MutableSpan<Double>
) {
  layout.check(values)
  precondition(coefficients.count == layout.inputCount && target.count >= layout.elements.upperBound)
  let first = layout.elements.lowerBound
  let isMean = coefficients.reduce(0, +) == divisor
  unsafe values.withUnsafeBufferPointer { x in
    unsafe target.withUnsafeMutableBufferPointer { target in
      unsafe ck_mean(
        x.baseAddress! + first, layout.stride, coefficients, layout.inputCount, divisor, isMean ? 1 : 0,
        target.baseAddress! + first, layout.elements.count)
    }
  }
}

/// θ₀ + scale·Σ_k w_k·δ_k, element by element, terms in the order of k; θ₀ bit for bit where the sum is 0.
///
/// - Parameters:
///   - values: the base's values and the models', laid out as `layout` says.
///   - weights: w_k, one for each model; models with 0 are not read.
///   - scale: what the sum is multiplied by.
///   - isMean: true if the weights sum to 1 but for rounding. With scale 1, models that are equal then give
///     themselves bit for bit.
///   - target: receives the results at `layout.elements`.
public func combineDeltas(
  of values: Span<Double>, _ layout: TileLayout, weights: [Double], scale: Double, isMean: Bool,
  into target: inout MutableSpan<Double>
) {
  layout.check(values)
  precondition(weights.count == layout.inputCount - 1 && target.count >= layout.elements.upperBound)
  let first = layout.elements.lowerBound
  unsafe values.withUnsafeBufferPointer { x in
    unsafe target.withUnsafeMutableBufferPointer { target in
      unsafe ck_deltas(
        x.baseAddress! + first, layout.stride, weights, layout.inputCount, scale,
        isMean && scale == 1 ? 1 : 0,
        target.baseAddress! + first, layout.elements.count)
    }
  }
}
