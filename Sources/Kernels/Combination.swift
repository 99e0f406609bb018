import CKernels

/// x_a + Σ_{j≠a} c_j·(x_j − x_a) / divisor, element by element, terms in the order of j.
///
/// If the coefficients sum to the divisor this is the mean that they weigh. Equal inputs give themselves bit for
/// bit, and so does the anchor when all other coefficients are 0.
///
/// - Parameters:
///   - values: the inputs' values, laid out as `layout` says.
///   - coefficients: one for each input; inputs with 0 are not read.
///   - anchor: the input a.
///   - target: receives the results at `layout.elements`.
public func affineCombination(
  of values: Span<Double>, _ layout: TileLayout, coefficients: [Double], around anchor: Int, divisor: Double,
  into target: inout MutableSpan<Double>
) {
  layout.check(values)
  precondition(coefficients.count == layout.inputCount && coefficients.indices.contains(anchor))
  precondition(target.count >= layout.elements.upperBound)
  let first = layout.elements.lowerBound
  unsafe values.withUnsafeBufferPointer { x in
    unsafe target.withUnsafeMutableBufferPointer { target in
      unsafe ck_affine(
        x.baseAddress! + first, layout.stride, coefficients, layout.inputCount, anchor, divisor,
        target.baseAddress! + first, layout.elements.count)
    }
  }
}

/// Σ_j c_j·x_j, element by element, terms in the order of j.
///
/// - Parameters:
///   - values: the inputs' values, laid out as `layout` says.
///   - coefficients: one for each input; inputs with 0 are not read.
///   - target: receives the results at `layout.elements`.
public func linearCombination(
  of values: Span<Double>, _ layout: TileLayout, coefficients: [Double],
  into target: inout MutableSpan<Double>
) {
  layout.check(values)
  precondition(coefficients.count == layout.inputCount && target.count >= layout.elements.upperBound)
  let first = layout.elements.lowerBound
  unsafe values.withUnsafeBufferPointer { x in
    unsafe target.withUnsafeMutableBufferPointer { target in
      unsafe ck_linear(
        x.baseAddress! + first, layout.stride, coefficients, layout.inputCount, target.baseAddress! + first,
        layout.elements.count)
    }
  }
}
