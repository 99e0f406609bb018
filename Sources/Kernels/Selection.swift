import CKernels

/// Writes δ = model − base where its size lies in a range, and 0 elsewhere.
///
/// - Parameters:
///   - values: the base's values and the models', laid out as `layout` says.
///   - input: the model's place among the inputs.
///   - range: the sizes |δ| to keep, both ends included.
///   - target: the deltas, from `offset` on.
public func selectDeltas(
  of values: Span<Double>, _ layout: TileLayout, input: Int, sizes range: ClosedRange<Double>,
  into target: inout MutableSpan<Double>, at offset: Int
) {
  layout.check(values)
  precondition(input < layout.inputCount && target.count >= offset + layout.elements.count)
  let first = layout.elements.lowerBound
  unsafe values.withUnsafeBufferPointer { x in
    unsafe target.withUnsafeMutableBufferPointer { target in
      unsafe ck_interval(
        x.baseAddress! + input * layout.stride + first, x.baseAddress! + first, range.lowerBound,
        range.upperBound, target.baseAddress! + offset, layout.elements.count)
    }
  }
}

/// Sets each of `count` values from `offset` on to 0, unless its number in the stream `key` is below `probability`.
/// The first value takes number `start` of the stream.
public func keepRandomly(
  _ values: inout MutableSpan<Double>, at offset: Int, count: Int, key: UInt64, start: Int,
  probability: Double
) {
  precondition(values.count >= offset + count)
  unsafe values.withUnsafeMutableBufferPointer { values in
    unsafe ck_keep(values.baseAddress! + offset, key, UInt64(start), max(0, min(1, probability)), count)
  }
}

/// As `keepRandomly`, with a probability of its own for every value.
public func keepRandomly(
  _ values: inout MutableSpan<Double>, at offset: Int, key: UInt64, start: Int, probabilities: Span<Double>
) {
  precondition(values.count >= offset + probabilities.count)
  unsafe values.withUnsafeMutableBufferPointer { values in
    unsafe probabilities.withUnsafeBufferPointer { p in
      guard let p = p.baseAddress else { return }
      unsafe ck_keep_each(values.baseAddress! + offset, key, UInt64(start), p, probabilities.count)
    }
  }
}

/// Number `place` of the stream of uniform numbers in [0, 1) that `key` names: SplitMix64 (Steele, Lea and Flood,
/// 2014) as a function of a counter.
public func randomNumber(key: UInt64, place: Int) -> Double {
  ck_random(key, UInt64(place))
}

/// Writes the rank of the size of each of `count` values from `first` on among them: 0 for the least, 1 for the greatest,
/// 0.5 for one alone; of equal ones the first has the highest.
///
/// - Parameters:
///   - target: the ranks, from `start` on.
///   - room: scratch, which is grown as needed.
public func sizeRanks(
  of values: Span<Double>, from first: Int, count: Int, into target: inout MutableSpan<Double>, at start: Int,
  room: inout [UInt64]
) {
  precondition(values.count >= first + count && target.count >= start + count && count < 1 << 32)
  if room.count < 2 * count { room = Array(repeating: 0, count: 2 * count) }
  unsafe values.withUnsafeBufferPointer { values in
    unsafe target.withUnsafeMutableBufferPointer { target in
      guard let v = values.baseAddress, let places = target.baseAddress else { return }
      unsafe ck_ranks(v + first, count, &room, places + start)
    }
  }
}

/// Sets each of `keys.count` values from `offset` on to 0 unless its key is at least `least`.
public func keepAbove(
  _ values: inout MutableSpan<Double>, at offset: Int, keys: Span<Double>, least: Double
) {
  precondition(values.count >= offset + keys.count)
  unsafe values.withUnsafeMutableBufferPointer { values in
    unsafe keys.withUnsafeBufferPointer { keys in
      guard let first = keys.baseAddress else { return }
      unsafe ck_keep_above(values.baseAddress! + offset, first, least, keys.count)
    }
  }
}

/// Writes |θ − θ₀| of one input to the front of `target`.
public func deltaSizes(
  of values: Span<Double>, _ layout: TileLayout, input: Int, into target: inout MutableSpan<Double>
) {
  layout.check(values)
  precondition(input < layout.inputCount && target.count >= layout.elements.count)
  let first = layout.elements.lowerBound
  unsafe values.withUnsafeBufferPointer { x in
    unsafe target.withUnsafeMutableBufferPointer { target in
      unsafe ck_sizes(
        x.baseAddress! + input * layout.stride + first, x.baseAddress! + first, target.baseAddress!,
        layout.elements.count)
    }
  }
}

/// Writes the population variance of the deltas of inputs 1 … `count` to input 0 to the front of `target`.
public func deltaVariances(
  of values: Span<Double>, _ layout: TileLayout, count: Int, into target: inout MutableSpan<Double>
) {
  layout.check(values)
  precondition(count < layout.inputCount && count > 0 && target.count >= layout.elements.count)
  unsafe values.withUnsafeBufferPointer { x in
    unsafe target.withUnsafeMutableBufferPointer { target in
      unsafe ck_variances(
        x.baseAddress! + layout.elements.lowerBound, layout.stride, count, target.baseAddress!,
        layout.elements.count)
    }
  }
}

/// Adds |v| and v² of `count` values from `first` on to the two sums from sum `sum` on.
public func addMagnitudes(
  of values: Span<Double>, from first: Int, count: Int, to lanes: inout MutableSpan<Double>, sum: Int
) {
  precondition(values.count >= first + count && lanes.count >= (sum + 2) * laneCount)
  unsafe values.withUnsafeBufferPointer { values in
    unsafe lanes.withUnsafeMutableBufferPointer { lanes in
      guard let start = values.baseAddress else { return }
      unsafe ck_magnitudes(start + first, lanes.baseAddress! + sum * laneCount, count)
    }
  }
}

/// How weighted deltas become one.
public struct Consensus: Sendable, Hashable {
  /// True to keep only the deltas whose sign is that of the sum of all.
  public var elects: Bool
  /// The sign that counts where the sum is 0: 1, -1, or 0 for none.
  public var zeroSign: Double
  /// True to divide by the weights that took part.
  public var normalize: Bool
  /// What the result is multiplied by.
  public var scale: Double

  /// A plain sum, unless told otherwise.
  public init(elects: Bool = false, zeroSign: Double = 1, normalize: Bool = false, scale: Double = 1) {
    self.elects = elects
    self.zeroSign = zeroSign
    self.normalize = normalize
    self.scale = scale
  }
}

/// Writes base + scale·m, where m is the consensus of the weighted deltas w_k·s_k; exactly the base where m is 0.
///
/// - Parameters:
///   - values: the inputs, of which only the base is read.
///   - deltas: s_k[i] at `k * layout.elements.count + i`.
///   - weights: w_k, one for each model.
///   - votes: what each delta is multiplied by where a sign is elected; the weights if not given.
///   - target: as long as the layout's stride; written at the layout's elements.
public func combineSelected(
  of values: Span<Double>, _ layout: TileLayout, deltas: Span<Double>, weights: [Double],
  votes: [Double]? = nil, by consensus: Consensus, into target: inout MutableSpan<Double>
) {
  layout.check(values)
  let (first, count) = (layout.elements.lowerBound, layout.elements.count)
  precondition(votes.map { $0.count == weights.count } ?? true)
  precondition(deltas.count >= weights.count * count && target.count >= layout.elements.upperBound)
  unsafe values.withUnsafeBufferPointer { x in
    unsafe deltas.withUnsafeBufferPointer { deltas in
      unsafe target.withUnsafeMutableBufferPointer { target in
        unsafe ck_vote(
          x.baseAddress! + first, deltas.baseAddress!, count, votes ?? weights, weights, weights.count,
          consensus.elects ? 1 : 0,
          consensus.zeroSign, consensus.normalize ? 1 : 0, consensus.scale, target.baseAddress! + first, count
        )
      }
    }
  }
}

/// Bits that order as the numbers do: ascending, −0 before 0.
public func orderedBits(_ value: Double) -> UInt64 {
  ck_ordered_bits(value)
}

/// The number whose ordered bits these are.
public func number(orderedBits bits: UInt64) -> Double {
  Double(bitPattern: bits >> 63 == 1 ? bits & ~(1 << 63) : ~bits)
}

/// Counts the keys by some of their ordered bits.
///
/// - Parameters:
///   - keys: the numbers.
///   - shift: the lowest of the bits that count.
///   - width: how many they are, at most 16.
///   - prefix: what the bits above must be, if there are any.
///   - bins: 65,536 counts.
/// - Returns: if there are no bits above, how many keys are 0.
public func addHistogram(
  of keys: Span<Double>, shift: Int, width: Int, prefix: UInt64, to bins: inout MutableSpan<UInt32>
) -> Int {
  precondition(bins.count >= 65_536 && shift >= 0 && width <= 16 && shift + width <= 64)
  return unsafe keys.withUnsafeBufferPointer { keys in
    unsafe bins.withUnsafeMutableBufferPointer { bins in
      guard let first = keys.baseAddress else { return 0 }
      return unsafe ck_histogram(first, keys.count, Int32(shift), Int32(width), prefix, bins.baseAddress!)
    }
  }
}

/// The sizes that deltas and their variances commonly have, cut finely: 2^-60 ..< 2^4 by ten bits of the fraction.
public enum KeyWindow {
  /// The lowest of the ordered bits that count.
  public static let shift = Int(CK_WINDOW_SHIFT)
  /// The ordered bits from `shift` on of bin 0.
  public static let first = orderedBits(CK_WINDOW_LEAST) >> UInt64(shift)

  /// Counts every key by its place in the window; those below are counted in the first of the 65,536 bins, those above in
  /// the last.
  ///
  /// - Returns: how many keys are 0.
  public static func addHistogram(of keys: Span<Double>, to bins: inout MutableSpan<UInt32>) -> Int {
    precondition(bins.count >= 65_536)
    return unsafe keys.withUnsafeBufferPointer { keys in
      unsafe bins.withUnsafeMutableBufferPointer { bins in
        guard let first = keys.baseAddress else { return 0 }
        return unsafe ck_window_histogram(first, keys.count, bins.baseAddress!)
      }
    }
  }
}

/// Counts the places, from `start` on, of the keys whose ordered bits are `key`, by 16 of the places' bits.
///
/// - Parameters:
///   - shift: the lowest of the bits that count.
///   - prefix: what the bits above must be.
///   - bins: 65,536 counts.
public func addPlaceHistogram(
  of keys: Span<Double>, key: UInt64, start: Int, shift: Int, prefix: UInt64,
  to bins: inout MutableSpan<UInt32>
) {
  precondition(bins.count >= 65_536)
  unsafe keys.withUnsafeBufferPointer { keys in
    unsafe bins.withUnsafeMutableBufferPointer { bins in
      guard let first = keys.baseAddress else { return }
      unsafe ck_place_histogram(
        first, keys.count, key, UInt64(start), Int32(shift), prefix, bins.baseAddress!)
    }
  }
}
