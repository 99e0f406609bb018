import CKernels

/// The keys of one channel that lie between two bounds, as they are found, and how many lie below.
public struct KeyRange: Sendable, Hashable {
  /// The channel.
  public let channel: Int
  /// The ordered bits of the keys, both ends included.
  public let bits: ClosedRange<UInt64>
  /// The most keys that are wanted: if there are more, none is kept.
  public let limit: Int
  /// How many keys are below.
  public var below = 0
  /// How many keys are 0, wherever the bounds are.
  public var zeros = 0
  /// The ordered bits of the keys other than 0 that lie between the bounds.
  public var keys: [UInt64] = []
  /// Their places.
  public var places: [UInt64] = []

  /// Nothing found yet.
  public init(channel: Int, bits: ClosedRange<UInt64>, limit: Int = .max - 1) {
    self.channel = channel
    self.bits = bits
    self.limit = limit
  }

  /// False if more keys have been found than were wanted.
  public private(set) var isComplete = true

  /// Takes keys whose places start at `start`.
  ///
  /// - Parameter room: scratch, which is grown as needed.
  public mutating func add(_ values: Span<Double>, start: Int, room: inout [UInt64]) {
    let count = values.count
    if room.count < 2 * count { room = Array(repeating: 0, count: 2 * count) }
    var counts: [UInt64] = [0, 0]
    unsafe values.withUnsafeBufferPointer { values in
      guard let first = values.baseAddress else { return }
      unsafe room.withUnsafeMutableBufferPointer { room in
        let found = unsafe ck_collect(
          first, count, bits.lowerBound, bits.upperBound, UInt64(start), room.baseAddress!,
          room.baseAddress! + count, &counts)
        unsafe append(room.extracting(0..<found), room.extracting(count..<count + found))
      }
    }
    below += Int(counts[0])
    zeros += Int(counts[1])
  }

  fileprivate mutating func append(
    _ keys: UnsafeMutableBufferPointer<UInt64>, _ places: UnsafeMutableBufferPointer<UInt64>
  ) {
    guard isComplete, self.keys.count + keys.count <= limit else {
      return forgetKeys()
    }
    unsafe self.keys.append(contentsOf: keys)
    unsafe self.places.append(contentsOf: places)
  }

  /// Gives the keys up, since there are too many.
  private mutating func forgetKeys() {
    isComplete = false
    keys = []
    places = []
  }
}

/// The number that a sort of the numbers at `places` would bring to `rank`. Within these places the lesser ones stand
/// before it afterwards and the greater ones behind it.
public func select(_ rank: Int, among places: Range<Int>, of numbers: inout [UInt64]) -> UInt64 {
  precondition(places.contains(rank) && places.lowerBound >= 0 && places.upperBound <= numbers.count)
  return unsafe numbers.withUnsafeMutableBufferPointer { numbers in
    unsafe ck_select(
      numbers.baseAddress! + places.lowerBound, places.count, rank - places.lowerBound)
  }
}

/// Keys that kernels take from stored elements by themselves.
public enum StoredKeys: Sendable, Hashable {
  /// The sizes |δ_k|, channel k.
  case deltaSizes
  /// The population variance of all models' deltas, the only channel.
  case deltaVariances
}

extension StoredElements {
  /// Elements for whose keys there is room at a time, for each range.
  private static let pieceLength = 4096

  /// Adds to ranges, which are ordered by channel, what lies in them: the same as `KeyRange.add` with the keys of widened
  /// elements.
  ///
  /// - Parameters:
  ///   - elements: those concerned; input 0 is the base.
  ///   - start: the place of the first of them.
  ///   - room: scratch, which is grown as needed.
  /// - Returns: true if a value of an input is NaN or infinite.
  public func collect(
    _ elements: Range<Int>, by keys: StoredKeys, start: Int, into ranges: inout [KeyRange],
    room: inout [UInt64]
  ) -> Bool {
    check(elements)
    let length = Self.pieceLength
    precondition(ranges.allSatisfy { $0.channel >= 0 && $0.channel < modelCount })
    if room.count < 2 * length * ranges.count { room = Array(repeating: 0, count: 2 * length * ranges.count) }
    var found = false
    for first in stride(from: elements.lowerBound, to: elements.upperBound, by: length) {
      unsafe room.withUnsafeMutableBufferPointer { room in
        var kernelRanges = unsafe ranges.indices.map { r in
          unsafe ck_range(
            channel: ranges[r].channel, low: ranges[r].bits.lowerBound, high: ranges[r].bits.upperBound,
            counts: (0, 0), found: 0, keys: room.baseAddress! + 2 * r * length,
            places: room.baseAddress! + (2 * r + 1) * length)
        }
        let isFound = unsafe withSources { sources in
          unsafe ck_stored_collect(
            sources, modelCount + 1, keys == .deltaSizes ? CK_SIZES : CK_VARIANCES, first,
            UInt64(start + first - elements.lowerBound), &kernelRanges, ranges.count,
            min(length, elements.upperBound - first)) != 0
        }
        found = isFound || found
        for r in ranges.indices {
          let (counts, number) = unsafe (kernelRanges[r].counts, kernelRanges[r].found)
          ranges[r].below += Int(counts.0)
          ranges[r].zeros += Int(counts.1)
          let place = 2 * r * length
          unsafe ranges[r].append(
            room.extracting(place..<place + number),
            room.extracting(place + length..<place + length + number))
        }
      }
    }
    return found
  }
}
