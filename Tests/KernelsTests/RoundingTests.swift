import TensorCore
import TestSupport
import Testing

@testable import Kernels

/// The counts of what rounding did, held to the scalar twin on every instruction set.
@Suite struct RoundingTests {
  static func counts(_ values: [Double], base: [Double], as type: ElementType) -> RoundingCounts {
    func rounded(_ values: [Double]) -> [UInt8] {
      // At an odd address.
      var bytes = [UInt8](repeating: 0, count: 1 + type.byteCount(ofElements: values.count))
      var span = bytes.mutableSpan
      narrow(values.span, to: type, into: &span, at: 1)
      return bytes
    }
    let (to, from) = (rounded(values), rounded(base))
    var counts = RoundingCounts()
    countRounding(
      of: values.span, to: to.span.extracting(1..<to.count), as: type, base: base.span,
      roundedBase: from.span.extracting(1..<from.count), into: &counts)
    return counts
  }

  static func expected(_ values: [Double], base: [Double]?, as type: ElementType) -> RoundingCounts {
    values.indices.reduce(into: RoundingCounts()) {
      $0.add(ScalarReference.rounding(of: values[$1], base: base?[$1], to: type))
    }
  }

  /// Values of every size that the type has and beyond on both sides, deltas from nothing to a whole.
  static func samples(_ count: Int, _ type: ElementType, seed: UInt64) -> (values: [Double], base: [Double]) {
    var generator = SeededGenerator(seed: seed)
    let specials: [Double] = [0, -0.0, .infinity, -.infinity, .nan, 1e300, -1e300, 1e-300, -1e-300, 70_000]
    var (values, base): ([Double], [Double]) = ([], [])
    for _ in 0..<count {
      let size = Double(sign: .plus, exponent: Int.random(in: -160...140, using: &generator), significand: 1)
      let plain = generator.normal() * (generator.next() % 4 == 0 ? size : 0.02)
      let from = generator.next() % 16 == 0 ? specials.randomElement(using: &generator)! : plain
      let step = [0, 0, 1e-9, 1e-5, 1e-3, 0.01, 1].randomElement(using: &generator)!
      let to = from + step * plain
      base.append(from)
      values.append(generator.next() % 32 == 0 ? specials.randomElement(using: &generator)! : to)
    }
    return (values, base)
  }

  @Test(arguments: ConversionTests.types) func countsAreTheTwins(type: ElementType) async {
    for length in CombinationTests.lengths + [4096] {
      let (values, base) = Self.samples(length, type, seed: UInt64(length) &* 31 &+ UInt64(type.bitWidth))
      let expected = Self.expected(values, base: base, as: type)
      let alone = Self.expected(values, base: nil, as: type)
      await onEveryInstructionSet { _ in
        #expect(Self.counts(values, base: base, as: type) == expected, "\(length) elements")
        #expect(Self.counts(values, base: [], as: type) == alone, "\(length) elements")
      }
    }
  }

  /// What the counts mean, in numbers that can be followed by hand: BF16 has steps of 2^-7 from 1 on.
  @Test func theCountsAreWhatTheirNamesSay() {
    let base = [1.0, 1, 1, 1, 0, 0.0, 2, 0, 0, 0]
    let values = [1.0, 1.001, 1.01, 3e38 * 2, 1e-60, -0.0, -1e-60, .infinity, -.infinity, .nan]
    let counts = Self.counts(values, base: base, as: .bf16)
    // 1.001 goes back to 1, and 1e-60 to 0, where the base is.
    #expect(counts.moved == 7 && counts.vanished == 2 && counts.overflowed == 1 && counts.underflowed == 2)
    #expect(counts.nonFinite == 3)
    #expect(Self.counts(values, base: base, as: .f64).nonFinite == 3)
  }

  @Test func everyPatternOfTheSmallTypesIsCountedAlike() {
    for type in ConversionTests.narrow {
      let all = (0..<UInt64(1) << type.bitWidth).map { ScalarReference.widened($0, as: type) }
      let counts = Self.counts(all, base: all, as: type)
      // What the type has itself is never lost.
      var expected = RoundingCounts()
      expected.nonFinite = all.count { !$0.isFinite }
      #expect(counts == expected)
    }
  }
}
