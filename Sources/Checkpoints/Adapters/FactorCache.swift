import TensorCore

/// Keeps the widened factors of an adapter that were used last, within a limit.
///
/// The workers of a streaming pass are at about the same tensor, so a few factors serve all of them.
final class FactorCache: Sendable {
  /// The bytes that are kept, unless one factor alone takes more.
  static let byteLimit = 8 << 20

  /// One factor's values, row-major.
  final class Factor: Sendable {
    let values: [Double]

    init(_ values: [Double]) { self.values = values }

    /// Bytes of a factor of so many values.
    static func byteCount(_ count: Int) -> Int { 8 * count }
  }

  /// The most bytes that are in use for factors of these sizes: those kept, and one that is being loaded.
  static func byteCount(ofFactors sizes: [Int]) -> Int {
    let largest = sizes.max() ?? 0
    return min(sizes.reduce(0, +), max(byteLimit, largest) + largest)
  }

  /// The factors by their keys, the least recently used first.
  private let entries = Locked<[(key: Int, factor: Factor)]>([])

  /// The factor of a key, loaded if it isn't there. While one worker loads, the others wait: most want the same.
  func factor(
    of key: Int, load: () throws(EmbedFuseError) -> [Double]
  ) throws(EmbedFuseError) -> Factor {
    try entries.withLock { entries throws(EmbedFuseError) in
      if let place = entries.firstIndex(where: { $0.key == key }) {
        let entry = entries.remove(at: place)
        entries.append(entry)
        return entry.factor
      }
      let factor = Factor(try load())
      var total = entries.reduce(factor.values.count) { $0 + $1.factor.values.count }
      while Factor.byteCount(total) > Self.byteLimit, let oldest = entries.first {
        total -= oldest.factor.values.count
        entries.removeFirst()
      }
      entries.append((key, factor))
      return factor
    }
  }
}
