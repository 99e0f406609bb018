import CKernels

/// The lanes in which every sum is taken: element i of a call is added in lane i mod `laneCount`.
public let laneCount = Int(CK_LANES)

/// The sums of lanes, sum s being the lanes `s * laneCount ..< (s + 1) * laneCount`, always added in the same
/// order: ((0+4)+(2+6))+((1+5)+(3+7)).
public func reduceLanes(_ lanes: Span<Double>) -> [Double] {
  precondition(lanes.count % laneCount == 0)
  return (0..<lanes.count / laneCount).map { sum in
    let s = sum * laneCount
    return ((lanes[s] + lanes[s + 4]) + (lanes[s + 2] + lanes[s + 6]))
      + ((lanes[s + 1] + lanes[s + 5]) + (lanes[s + 3] + lanes[s + 7]))
  }
}

/// Which sums over deltas are taken.
public enum DeltaSumKinds: Sendable, Hashable {
  /// |δ_k|, δ_k² and θ₀².
  case all
  /// |δ_k| alone; the others stay as they are.
  case sizes

  var kernelSums: ck_sums { self == .all ? CK_ALL_SUMS : CK_SIZE_SUMS }
}

/// Adds |δ_k|, δ_k² of every model in turn, and last θ₀², or some of these, to the sums in `lanes`.
///
/// - Parameters:
///   - values: the base's values and the models', laid out as `layout` says.
///   - sums: which.
///   - lanes: 2·K + 1 sums of `laneCount` lanes.
public func addDeltaSums(
  of values: Span<Double>, _ layout: TileLayout, _ sums: DeltaSumKinds = .all,
  to lanes: inout MutableSpan<Double>
) {
  layout.check(values)
  precondition(lanes.count == (2 * layout.inputCount - 1) * laneCount)
  unsafe values.withUnsafeBufferPointer { x in
    unsafe lanes.withUnsafeMutableBufferPointer { lanes in
      unsafe ck_delta_sums(
        sums.kernelSums, x.baseAddress! + layout.elements.lowerBound, layout.stride, layout.inputCount,
        lanes.baseAddress!,
        layout.elements.count)
    }
  }
}

/// Adds (w_k·δ_k)² of every model in turn, and last (Σ_k w_k·δ_k)², to the sums in `lanes`.
///
/// - Parameters:
///   - values: the base's values and the models', laid out as `layout` says.
///   - weights: w_k, one for each model.
///   - lanes: K + 1 sums of `laneCount` lanes.
public func addWeightedNorms(
  of values: Span<Double>, _ layout: TileLayout, weights: [Double], to lanes: inout MutableSpan<Double>
) {
  layout.check(values)
  precondition(weights.count == layout.inputCount - 1 && lanes.count == layout.inputCount * laneCount)
  unsafe values.withUnsafeBufferPointer { x in
    unsafe lanes.withUnsafeMutableBufferPointer { lanes in
      unsafe ck_weighted_norms(
        x.baseAddress! + layout.elements.lowerBound, layout.stride, layout.inputCount, weights,
        lanes.baseAddress!, layout.elements.count)
    }
  }
}
