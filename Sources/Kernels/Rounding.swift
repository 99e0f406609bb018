import CKernels
import TensorCore

/// What rounding did to some values.
public struct RoundingCounts: Sendable, Hashable {
  /// Elements whose exact value differs from the base's; 0 where there was no base to compare with.
  public var moved = 0
  /// Elements among them whose rounded value is the base's, rounded likewise: their deltas vanished.
  public var vanished = 0
  /// Finite values that became infinite, or NaN where the type has no infinity.
  public var overflowed = 0
  /// Values that became 0 and weren't.
  public var underflowed = 0
  /// Values that were infinite or NaN before they were rounded.
  public var nonFinite = 0

  /// Nothing counted.
  public init() {}

  /// Adds other counts.
  public mutating func add(_ other: RoundingCounts) {
    moved += other.moved
    vanished += other.vanished
    overflowed += other.overflowed
    underflowed += other.underflowed
    nonFinite += other.nonFinite
  }
}

/// Counts what rounding did to some values; for F64 only those that aren't finite.
///
/// - Parameters:
///   - values: the exact values.
///   - rounded: what `narrow` made of them, elements of `type`.
///   - base: the base's values, as many; empty for none.
///   - roundedBase: what `narrow` makes of those; empty where `base` is.
public func countRounding(
  of values: Span<Double>, to rounded: Span<UInt8>, as type: ElementType, base: Span<Double>,
  roundedBase: Span<UInt8>, into counts: inout RoundingCounts
) {
  let count = values.count
  precondition(rounded.count == type.byteCount(ofElements: count))
  precondition(base.isEmpty ? roundedBase.isEmpty : base.count == count && roundedBase.count == rounded.count)
  guard count > 0 else { return }
  unsafe values.withUnsafeBufferPointer { values in
    unsafe rounded.withUnsafeBufferPointer { rounded in
      unsafe base.withUnsafeBufferPointer { base in
        unsafe roundedBase.withUnsafeBufferPointer { roundedBase in
          unsafe counts.add { counts in
            unsafe ck_count_rounding(
              type.kernelType, values.baseAddress!, rounded.baseAddress!,
              base.isEmpty ? nil : base.baseAddress, roundedBase.baseAddress, count, counts)
          }
        }
      }
    }
  }
}

extension RoundingCounts {
  /// Adds what a kernel counts into the five numbers that it is given.
  mutating func add<Result>(_ kernel: (UnsafeMutablePointer<UInt64>) -> Result) -> Result {
    var found: InlineArray<5, UInt64> = [0, 0, 0, 0, 0]
    var span = found.mutableSpan
    let result = unsafe span.withUnsafeMutableBufferPointer { unsafe kernel($0.baseAddress!) }
    moved += Int(found[0])
    vanished += Int(found[1])
    overflowed += Int(found[2])
    underflowed += Int(found[3])
    nonFinite += Int(found[4])
    return result
  }
}
