import TensorCore
import TestSupport
import Testing

@testable import Kernels

/// What becomes of every pattern of 16 bits, and of every special value beside every other: the same bits on every
/// instruction set, NaN among them, and those of the scalar twin.
@Suite struct SpecialValueTests {
  /// Zeros, subnormals, the ends of the types' ranges, ties of rounding, infinities, and NaN of either sign.
  static let specials: [Double] = [
    0, -0.0, 1, -1, 0x1p-1074, -0x1p-1022, 0x1p-149, -0x1p-149, 0x1p-133, 0x1p-24, 0x1p-25, 65504, 65520,
    -65536,
    0x1.fffffep127, 0x1.ffffffp127, -0x1.fffffep127, 1 + 0x1p-8, 1 + 0x3p-8, 1 + 0x1p-24, 1 + 0x3p-24, 448,
    464,
    57344, 61440, .infinity, -.infinity, .nan, -.nan, .init(bitPattern: 0x7FF0_1234_0000_0001),
  ]

  /// The combinations of two inputs whose result depends on both, and their scalar twins.
  static let combinations: [(way: Combination, twin: @Sendable ([Double]) -> Double)] = [
    (
      .mean(coefficients: [1, 1], divisor: 2),
      { ScalarReference.weightedMean(of: $0, coefficients: [1, 1], divisor: 2) }
    ),
    (
      .deltas(weights: [0.7], scale: 1, isMean: false),
      { ScalarReference.combineDeltas(of: $0, weights: [0.7], scale: 1, isMean: false) }
    ),
    (
      .elementWeighted(scales: [1], priors: [1], power: 1, lambda: 0.8),
      { x in
        let weights = ScalarReference.elementWeights(of: x, scales: [1], priors: [1], power: 1)
        return ScalarReference.combineByElement(of: x, weights: weights, lambda: 0.8)
      }
    ),
  ]

  static func combined(
    _ inputs: [[UInt8]], of stored: ElementType, _ count: Int, by way: Combination, as type: ElementType
  ) -> [UInt8]? {
    var bytes = [UInt8](repeating: 0, count: type.byteCount(ofElements: count))
    var span = bytes.mutableSpan
    var lanes = [Double](repeating: 0, count: laneCount)
    var laneSpan = lanes.mutableSpan
    var counts = RoundingCounts()
    let found = StoredElements.with(inputs, types: inputs.map { _ in stored }, count: count) {
      $0.combine(
        0..<count, by: way, lanes: &laneSpan, hasBase: true, as: type, into: &span, at: 0, counts: &counts)
    }
    return found == nil ? nil : bytes
  }

  /// Every pattern beside itself and beside a number.
  @Test(arguments: [ElementType.bf16, .f16]) func everyPatternOf16BitsCombinesAsTheTwins(type: ElementType)
    async
  {
    let patterns = (0..<UInt64(65_536)).map { $0 }
    let values = patterns.map { ScalarReference.widened($0, as: type) }
    for partner in [nil, UInt64(0x3C01)] {
      let others = patterns.map { partner ?? $0 }
      let inputs = [patterns, others].map { ConversionTests.bytes($0, of: type) }
      for (way, twin) in Self.combinations {
        var expected: [UInt64] = []
        for i in values.indices {
          let other = ScalarReference.widened(others[i], as: type)
          expected.append(ScalarReference.narrowed(twin([values[i], other]), to: type))
        }
        let bytes = ConversionTests.bytes(expected, of: type)
        await onEveryInstructionSet { _ in
          #expect(Self.combined(inputs, of: type, patterns.count, by: way, as: type) == bytes, "\(way)")
        }
      }
    }
  }

  @Test(
    arguments: [ElementType.f64, .f32, .f16, .bf16],
    [ElementType.f64, .f32, .f16, .bf16, .f8E4M3, .f8E5M2FNUZ])
  func specialValuesCombineAsTheTwins(from: ElementType, type: ElementType) async {
    let first = Self.specials.flatMap { value in Self.specials.map { _ in value } }
    let second = Self.specials.flatMap { _ in Self.specials }
    let patterns = [first, second].map { $0.map { ScalarReference.narrowed($0, to: from) } }
    let inputs = patterns.map { ConversionTests.bytes($0, of: from) }
    for (way, twin) in Self.combinations {
      let expected = zip(patterns[0], patterns[1]).map { a, b in
        let values = [ScalarReference.widened(a, as: from), ScalarReference.widened(b, as: from)]
        return ScalarReference.narrowed(twin(values), to: type)
      }
      let bytes = ConversionTests.bytes(expected, of: type)
      await onEveryInstructionSet { _ in
        #expect(Self.combined(inputs, of: from, first.count, by: way, as: type) == bytes, "\(way)")
      }
    }
  }

  /// Numbers half way between two of binary32, normal and subnormal, and their binary64 neighbours.
  @Test func binary32RoundsTiesToEven() async {
    var generator = SeededGenerator(seed: 21)
    var probes: [Double] = []
    for _ in 0..<20_000 {
      let low = Float(bitPattern: UInt32(truncatingIfNeeded: generator.next()) & 0x7F7F_FFFE)
      let half = (Double(low) + Double(low.nextUp)) / 2
      probes += low.nextUp.isFinite ? [half, half.nextUp, half.nextDown, -half, -half.nextUp] : []
    }
    let expected = probes.map { UInt64(Float($0).bitPattern) }
    await onEveryInstructionSet { _ in #expect(ConversionTests.narrowed(probes, to: .f32) == expected) }
  }

  @Test(arguments: ConversionTests.types) func everyNaNIsRoundedToTheSameOne(type: ElementType) async {
    let probes = (0..<40).map { (i: UInt64) -> Double in
      let sign = (i % 2) << 63
      let payload = i << 40 | (i % 3) << 50
      return Double(bitPattern: 0x7FF0_0000_0000_0001 | sign | payload)
    }
    let canonical = ScalarReference.narrowed(.nan, to: type)
    await onEveryInstructionSet { _ in
      #expect(ConversionTests.narrowed(probes, to: type).allSatisfy { $0 == canonical })
      #expect(ConversionTests.widened([canonical], as: type).values[0].isNaN)
    }
  }
}
