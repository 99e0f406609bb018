import Kernels

/// Some of the keys among which ranks are looked for: runs of neighbouring elements from all over them.
public struct KeySample: Sendable {
  /// The elements of a run. Longer runs cost less to read and tell less.
  public static let runLength = 128

  /// The ordered bits of the keys by channel, run by run.
  private var keys: [[UInt64]]

  /// Nothing yet, with room for `count` elements.
  public init(channels: Int, count: Int) {
    keys = (0..<channels).map { _ in
      var keys: [UInt64] = []
      keys.reserveCapacity(count)
      return keys
    }
  }

  /// Adds keys of whole runs.
  public mutating func add(_ values: Span<Double>, channel: Int) {
    for index in values.indices { keys[channel].append(orderedBits(values[index])) }
  }

  /// The runs that are taken of each of several tensors, at places that a generator chooses within equal parts: of
  /// one in 64 elements, but at least 8,192 and at most 65,536 of all, as far as there are so many.
  ///
  /// - Parameter counts: the tensors' elements.
  /// - Returns: for each tensor runs of `runLength` elements that don't overlap, in order; none for a shorter one.
  public static func runs(of counts: [Int]) -> [[Range<Int>]] {
    let total = counts.reduce(0, +)
    let number = max(8192, min(65_536, total / 64)) / runLength
    return counts.enumerated().map { index, count in
      let runs = min(Int(Double(number) * Double(count) / Double(max(1, total))), count / runLength)
      return (0..<runs).map { run in
        let (first, end) = (count / runs * run, count / runs * (run + 1))
        let places = Double(end - first - runLength + 1)
        let start = first + Int(randomNumber(key: UInt64(index), place: run) * places)
        return start..<start + runLength
      }
    }
  }

  /// The ordered bits between which the key at a rank will lie among `count` elements, all but certainly.
  ///
  /// That is four standard errors of the rank's place to either side, which are taken from how much the runs differ.
  ///
  /// - Returns: the bits and how many keys are to be expected there; nil if the sample is too small.
  func range(
    about rank: Rank, channel: Int, count: Int
  ) -> (bits: ClosedRange<UInt64>, expectedCount: Int)? {
    var values = keys[channel]
    guard values.count >= 32 * Self.runLength else { return nil }
    let expected = Self.expectedBelow(rank, among: values[...], count: count)
    let place = max(0, min(values.count - 1, Int(expected)))
    let pivot = select(place, among: 0..<values.count, of: &values)
    // Of keys that are equal so many count as below that it comes out even.
    let (below, equal) = (values.count { $0 < pivot }, values.count { $0 == pivot })
    let share = (expected - Double(below)) / Double(equal)
    var squares = 0.0
    for start in stride(from: 0, to: values.count, by: Self.runLength) {
      let run = keys[channel][start..<start + Self.runLength]
      let excess =
        Double(run.count { $0 < pivot }) + share * Double(run.count { $0 == pivot })
        - Self.expectedBelow(rank, among: run, count: count)
      squares += excess * excess
    }
    let margin = Int(4 * squares.squareRoot()) + 16
    let low = place - margin <= 0 ? 0 : select(place - margin, among: 0..<place, of: &values)
    let high =
      place + margin >= values.count - 1
      ? .max : select(place + margin, among: place + 1..<values.count, of: &values)
    let inside = values.count { $0 >= low && $0 <= high && $0 != 1 << 63 }
    return (low...high, Int(Double(inside) / Double(values.count) * Double(count)))
  }

  /// How many of some sampled keys are below the rank if they are like all.
  private static func expectedBelow(_ rank: Rank, among keys: ArraySlice<UInt64>, count: Int) -> Double {
    switch rank {
    case .place(let place): Double(keys.count) * Double(place) / Double(count)
    case .greatest(let share): Double(keys.count) - share * Double(keys.count { $0 != 1 << 63 })
    }
  }
}
