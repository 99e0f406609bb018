import CKernels
import TensorCore

/// Which elements of one model's delta are kept.
public struct KeptDeltas: Sendable, Hashable {
  /// The sizes |δ| that are kept, both ends included; nil for none.
  public var sizes: ClosedRange<Double>?
  /// The probability with which these are kept.
  public var probability: Double
  /// The stream of the numbers that decide: that of an element is its flat index.
  public var key: UInt64
  /// What the kept ones are multiplied by.
  public var factor = 1.0

  /// All sizes of a range, or as many of them as a generator chooses.
  public init(sizes: ClosedRange<Double>? = 0...Double.infinity, probability: Double = 1, key: UInt64 = 0) {
    self.sizes = sizes
    self.probability = max(0, min(1, probability))
    self.key = key
  }
}

/// How deltas are selected and become one.
public struct SelectiveConsensus: Sendable, Hashable {
  /// What is kept of each model.
  public var kept: [KeptDeltas]
  /// The least variance over the models of an element that takes part; nil for all.
  public var leastVariance: Double?
  /// What each delta is multiplied by where a sign is elected.
  public var votes: [Double]
  /// The weight of each model.
  public var weights: [Double]
  /// How they become one.
  public var consensus: Consensus

  /// A consensus in which deltas vote with their weights.
  public init(kept: [KeptDeltas], weights: [Double], by consensus: Consensus) {
    self.kept = kept
    self.weights = weights
    votes = weights
    self.consensus = consensus
  }
}

extension StoredElements {
  /// Widens elements, selects among their deltas, combines them, and rounds once: the same bits as `selectDeltas`,
  /// `keepAbove`, `keepRandomly` and `combineSelected` over widened elements.
  ///
  /// - Parameters:
  ///   - elements: those concerned; input 0 is the base.
  ///   - start: the flat index of the first.
  ///   - type: what the results are rounded to.
  ///   - target: receives their bytes from `offset` on.
  ///   - counts: receives what rounding did; to deltas where the type has at most 16 bits.
  /// - Returns: true if a value of an input is NaN or infinite.
  public func combine(
    _ elements: Range<Int>, by way: SelectiveConsensus, start: Int, as type: ElementType,
    into target: inout MutableSpan<UInt8>, at offset: Int, counts: inout RoundingCounts
  ) -> Bool {
    check(elements)
    precondition(offset >= 0 && offset + type.byteCount(ofElements: elements.count) <= target.count)
    precondition([way.kept.count, way.votes.count, way.weights.count].allSatisfy { $0 == modelCount })
    let selections = way.kept.map { kept in
      ck_selection(
        least: kept.sizes?.lowerBound ?? .infinity, greatest: kept.sizes?.upperBound ?? -.infinity,
        probability: kept.probability, key: kept.key, factor: kept.factor)
    }
    return unsafe selections.withUnsafeBufferPointer { selections in
      unsafe way.votes.withUnsafeBufferPointer { votes in
        unsafe way.weights.withUnsafeBufferPointer { weights in
          var kernel = unsafe ck_consensus(
            selections: selections.baseAddress, by_variance: way.leastVariance == nil ? 0 : 1,
            least_variance: way.leastVariance ?? 0, votes: votes.baseAddress, weights: weights.baseAddress,
            elects: way.consensus.elects ? 1 : 0, zero_sign: way.consensus.zeroSign,
            normalize: way.consensus.normalize ? 1 : 0, scale: way.consensus.scale)
          return unsafe target.withUnsafeMutableBytes { target in
            unsafe counts.add { counts in
              unsafe withSources { sources in
                unsafe ck_stored_vote(
                  &kernel, sources, modelCount + 1, elements.lowerBound, UInt64(start), type.kernelType,
                  target.baseAddress.map { unsafe $0 + offset }, elements.count, counts) != 0
              }
            }
          }
        }
      }
    }
  }

  /// Adds |δ_k| and δ_k² of every model in turn, over the elements whose variance over the models is at least `least`,
  /// from the element at `cut` on at least `leastAfter`, to sums in lanes.
  ///
  /// - Parameters:
  ///   - elements: those concerned; input 0 is the base.
  ///   - cut: counted from the first of them.
  /// - Returns: true if a value of an input is NaN or infinite.
  public func addKeptMagnitudes(
    _ elements: Range<Int>, cut: Int, least: Double, leastAfter: Double, to lanes: inout MutableSpan<Double>
  ) -> Bool {
    check(elements)
    precondition(lanes.count >= 2 * modelCount * laneCount && cut >= 0)
    return unsafe lanes.withUnsafeMutableBufferPointer { lanes in
      unsafe withSources { sources in
        unsafe ck_stored_kept_squares(
          sources, modelCount + 1, elements.lowerBound, cut, least, leastAfter, lanes.baseAddress,
          elements.count) != 0
      }
    }
  }
}
