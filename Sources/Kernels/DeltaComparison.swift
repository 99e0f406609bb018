import CKernels

/// Compares models of one base, element by element.
///
/// - Parameters:
///   - values: the base's values and the models', laid out as `layout` says; deltas are below 2^511.
///   - lanes: 2·K + 2 sums of `laneCount` lanes, to which are added, for every model in turn, its share
///     |δ_k| / Σ_j |δ_j| (equal shares where no model moved) and 1 where δ_k is 0; then 1 where at least two models
///     moved, and 1 where some moved up and some down. The lanes of the greatest |δ_k| of every model follow.
public func compareModels(
  of values: Span<Double>, _ layout: TileLayout, to lanes: inout MutableSpan<Double>
) {
  layout.check(values)
  precondition(layout.inputCount > 1 && lanes.count == (3 * layout.inputCount - 1) * laneCount)
  unsafe values.withUnsafeBufferPointer { x in
    unsafe lanes.withUnsafeMutableBufferPointer { lanes in
      unsafe ck_compare(
        x.baseAddress! + layout.elements.lowerBound, layout.stride, layout.inputCount, lanes.baseAddress!,
        layout.elements.count)
    }
  }
}
