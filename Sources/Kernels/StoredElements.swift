import CKernels
import TensorCore

/// Stored elements of several inputs, over the same range of a tensor, for as long as `with` lends them.
@safe public struct StoredElements {
  private let sources: [ck_source]
  private let count: Int

  /// Lends `body` the elements of at most 32 inputs, of types with at least 16 bits.
  ///
  /// - Parameters:
  ///   - bytes: each input's bytes: little-endian, at any alignment. The first so many as there are types count.
  ///   - types: the inputs' element types.
  ///   - count: how many elements each input has.
  /// - Returns: what `body` returns; nil for more inputs, and for other types.
  public static func with<Result>(
    _ bytes: [[UInt8]], types: [ElementType], count: Int, _ body: (StoredElements) -> Result
  ) -> Result? {
    guard types.count <= Int(CK_MAX_SOURCES), types.allSatisfy({ $0.isFusable && $0.bitWidth >= 16 })
    else { return nil }
    return unsafe lend(bytes, types, count, [], body)
  }

  private static func lend<Result>(
    _ bytes: [[UInt8]], _ types: [ElementType], _ count: Int, _ sources: [ck_source],
    _ body: (StoredElements) -> Result
  ) -> Result {
    guard unsafe sources.count < types.count else {
      return unsafe body(StoredElements(sources: sources, count: count))
    }
    let place = unsafe sources.count
    precondition(types[place].byteCount(ofElements: count) <= bytes[place].count)
    return unsafe bytes[place].withUnsafeBytes { input in
      unsafe lend(
        bytes, types, count,
        sources + [ck_source(bytes: input.baseAddress, type: types[place].kernelType)], body)
    }
  }

  /// Widens elements, combines them, and rounds once: the same bits as `widen`, `Combination.apply` and `narrow` one
  /// after the other, without leaving the first-level cache.
  ///
  /// - Parameters:
  ///   - elements: those concerned.
  ///   - lanes: as in `Combination.apply`.
  ///   - hasBase: true if input 0 is the base.
  ///   - type: what the results are rounded to.
  ///   - target: receives their bytes from `offset` on.
  ///   - counts: receives what rounding did; to deltas where there is a base and the type has at most 16 bits.
  /// - Returns: true if a value of an input is NaN or infinite.
  public func combine(
    _ elements: Range<Int>, by combination: Combination, lanes: inout MutableSpan<Double>,
    hasBase: Bool, as type: ElementType, into target: inout MutableSpan<UInt8>, at offset: Int,
    counts: inout RoundingCounts
  ) -> Bool {
    precondition(elements.lowerBound >= 0 && elements.upperBound <= count)
    precondition(offset >= 0 && offset + type.byteCount(ofElements: elements.count) <= target.count)
    unsafe combination.check(inputCount: sources.count, laneCount: lanes.count)
    return unsafe combination.withKernel(hasBase: hasBase) { kernel in
      unsafe lanes.withUnsafeMutableBufferPointer { lanes in
        unsafe target.withUnsafeMutableBytes { target in
          unsafe withUnsafePointer(to: kernel) { kernel in
            unsafe counts.add { counts in
              unsafe ck_combine(
                kernel, sources, sources.count, elements.lowerBound, lanes.baseAddress, type.kernelType,
                target.baseAddress.map { unsafe $0 + offset }, elements.count, counts) != 0
            }
          }
        }
      }
    }
  }

  /// Adds |δ_k|, δ_k² of every model in turn, and last θ₀², or some of these, to sums in lanes, as `addDeltaSums` does.
  ///
  /// - Returns: true if a value of an input is NaN or infinite.
  public func addDeltaSums(
    _ elements: Range<Int>, _ sums: DeltaSumKinds = .all, to lanes: inout MutableSpan<Double>
  ) -> Bool {
    precondition(elements.lowerBound >= 0 && elements.upperBound <= count)
    unsafe precondition(lanes.count == (2 * sources.count - 1) * laneCount)
    return unsafe lanes.withUnsafeMutableBufferPointer { lanes in
      unsafe ck_stored_delta_sums(
        sums.kernelSums, sources, sources.count, elements.lowerBound, lanes.baseAddress, elements.count) != 0
    }
  }
}

extension StoredElements {
  /// The number of inputs but the first.
  var modelCount: Int { unsafe sources.count - 1 }

  /// Checks that there are such elements.
  func check(_ elements: Range<Int>) {
    precondition(elements.lowerBound >= 0 && elements.upperBound <= count)
  }

  /// Gives `body` the inputs as the kernels know them.
  func withSources<Result>(_ body: (UnsafePointer<ck_source>?) -> Result) -> Result {
    unsafe sources.withUnsafeBufferPointer { unsafe body($0.baseAddress) }
  }
}

extension Combination {
  /// Checks that there is a coefficient for each input, and a sum for each model.
  fileprivate func check(inputCount: Int, laneCount count: Int) {
    switch self {
    case .mean(let coefficients, _), .singlePrecisionMean(let coefficients, _):
      precondition(coefficients.count == inputCount)
    case .deltas(let weights, _, _): precondition(weights.count == inputCount - 1)
    case .elementWeighted(let scales, let priors, let power, _):
      precondition(scales.count == inputCount - 1 && priors.count == inputCount - 1 && power != 0)
      precondition(count == (inputCount - 1) * laneCount)
    }
  }

  /// Gives `body` the combination as the kernels know it.
  fileprivate func withKernel<Result>(hasBase: Bool, _ body: (ck_combination) -> Result) -> Result {
    let (kind, weights, priors, scale, power, whole) = terms
    return unsafe weights.withUnsafeBufferPointer { weights in
      unsafe priors.withUnsafeBufferPointer { priors in
        unsafe body(
          ck_combination(
            kind: kind, weights: weights.baseAddress, priors: priors.baseAddress, scale: scale, power: power,
            whole: whole ? 1 : 0, has_base: hasBase ? 1 : 0))
      }
    }
  }

  private var terms: (ck_kind, [Double], [Double], Double, Double, Bool) {
    switch self {
    case .mean(let coefficients, let divisor):
      (CK_MEAN, coefficients, [], divisor, 1, coefficients.reduce(0, +) == divisor)
    case .singlePrecisionMean(let coefficients, let divisor):
      (CK_FMA_MEAN, coefficients, [], divisor, 1, false)
    case .deltas(let weights, let scale, let isMean):
      (CK_DELTAS, weights, [], scale, 1, isMean && scale == 1)
    case .elementWeighted(let scales, let priors, let power, let lambda):
      (CK_ELEMENTS, scales, priors, lambda, power, false)
    }
  }
}
