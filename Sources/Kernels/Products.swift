import CKernels

/// The number of pairs (j, k), j ≤ k, of `count` vectors.
public func pairCount(_ count: Int) -> Int { count * (count + 1) / 2 }

/// Adds the products of the inputs from `first` on, pair by pair in the order (0,0), (0,1), …, (1,1), …, to the sums
/// in `lanes`: their Gram matrix.
///
/// - Parameters:
///   - values: the inputs, laid out as `layout` says.
///   - first: the first input that takes part.
///   - count: how many take part.
///   - subtractsBase: true to take the differences to input 0.
///   - lanes: `pairCount(count)` sums of `laneCount` lanes.
public func addProducts(
  of values: Span<Double>, _ layout: TileLayout, from first: Int, count: Int, subtractsBase: Bool,
  to lanes: inout MutableSpan<Double>
) {
  layout.check(values)
  precondition(first + count <= layout.inputCount && lanes.count == pairCount(count) * laneCount)
  let start = layout.elements.lowerBound
  unsafe values.withUnsafeBufferPointer { x in
    unsafe lanes.withUnsafeMutableBufferPointer { lanes in
      guard let target = lanes.baseAddress else { return }
      unsafe ck_products(
        x.baseAddress! + first * layout.stride + start, layout.stride, count,
        subtractsBase ? x.baseAddress! + start : nil, target, layout.elements.count)
    }
  }
}

/// Writes e^(x − shift)·factor + offset of `count` values to the front of `target`.
///
/// - Parameters:
///   - values: the values, those from `first` on.
public func exponentials(
  of values: Span<Double>, from first: Int, count: Int, shift: Double, factor: Double = 1,
  offset: Double = 0, into target: inout MutableSpan<Double>, at start: Int
) {
  precondition(first + count <= values.count && start + count <= target.count)
  unsafe values.withUnsafeBufferPointer { x in
    unsafe target.withUnsafeMutableBufferPointer { target in
      unsafe ck_exponentials(
        x.baseAddress! + first, shift, factor, offset, target.baseAddress! + start, count)
    }
  }
}

/// Replaces p, the first `count` values, by p·ln(p/q), where q are the `count` values that follow.
public func divergences(_ values: inout MutableSpan<Double>, count: Int) {
  precondition(values.count >= 2 * count)
  unsafe values.withUnsafeMutableBufferPointer { values in
    guard let p = values.baseAddress else { return }
    unsafe ck_divergence(p, p + count, p, count)
  }
}

/// e^x, within two units in the last place for |x| < 700, the same bits on every machine.
public func exponential(_ x: Double) -> Double { ck_exponential(x) }

/// ln x for a normal x > 0, the same bits on every machine.
public func logarithm(_ x: Double) -> Double { ck_logarithm(x) }

/// The weighted mean in binary32 with fused multiply-adds, term by term: what mergekit's `linear` computes on a CPU.
///
/// - Parameters:
///   - values: the inputs, laid out as `layout` says.
///   - coefficients: one for each input.
///   - divisor: what the sum is divided by.
public func singlePrecisionMean(
  of values: Span<Double>, _ layout: TileLayout, coefficients: [Double], divisor: Double,
  into target: inout MutableSpan<Double>
) {
  layout.check(values)
  precondition(coefficients.count == layout.inputCount && target.count >= layout.elements.upperBound)
  let first = layout.elements.lowerBound
  unsafe values.withUnsafeBufferPointer { x in
    unsafe target.withUnsafeMutableBufferPointer { target in
      unsafe ck_fma_mean(
        x.baseAddress! + first, layout.stride, coefficients, coefficients.count, divisor,
        target.baseAddress! + first, layout.elements.count)
    }
  }
}
