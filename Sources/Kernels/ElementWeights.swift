import CKernels

/// Writes the delta-guided weight of every model in every element:
///
///     w_k = prior_k·(scale_k·|δ_k|)^power / Σ_j prior_j·(scale_j·|δ_j|)^power
///
/// free of scale. Where no model moved, or the power is 0, they are the shares of the priors; with a negative
/// power the models that did not move share the whole weight.
///
/// - Parameters:
///   - values: the base's values and the models', laid out as `layout` says; deltas are below 2^511.
///   - weights: receives model k's weights from `k * layout.elements.count` on, k counted from 0.
public func elementWeights(
  of values: Span<Double>, _ layout: TileLayout, scales: [Double], priors: [Double], power: Double,
  into weights: inout MutableSpan<Double>
) {
  layout.check(values)
  let models = layout.inputCount - 1
  precondition(scales.count == models && priors.count == models && power != 0)
  precondition(weights.count >= models * layout.elements.count)
  unsafe values.withUnsafeBufferPointer { x in
    unsafe weights.withUnsafeMutableBufferPointer { weights in
      unsafe ck_element_weights(
        x.baseAddress! + layout.elements.lowerBound, layout.stride, layout.inputCount, scales, priors, power,
        weights.baseAddress!, layout.elements.count)
    }
  }
}

/// θ₀ + λ·Σ_k w_k·δ_k with weights of `elementWeights`, and the sum of each model's weights.
///
/// It is θ₀ bit for bit where the sum is 0, and with λ = 1 the models' value bit for bit where all that have weight
/// are equal.
///
/// - Parameters:
///   - values: the base's values and the models', laid out as `layout` says.
///   - weights: as `elementWeights` wrote them.
///   - lanes: K sums of `laneCount` lanes, to which the models' weights are added.
///   - target: receives the results at `layout.elements`.
public func combineByElement(
  of values: Span<Double>, _ layout: TileLayout, weights: Span<Double>, lambda: Double,
  lanes: inout MutableSpan<Double>, into target: inout MutableSpan<Double>
) {
  layout.check(values)
  let models = layout.inputCount - 1
  precondition(weights.count >= models * layout.elements.count && lanes.count == models * laneCount)
  precondition(target.count >= layout.elements.upperBound)
  let first = layout.elements.lowerBound
  unsafe values.withUnsafeBufferPointer { x in
    unsafe weights.withUnsafeBufferPointer { weights in
      unsafe lanes.withUnsafeMutableBufferPointer { lanes in
        unsafe target.withUnsafeMutableBufferPointer { target in
          unsafe ck_element_combine(
            x.baseAddress! + first, layout.stride, layout.inputCount, weights.baseAddress!, lambda,
            lanes.baseAddress!, target.baseAddress! + first, layout.elements.count)
        }
      }
    }
  }
}

/// Adds (w_k·δ_k)² of every model in turn, and last (Σ_k w_k·δ_k)², for weights of `elementWeights`.
///
/// - Parameters:
///   - values: the base's values and the models', laid out as `layout` says.
///   - weights: as `elementWeights` wrote them.
///   - lanes: K + 1 sums of `laneCount` lanes.
public func addElementNorms(
  of values: Span<Double>, _ layout: TileLayout, weights: Span<Double>, to lanes: inout MutableSpan<Double>
) {
  layout.check(values)
  precondition(weights.count >= (layout.inputCount - 1) * layout.elements.count)
  precondition(lanes.count == layout.inputCount * laneCount)
  unsafe values.withUnsafeBufferPointer { x in
    unsafe weights.withUnsafeBufferPointer { weights in
      unsafe lanes.withUnsafeMutableBufferPointer { lanes in
        unsafe ck_element_norms(
          x.baseAddress! + layout.elements.lowerBound, layout.stride, layout.inputCount, weights.baseAddress!,
          lanes.baseAddress!, layout.elements.count)
      }
    }
  }
}

/// base^exponent for finite base ≥ 0, the same bits on every machine: exact for the exponents 0 and 1, within a
/// few units in the last place for others of moderate size.
public func power(_ base: Double, _ exponent: Double) -> Double {
  ck_power(base, exponent)
}
