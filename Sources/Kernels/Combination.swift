import CKernels

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
