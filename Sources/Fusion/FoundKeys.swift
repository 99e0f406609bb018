import Kernels

/// What has been found of the keys of a range in several parts of the elements.
struct FoundKeys: Sendable {
  /// The range, with nothing in it.
  let range: KeyRange
  /// How many keys are below it.
  private(set) var below = 0
  /// How many keys are 0.
  private(set) var zeros = 0
  /// How many keys have been found in it.
  private(set) var count = 0
  /// The parts that have some; none if there are more than were wanted.
  private var parts: [KeyRange] = []
  private(set) var isComplete = true

  /// Nothing yet.
  init(_ range: KeyRange) {
    self.range = range
  }

  /// Takes in what was found in a part of the elements.
  mutating func absorb(_ part: KeyRange) {
    below += part.below
    zeros += part.zeros
    count += part.keys.count
    isComplete = isComplete && part.isComplete && count <= range.limit
    if !isComplete { parts = [] } else if !part.keys.isEmpty { parts.append(part) }
  }

  /// Takes in what was found in several.
  mutating func absorb(_ other: FoundKeys) {
    below += other.below
    zeros += other.zeros
    count += other.count
    isComplete = isComplete && other.isComplete && count <= range.limit
    parts = isComplete ? parts + other.parts : []
  }

  /// How many of the keys come before one.
  func count(before key: UInt64) -> Int {
    parts.reduce(0) { sum, part in sum + part.keys.count { $0 < key } }
  }

  /// The key at a rank and its place; equal keys stand from the last place to the first.
  func element(at rank: Int) -> (key: UInt64, place: Int) {
    var keys: [UInt64] = []
    keys.reserveCapacity(count)
    for part in parts { keys += part.keys }
    let key = select(rank, among: 0..<count, of: &keys)
    var places: [UInt64] = []
    for part in parts {
      for index in part.keys.indices where part.keys[index] == key { places.append(part.places[index]) }
    }
    places.sort(by: >)
    return (key, Int(places[rank - count(before: key)]))
  }
}
