import Kernels

/// Finds the elements at certain ranks among many, exactly and in bounded memory: a radix search over the bit patterns
/// of their keys, which takes the keys once a pass in any order.
///
/// A pass counts the keys by 16 bits within the part of the order that is left, or, once few are left, collects them; the
/// first counts by a window around the sizes that are common, and goes for nothing where a key outside is looked for. Two
/// passes are the rule. Where more keys are equal than can be collected, the search goes on over the bits of their
/// places. The order is by key and then from the last place to the first, as `Boundary` has it; keys of 0 are not told
/// apart, their place being the last.
public struct RankSelection: Sendable {
  /// The most keys that are collected for one rank: half a megabyte.
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
      /// Keys and places.
      case all
    }
    let channel: Int
    let kind: Kind
    let shift: Int
    let prefix: UInt64
  }

  /// One rank that is looked for.
  private struct Target: Sendable {
    var request: Request
    /// The share of the keys other than 0 from whose first on it counts, until that is known.
    var share: Double?
    /// The rank among those that are left.
    var rank: Int
    var result: (key: Double, place: Int)?
  }

  private var targets: [Target] = []
  private let count: Int
  /// The pass at hand: what is asked for, and what has come.
  private(set) var requests: [Request] = []
  private var histograms: [[Int]] = []
  private var zeros: [Int] = []
  private var found: [(keys: [UInt64], places: [UInt64])] = []

  /// A search for ranks among `count` elements, by channel.
  public init(ranks: [[Rank]], count: Int) {
    self.count = count
    for (channel, ranks) in ranks.enumerated() {
      for rank in ranks {
        let few = count <= Self.collectLimit
        let request = Request(channel: channel, kind: few ? .all : .window, shift: few ? 64 : 0, prefix: 0)
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
    histograms = requests.map { $0.kind == .all ? [] : Array(repeating: 0, count: 65_536) }
    zeros = requests.map { _ in 0 }
    found = requests.map { _ in ([], []) }
  }

  /// Takes in what a part of the elements has given.
  public mutating func absorb(_ part: Part) {
    for index in requests.indices {
      if requests[index].kind == .all {
        found[index].keys += part.keys[index]
        zeros[index] += part.keys[index].count { $0 == 1 << 63 }
        found[index].places += part.places[index]
      } else {
        Self.add(part.histograms[index], to: &histograms[index])
        zeros[index] += part.zeros[index]
      }
    }
  }

  private static func add(_ counts: [UInt32], to histogram: inout [Int]) {
    for bin in histogram.indices { histogram[bin] += Int(counts[bin]) }
  }

  /// Ends a pass over all elements and goes on to the next, if one is needed.
  public mutating func endPass() {
    for index in targets.indices where targets[index].result == nil {
      let place = requests.firstIndex(of: targets[index].request)!
      resolveShare(of: &targets[index], zeros: zeros[place])
      guard targets[index].result == nil else { continue }
      switch targets[index].request.kind {
      case .all: targets[index].result = element(at: targets[index].rank, of: found[place])
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

  private func element(at rank: Int, of found: (keys: [UInt64], places: [UInt64])) -> (Double, Int) {
    guard found.keys.indices.contains(rank) else { return (.nan, 0) }
    var keys = found.keys
    let key = Self.select(rank, of: &keys)
    // Equal keys stand from the last place to the first.
    let before = found.keys.count { $0 < key }
    let equal = zip(found.keys, found.places).filter { $0.0 == key }.map(\.1).sorted(by: >)
    let value = number(orderedBits: key)
    return (value, value == 0 ? count - 1 : Int(equal[rank - before]))
  }

  /// The value at a rank, by quickselect; the values are put into another order.
  private static func select(_ rank: Int, of values: inout [UInt64]) -> UInt64 {
    var (low, high) = (0, values.count - 1)
    while low < high {
      let pivot = median(values[low], values[(low + high) / 2], values[high])
      var (i, j) = (low, high)
      while i <= j {
        while values[i] < pivot { i += 1 }
        while values[j] > pivot { j -= 1 }
        if i <= j {
          values.swapAt(i, j)
          i += 1
          j -= 1
        }
      }
      if rank <= j { high = j } else if rank >= i { low = i } else { return values[rank] }
    }
    return values[rank]
  }

  private static func median(_ a: UInt64, _ b: UInt64, _ c: UInt64) -> UInt64 {
    max(min(a, b), min(max(a, b), c))
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
      target.request = Request(
        channel: target.request.channel, kind: .keys(width: 16), shift: 48, prefix: 0)
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
    if inside <= Self.collectLimit {
      target.request = Request(channel: channel, kind: .all, shift: shift, prefix: prefix)
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

extension RankSelection {
  /// What one worker counts and collects over some of the elements.
  public struct Part: Sendable {
    fileprivate let requests: [Request]
    fileprivate var histograms: [[UInt32]]
    fileprivate var zeros: [Int]
    fileprivate var keys: [[UInt64]]
    fileprivate var places: [[UInt64]]
    private var room: (keys: [UInt64], places: [UInt64]) = ([], [])

    /// Nothing yet, of the pass at hand.
    public init(of selection: RankSelection) {
      requests = selection.requests
      histograms = requests.map { $0.kind == .all ? [] : Array(repeating: 0, count: 65_536) }
      zeros = requests.map { _ in 0 }
      keys = requests.map { _ in [] }
      places = keys
    }

    private static func count(
      _ values: Span<Double>, _ request: Request, width: Int, in histogram: inout [UInt32]
    ) -> Int {
      var bins = histogram.mutableSpan
      return addHistogram(
        of: values, shift: request.shift, width: width, prefix: request.prefix, to: &bins)
    }

    private static func countInWindow(_ values: Span<Double>, in histogram: inout [UInt32]) -> Int {
      var bins = histogram.mutableSpan
      return KeyWindow.addHistogram(of: values, to: &bins)
    }

    private static func countPlaces(
      _ values: Span<Double>, _ request: Request, _ prefix: UInt64, start: Int, in histogram: inout [UInt32]
    ) {
      var bins = histogram.mutableSpan
      addPlaceHistogram(
        of: values, key: request.prefix, start: start, shift: request.shift, prefix: prefix, to: &bins)
    }

    /// Takes the keys of a channel whose places start at `start`.
    public mutating func add(_ values: Span<Double>, channel: Int, start: Int) {
      for index in requests.indices where requests[index].channel == channel {
        let request = requests[index]
        switch request.kind {
        case .window: zeros[index] += Self.countInWindow(values, in: &histograms[index])
        case .keys(let width): _ = Self.count(values, request, width: width, in: &histograms[index])
        case .all:
          if room.keys.count <= values.count {
            room = (
              Array(repeating: 0, count: values.count + 1), Array(repeating: 0, count: values.count + 1)
            )
          }
          let count = collect(
            values, shift: request.shift, prefix: request.prefix, start: start, into: &room.keys,
            places: &room.places)
          keys[index] += room.keys[..<count]
          places[index] += room.places[..<count]
        case .places(let prefix):
          Self.countPlaces(values, request, prefix, start: start, in: &histograms[index])
        }
      }
    }
  }
}
