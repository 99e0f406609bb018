import Kernels

/// Finds the elements at certain ranks among many, exactly and in bounded memory: a radix search over the bit patterns
/// of their keys, which takes the keys once a pass in any order.
///
/// A pass counts the keys by 16 bits within the part of the order that is left, or, once few are left, collects them. Where
/// a sample of the keys is given, the first pass collects what lies about the ranks' places in it; if a rank then turns
/// out to be elsewhere, or too many are collected, it goes for nothing. The first pass after that counts by a window around
/// the sizes that are common, and goes for nothing where a key outside is looked for. So with a sample one pass is the rule,
/// without one two are. Where more keys are equal than can be collected, the search goes on over the bits of their
/// places. The order is by key and then from the last place to the first, as `Boundary` has it; keys of 0 are not told
/// apart, their place being the last.
public struct RankSelection: Sendable {
  /// The most keys that are collected for one rank where there is no sample: half a megabyte.
  public static let collectLimit = 32_768

  /// What is counted or collected in a pass.
  struct Request: Sendable, Hashable {
    enum Kind: Sendable, Hashable {
      /// Keys by their places in the window.
      case window
      /// Keys by so many bits from `shift` on.
      case keys(width: Int)
      /// The places of the keys that are `prefix`, by the 16 bits from `shift` on, within those that start as `places`.
      case places(UInt64)
      /// Keys and places of what lies between these ordered bits.
      case range(ClosedRange<UInt64>)
    }
    let channel: Int
    let kind: Kind
    var shift = 0
    var prefix: UInt64 = 0
    /// The most keys that are collected.
    var limit = RankSelection.collectLimit

    /// Where keys are collected, nothing yet; nil if they are counted.
    var emptyRange: KeyRange? {
      guard case .range(let range) = kind else { return nil }
      return KeyRange(channel: channel, bits: range, limit: limit)
    }
  }

  /// One rank that is looked for.
  private struct Target: Sendable {
    var request: Request
    /// The share of the keys other than 0 from whose first on it counts, until that is known.
    var share: Double?
    /// The rank among those that are left.
    var rank: Int
    /// How many keys come before those.
    var passed = 0
    var result: (key: Double, place: Int)?
  }

  private var targets: [Target] = []
  private let count: Int
  /// The pass at hand: what is asked for, and what has come.
  private(set) var requests: [Request] = []
  private var histograms: [[Int]] = []
  private var zeros: [Int] = []
  /// Of each request that collects keys, what parts of the elements have given.
  private var found: [FoundKeys?] = []

  /// A search for ranks among `count` elements, by channel.
  ///
  /// - Parameters:
  ///   - sample: some of the keys, to begin with what lies about the ranks in it; nil for none.
  ///   - limit: the most keys that are then collected for all ranks.
  public init(ranks: [[Rank]], count: Int, sample: KeySample? = nil, limit: Int = Self.collectLimit) {
    self.count = count
    var left = limit
    for (channel, ranks) in ranks.enumerated() {
      for rank in ranks {
        var request = Request(channel: channel, kind: .window)
        if count <= Self.collectLimit {
          request = Request(channel: channel, kind: .range(0...UInt64.max))
        } else if let range = sample?.range(about: rank, channel: channel, count: count) {
          // A third more than is expected.
          let most = range.expectedCount * 4 / 3 + 4096
          if most <= left {
            request = Request(channel: channel, kind: .range(range.bits), limit: most)
            left -= most
          }
        }
        switch rank {
        case .place(let place): targets.append(Target(request: request, rank: place))
        case .greatest(let share): targets.append(Target(request: request, share: share, rank: 0))
        }
      }
    }
    beginPass()
  }

  /// True when all ranks have been found.
  public var isComplete: Bool { requests.isEmpty }

  /// Key and place of each rank, channel by channel.
  public var results: [Double] {
    targets.flatMap { [$0.result?.key ?? .nan, Double($0.result?.place ?? 0)] }
  }

  private mutating func beginPass() {
    requests = []
    for target in targets where target.result == nil && !requests.contains(target.request) {
      requests.append(target.request)
    }
    histograms = requests.map { $0.emptyRange == nil ? Array(repeating: 0, count: 65_536) : [] }
    zeros = requests.map { _ in 0 }
    found = requests.map { $0.emptyRange.map(FoundKeys.init) }
  }

  /// Takes in what a part of the elements has given.
  public mutating func absorb(_ part: Part) {
    for (place, keys) in zip(part.rangePlaces, part.found) { found[place]!.absorb(keys) }
    for index in requests.indices where found[index] == nil {
      Self.add(part.histograms[index], to: &histograms[index])
      zeros[index] += part.zeros[index]
    }
  }

  private static func add(_ counts: [UInt32], to histogram: inout [Int]) {
    for bin in histogram.indices { histogram[bin] += Int(counts[bin]) }
  }

  /// Ends a pass over all elements and goes on to the next, if one is needed.
  public mutating func endPass() {
    for index in targets.indices where targets[index].result == nil {
      let place = requests.firstIndex(of: targets[index].request)!
      resolveShare(of: &targets[index], zeros: found[place]?.zeros ?? zeros[place])
      guard targets[index].result == nil else { continue }
      switch targets[index].request.kind {
      case .range: settle(&targets[index], by: found[place]!)
      case .window: narrowWindow(&targets[index], by: histograms[place], zeros: zeros[place])
      case .keys(let width): narrowKeys(&targets[index], width: width, by: histograms[place])
      case .places: narrowPlaces(&targets[index], by: histograms[place])
      }
    }
    beginPass()
  }

  /// Makes a rank of a share, now that it is known how many keys are 0.
  private func resolveShare(of target: inout Target, zeros: Int) {
    guard let share = target.share else { return }
    let kept = Int((Double(count - zeros) * share).rounded(.down))
    target.share = nil
    target.rank = count - kept
    if kept == 0 { target.result = (.infinity, count - 1) }
  }

  /// Finds the key at the rank among those that were collected; if it isn't there the search starts anew.
  private func settle(_ target: inout Target, by found: FoundKeys) {
    let rank = target.rank + target.passed - found.below
    let zero = UInt64(1) << 63
    let zeros = found.range.bits.contains(zero) ? found.zeros : 0
    guard found.isComplete, (0..<found.count + zeros).contains(rank) else {
      target.rank += target.passed
      target.passed = 0
      target.request = Request(channel: found.range.channel, kind: .window)
      return
    }
    let negative = zeros == 0 ? 0 : found.count(before: zero)
    if (negative..<negative + zeros).contains(rank) {
      target.result = (0, count - 1)
    } else {
      let (key, place) = found.element(at: rank < negative ? rank : rank - zeros)
      let value = number(orderedBits: key)
      target.result = (value, value == 0 ? count - 1 : place)
    }
  }

  /// The bin that holds the rank, how many come before it and how many it holds.
  private func bin(of rank: Int, in histogram: [Int]) -> (bin: Int, before: Int, count: Int) {
    var before = 0
    for (bin, count) in histogram.enumerated() {
      if rank < before + count { return (bin, before, count) }
      before += count
    }
    return (histogram.count - 1, before, 0)
  }

  private func narrowWindow(_ target: inout Target, by histogram: [Int], zeros: Int) {
    let (bin, before, inside) = bin(of: target.rank, in: histogram)
    if bin == 0 && inside == zeros {
      target.result = (0, count - 1)
    } else if bin == 0 || bin == histogram.count - 1 {
      target.request = Request(channel: target.request.channel, kind: .keys(width: 16), shift: 48)
    } else {
      narrow(
        &target, to: KeyWindow.first + UInt64(bin), shift: KeyWindow.shift, before: before, inside: inside)
    }
  }

  private func narrowKeys(_ target: inout Target, width: Int, by histogram: [Int]) {
    let (bin, before, inside) = bin(of: target.rank, in: histogram)
    let prefix = target.request.prefix << UInt64(width) | UInt64(bin)
    narrow(&target, to: prefix, shift: target.request.shift, before: before, inside: inside)
  }

  /// Goes on among the `inside` keys whose ordered bits from `shift` on are `prefix`.
  private func narrow(_ target: inout Target, to prefix: UInt64, shift: Int, before: Int, inside: Int) {
    let channel = target.request.channel
    target.rank -= before
    target.passed += before
    if inside <= Self.collectLimit {
      let first = prefix << UInt64(shift)
      target.request = Request(channel: channel, kind: .range(first...(first | (1 << UInt64(shift) - 1))))
    } else if shift > 0 {
      let width = min(16, shift)
      target.request = Request(
        channel: channel, kind: .keys(width: width), shift: shift - width, prefix: prefix)
    } else {
      // All that are left are equal: from the last place to the first is from the first on, seen from the other end.
      target.rank = inside - 1 - target.rank
      let shift = count > 1 << 32 ? 32 : count > 1 << 16 ? 16 : 0
      target.request = Request(channel: channel, kind: .places(0), shift: shift, prefix: prefix)
    }
  }

  private func narrowPlaces(_ target: inout Target, by histogram: [Int]) {
    let old = target.request
    guard case .places(let start) = old.kind else { return }
    let (bin, before, _) = bin(of: target.rank, in: histogram)
    target.rank -= before
    let place = start << 16 | UInt64(bin)
    if old.shift == 0 {
      target.result = (number(orderedBits: old.prefix), Int(place))
    } else {
      target.request = Request(
        channel: old.channel, kind: .places(place), shift: old.shift - 16, prefix: old.prefix)
    }
  }
}
