/// Tells from samples how many of a chunk's first planes are noise, as the lowest bytes of weights are, of which entropy
/// coding would save no more than a hundredth.
///
/// The samples stand at fixed places, so that the answer doesn't depend on the pieces in which the chunk comes: in a head
/// that has to come at once, and then in segments, of which any may show that none is noise throughout.
struct NoiseTest {
  /// Elements of the head, which decides what is noise to begin with.
  static let headLength = 1 << 15
  /// Elements of a segment; the last has up to half as many more.
  private static let segmentLength = 1 << 17
  /// Samples that stand next to each other, so that they come in one line of the cache.
  private static let neighbours = 8
  /// Samples that tell something.
  private static let fewestSamples = 256

  /// How many of the first planes are noise, as far as they have come.
  private(set) var planes: Int
  private let width: Int
  private let count: Int
  /// How often each byte came in each plane, among how many samples of the segment at hand.
  private var counts: [UInt32]
  private var samples = 0
  /// The element where the next sample is taken.
  private var next = 0
  /// The elements of the head or the segment at hand.
  private var segment = 0..<headLength

  /// A test of chunks of `count` elements of `width` bytes, all of which are to be looked at.
  init(width: Int, count: Int) {
    (planes, self.width, self.count) = (width, width, count)
    counts = [UInt32](repeating: 0, count: 256 * width)
  }

  /// Takes the elements that begin with number `first`: all those before have been taken, and the head comes at once.
  mutating func take(_ values: Span<UInt8>, at first: Int) {
    guard planes > 0 else { return }
    let last = first + values.count / width
    while planes > 0, !segment.isEmpty {
      // Odd, so that the samples don't keep to a few columns of a table.
      let distance = max(Self.neighbours, segment.count / (segment.lowerBound == 0 ? 240 : 60)) | 1
      while next < min(segment.upperBound, last) {
        let start = (next - first) * width
        for plane in 0..<planes { counts[plane << 8 | Int(values[start + plane])] += 1 }
        samples += 1
        next += samples % Self.neighbours == 0 ? distance - Self.neighbours + 1 : 1
      }
      guard last >= segment.upperBound else { return }
      conclude()
    }
  }

  /// Judges by the samples of a segment, and goes on to the next.
  private mutating func conclude() {
    // Samples of noise vary by several hundredths; where it turns into something else, that is quite different.
    if segment.lowerBound == 0 {
      planes = (0..<planes).first { !isNoise($0, percent: 15) } ?? planes
    } else if samples >= Self.fewestSamples, !(0..<planes).allSatisfy({ isNoise($0, percent: 40) }) {
      planes = 0
    }
    for index in counts.indices { counts[index] = 0 }
    let start = segment.upperBound
    let isLast = count - start < Self.segmentLength / 2 * 3
    (samples, next, segment) = (0, start, start..<(isLast ? count : start + Self.segmentLength))
  }

  /// True if two samples of a plane are equal no more than `percent` more often than in noise.
  private func isNoise(_ plane: Int, percent: Int) -> Bool {
    let squares = counts[plane << 8..<(plane + 1) << 8].reduce(0) { $0 + Int($1) * Int($1) }
    // The expected sum of squares is that of the means and of the variances, nearly one for each sample.
    return 25_600 * (squares - samples) < samples * samples * (100 + percent)
  }
}
