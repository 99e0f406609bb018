import Kernels

extension RankSelection {
  /// What one worker counts and collects over some of the elements.
  public struct Part: Sendable {
    private let requests: [Request]
    fileprivate(set) var histograms: [[UInt32]]
    fileprivate(set) var zeros: [Int]
    /// What has been found in the ranges in which keys are collected, which are ordered by channel; and which requests
    /// they are.
    private(set) var found: [FoundKeys]
    let rangePlaces: [Int]
    private let ranges: [KeyRange]

    /// Nothing yet, of the pass at hand.
    public init(of selection: RankSelection) {
      let requests = selection.requests
      self.requests = requests
      histograms = requests.map { $0.emptyRange == nil ? Array(repeating: 0, count: 65_536) : [] }
      zeros = requests.map { _ in 0 }
      rangePlaces = requests.indices.filter { requests[$0].emptyRange != nil }.sorted {
        (requests[$0].channel, $0) < (requests[$1].channel, $1)
      }
      ranges = rangePlaces.map { requests[$0].emptyRange! }
      found = ranges.map(FoundKeys.init)
    }

    /// Takes the keys of a channel whose places start at `start`.
    ///
    /// - Parameter room: scratch, which is grown as needed.
    public mutating func add(_ values: Span<Double>, channel: Int, start: Int, room: inout [UInt64]) {
      for (place, empty) in ranges.enumerated() where empty.channel == channel {
        var range = empty
        range.add(values, start: start, room: &room)
        found[place].absorb(range)
      }
      for index in requests.indices where requests[index].channel == channel {
        let request = requests[index]
        switch request.kind {
        case .range: break
        case .window: zeros[index] += Self.countInWindow(values, in: &histograms[index])
        case .keys(let width): Self.count(values, request, width: width, in: &histograms[index])
        case .places(let prefix):
          Self.countPlaces(values, request, prefix, start: start, in: &histograms[index])
        }
      }
    }

    /// Takes all keys of some stored elements, if they are only to be collected.
    ///
    /// - Parameter allowsNonFinite: false to take none if a value is NaN or infinite.
    /// - Returns: true if it has taken them.
    mutating func add(
      _ elements: StoredElements, _ range: Range<Int>, by keys: StoredKeys, start: Int,
      allowsNonFinite: Bool, room: inout [UInt64]
    ) -> Bool {
      guard ranges.count == requests.count else { return false }
      var own = ranges
      let isFound = elements.collect(range, by: keys, start: start, into: &own, room: &room)
      guard !isFound || allowsNonFinite else { return false }
      for place in own.indices { found[place].absorb(own[place]) }
      return true
    }

    private static func count(
      _ values: Span<Double>, _ request: Request, width: Int, in histogram: inout [UInt32]
    ) {
      var bins = histogram.mutableSpan
      _ = addHistogram(of: values, shift: request.shift, width: width, prefix: request.prefix, to: &bins)
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
  }
}
