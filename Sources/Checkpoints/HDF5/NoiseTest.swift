/// Tells from samples how many of a chunk's first planes are noise, as the lowest bytes of weights are, of which entropy
/// coding would save no more than a hundredth.
///
/// The samples stand at fixed places, so that the answer doesn't depend on the pieces in which the chunk comes: in a head
/// that has to come at once, and then in segments, of which any may show that none is noise throughout.
struct NoiseTest {
  /// Elements of the head, which decides what is noise to begin with.
  static let headLength = 1 << 15
  private static let segmentLength = 1 << 17
  /// Samples that stand next to each other, so that they come in one line of the cache.
  private static let neighbours = 8

  /// How many of the first planes are noise, as far as they have come.
  private(set) var planes: Int
  private let width: Int
  /// How often each byte came in each plane, among how many samples of the segment at hand.
  private var counts: [UInt32]
  private var samples = 0
  /// The element where the next sample is taken, and where the segment ends.
  private var next = 0
  private var end = headLength

  /// A test of chunks whose elements have `width` bytes, all of which are to be looked at.
  init(width: Int) {
    (planes, self.width) = (width, width)
    counts = [UInt32](repeating: 0, count: 256 * width)
  }

  /// Takes the elements that begin with number `first`: all those before have been taken, and the head comes at once.
  mutating func take(_ values: Span<UInt8>, at first: Int) {
    guard planes > 0 else { return }
    let count = values.count / width
    while planes > 0 {
      // Prime numbers of neighbourhoods apart, so that they don't keep to a few columns.
      let distance = (end == Self.headLength ? 17 : 271) * Self.neighbours
      while next < min(end, first + count) {
        let start = (next - first) * width
        for plane in 0..<planes { counts[plane << 8 | Int(values[start + plane])] += 1 }
        samples += 1
        next += samples % Self.neighbours == 0 ? distance - Self.neighbours + 1 : 1
      }
      guard first + count >= end else { return }
      // Samples of noise vary by several hundredths; where it turns into something else, that is quite different.
      if end == Self.headLength {
        planes = (0..<planes).first { !isNoise($0, percent: 15) } ?? planes
      } else if !(0..<planes).allSatisfy({ isNoise($0, percent: 40) }) {
        planes = 0
      }
      for index in counts.indices { counts[index] = 0 }
      (samples, next, end) = (0, end, end + Self.segmentLength)
    }
  }

  /// True if two samples of a plane are equal no more than `percent` more often than in noise.
  private func isNoise(_ plane: Int, percent: Int) -> Bool {
    let squares = counts[plane << 8..<(plane + 1) << 8].reduce(0) { $0 + Int($1) * Int($1) }
    // The expected sum of squares is that of the means and of the variances, nearly one for each sample.
    return 25_600 * (squares - samples) < samples * samples * (100 + percent)
  }
}
