import TestSupport
import Testing

@testable import Fusion

/// The search for ranks, held to a sort.
@Suite struct RankSelectionTests {
  /// Keys that make the search go each of its ways.
  static func keys(_ kind: String, _ count: Int) -> [Double] {
    var generator = SeededGenerator(seed: 5)
    return (0..<count).map { index in
      switch kind {
      case "usual": abs(generator.normal()) * 1e-3
      case "below the window": abs(generator.normal()) * 1e-30
      case "above the window": abs(generator.normal()) * 1e9
      case "on both sides of it":
        index % 3 == 0 ? 1e-25 * Double(index) : index % 3 == 1 ? 1e5 + Double(index) : 0.5
      case "few values": Double(Int(abs(generator.normal()) * 8)) / 64
      case "all equal": 0.25
      case "all zero": 0
      case "mostly zero": index % 10 == 0 ? abs(generator.normal()) : 0
      default: Double(index % 50_000) * 0x1p-40 + 0.125
      }
    }
  }

  static let kinds = [
    "usual", "below the window", "above the window", "on both sides of it", "few values", "all equal",
    "all zero",
    "mostly zero", "close together",
  ]

  /// What the search finds, its elements taken in uneven parts and out of order.
  ///
  /// - Returns: the boundaries and the number of passes.
  static func found(
    _ ranks: [Rank], in keys: [Double], sample: KeySample? = nil, limit: Int = RankSelection.collectLimit
  ) -> (boundaries: [Boundary], passes: Int) {
    var selection = RankSelection(ranks: [ranks], count: keys.count, sample: sample, limit: limit)
    var passes = 0
    var room: [UInt64] = []
    while !selection.isComplete && passes < 12 {
      for start in stride(from: 0, to: keys.count, by: 7001).reversed() {
        var part = RankSelection.Part(of: selection)
        let piece = Array(keys[start..<min(start + 7001, keys.count)])
        part.add(piece.span, channel: 0, start: start, room: &room)
        selection.absorb(part)
      }
      selection.endPass()
      passes += 1
    }
    let results = selection.results
    return (ranks.indices.map { Boundary(results, at: $0) }, passes)
  }

  /// The keys at the runs of a sample.
  static func sample(of keys: [Double]) -> KeySample {
    let runs = KeySample.runs(of: [keys.count])[0]
    var sample = KeySample(channels: 1, count: runs.count * KeySample.runLength)
    for run in runs {
      let values = Array(keys[run])
      sample.add(values.span, channel: 0)
    }
    return sample
  }

  @Test(arguments: [
    [], [0], [127], [128], [1000], [8191], [8192], [20_000], [1000, 0, 5_000_000], [300, 127, 900],
    [9_000_000],
  ]) func runsOfASampleLieInTheirTensorsAndApart(counts: [Int]) {
    let runs = KeySample.runs(of: counts)
    #expect(runs.count == counts.count)
    for (own, count) in zip(runs, counts) {
      #expect(own.allSatisfy { $0.count == KeySample.runLength })
      var end = 0
      for run in own {
        #expect(run.lowerBound >= end)
        end = run.upperBound
      }
      #expect(end <= count)
    }
    let (taken, total) = (runs.joined().count * KeySample.runLength, counts.reduce(0, +))
    #expect(taken <= max(8192, min(65_536, total / 64)))
    if counts.count == 1 { #expect(taken >= min(total, 8192) / KeySample.runLength * KeySample.runLength) }
  }

  @Test(arguments: kinds, [(20_000, false), (150_000, false), (150_000, true)])
  func ranksAreThoseOfASort(kind: String, size: (count: Int, isSampled: Bool)) {
    let count = size.count
    let keys = Self.keys(kind, count)
    // By key, and of equal ones from the last place to the first.
    let order = keys.indices.sorted { keys[$0] < keys[$1] || (keys[$0] == keys[$1] && $0 > $1) }
    let ranks = [0, 1, count / 3, count / 2, count - 2, count - 1]
    let found = Self.found(
      ranks.map(Rank.place), in: keys, sample: size.isSampled ? Self.sample(of: keys) : nil, limit: 100_000
    ).boundaries
    for (rank, boundary) in zip(ranks, found) {
      let place = order[rank]
      #expect(boundary.key == keys[place], "\(kind), rank \(rank)")
      // Keys of 0 are not told apart.
      #expect(boundary.index == (keys[place] == 0 ? count - 1 : place), "\(kind), rank \(rank)")
    }
  }

  @Test(arguments: kinds, [(20_000, false), (150_000, false), (150_000, true)])
  func sharesAreOfTheKeysThatAreNotZero(kind: String, size: (count: Int, isSampled: Bool)) {
    let count = size.count
    let keys = Self.keys(kind, count)
    let sample = size.isSampled ? Self.sample(of: keys) : nil
    let order = keys.indices.sorted { keys[$0] < keys[$1] || (keys[$0] == keys[$1] && $0 > $1) }
    let moved = keys.count { $0 != 0 }
    for share in [0, 0.3, 0.5, 1] {
      let boundary = Self.found([.greatest(share: share)], in: keys, sample: sample).boundaries[0]
      let kept = Int((Double(moved) * share).rounded(.down))
      guard kept > 0 else {
        #expect(boundary.key == .infinity, "\(kind), \(share)")
        continue
      }
      let place = order[count - kept]
      #expect(boundary.key == keys[place] && boundary.index == place, "\(kind), \(share)")
    }
  }

  @Test(arguments: ["usual", "below the window", "above the window"])
  func withASampleOnePassIsEnough(kind: String) {
    let keys = Self.keys(kind, 150_000)
    let sorted = keys.sorted()
    let ranks = [0, 75_000, 149_985]
    let (boundaries, passes) = Self.found(
      ranks.map(Rank.place), in: keys, sample: Self.sample(of: keys), limit: 100_000)
    #expect(passes == 1 && boundaries.map(\.key) == ranks.map { sorted[$0] })
  }

  /// A sample that knows nothing of most keys, and one from which too much would be collected.
  @Test func aSampleThatMisleadsCostsPassesAndNothingElse() {
    var keys = [Double](repeating: 3, count: 200_000)
    for (place, index) in keys.indices.enumerated() { keys[index] += Double(place % 1000) * 0.001 }
    let sample = Self.sample(of: keys)
    let others = keys.indices.map { 5 + Double($0) * 1e-6 }
    let sorted = others.sorted()
    for rank in [50_000, 199_999] {
      let (boundaries, passes) = Self.found([.place(rank)], in: others, sample: sample)
      #expect(passes > 1 && boundaries[0].key == sorted[rank])
    }
    let equal = [Double](repeating: 0.25, count: 200_000)
    let (boundaries, passes) = Self.found([.place(7)], in: equal, sample: Self.sample(of: equal))
    #expect(passes > 1 && boundaries[0] == Boundary([0.25, 199_992], at: 0))
  }
}
