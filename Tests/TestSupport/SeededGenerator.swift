/// SplitMix64: the same numbers for the same seed.
public struct SeededGenerator: RandomNumberGenerator {
  private var state: UInt64

  /// A generator with this seed.
  public init(seed: UInt64) {
    state = seed
  }

  /// The next number.
  public mutating func next() -> UInt64 {
    state &+= 0x9E37_79B9_7F4A_7C15
    var z = state
    z = (z ^ (z >> 30)) &* 0xBF58_476D_1CE4_E5B9
    z = (z ^ (z >> 27)) &* 0x94D0_49BB_1331_11EB
    return z ^ (z >> 31)
  }

  /// A number of about normal distribution: mean 0, standard deviation 1.
  public mutating func normal() -> Double {
    // Not by `Double.random` and ranges: their generic code is fifty times slower in a build for debugging.
    var sum = -18.0
    var left = 12
    while left > 0 {
      sum += Double(bitPattern: 0x3FF0_0000_0000_0000 | next() >> 12)
      left -= 1
    }
    return sum
  }

  // Loops rather than `map`, whose generic code takes most of the time of a test that needs a million values.

  /// So many numbers of about normal distribution.
  public mutating func normals(_ count: Int) -> [Double] {
    var values = [Double](repeating: 0, count: count)
    for index in values.indices { values[index] = normal() }
    return values
  }

  /// So many patterns of the bits of `mask`.
  public mutating func patterns(_ count: Int, mask: UInt64 = .max) -> [UInt64] {
    var values = [UInt64](repeating: 0, count: count)
    for index in values.indices { values[index] = next() & mask }
    return values
  }

  /// So many bytes, each of the bits of `mask`.
  public mutating func bytes(_ count: Int, mask: UInt8 = .max) -> [UInt8] {
    var values = [UInt8](repeating: 0, count: count)
    var (index, bits): (Int, UInt64) = (0, 0)
    while index < count {
      bits = index % 8 == 0 ? next() : bits >> 8
      values[index] = UInt8(truncatingIfNeeded: bits) & mask
      index += 1
    }
    return values
  }
}
