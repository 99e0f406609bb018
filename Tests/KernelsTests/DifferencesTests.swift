import TestSupport
import Testing

@testable import Kernels

/// Differences of stored numbers, held to the scalar twin on every instruction set.
@Suite struct DifferencesTests {
  private static func bytes(_ values: [UInt64], width: Int) -> [UInt8] {
    var bytes = [UInt8](repeating: 0, count: values.count * width)
    for index in bytes.indices {
      bytes[index] = UInt8(truncatingIfNeeded: values[index / width] >> UInt64(8 * (index % width)))
    }
    return bytes
  }

  /// Encodes at odd addresses on every instruction set, checks against the twin, and decodes in place.
  private static func check(_ values: [UInt64], _ base: [UInt64], width: Int) async {
    let (stored, start) = ([0xFF] + bytes(values, width: width), [0xFF] + bytes(base, width: width))
    let expected =
      [0]
      + bytes(
        zip(values, base).map { ScalarReference.difference(of: $0, to: $1, width: width) }, width: width)
    await onEveryInstructionSet { _ in
      var encoded = [UInt8](repeating: 0, count: stored.count)
      var span = encoded.mutableSpan
      Differences.encode(
        stored.span.extracting(1...), relativeTo: start.span.extracting(1...), width: width, into: &span,
        at: 1)
      #expect(encoded == expected)
      span = encoded.mutableSpan
      Differences.decode(&span, at: 1, relativeTo: start.span.extracting(1...), width: width)
      #expect(encoded.dropFirst() == stored.dropFirst())
    }
  }

  @Test func everyPairOfBytesComesBack() async {
    let all = (0..<UInt64(256)).map { $0 }
    await Self.check(all.flatMap { value in all.map { _ in value } }, all.flatMap { _ in all }, width: 1)
  }

  /// All 16-bit patterns, against each of some bases: numbers, both zeros, infinities, NaN of either sign, subnormals.
  @Test func everyPatternOf16BitsComesBack() async {
    let all = (0..<UInt64(65_536)).map { $0 }
    let bases: [UInt64] = [
      0, 0x8000, 1, 0x8001, 0x7FFF, 0xFFFF, 0x7F80, 0xFF80, 0x7C00, 0x3C00, 0x4049, 0xBF80,
    ]
    for base in bases { await Self.check(all, all.map { _ in base }, width: 2) }
  }

  @Test(arguments: [2, 4, 8]) func randomPatternsComeBack(width: Int) async {
    var generator = SeededGenerator(seed: 11)
    let mask = UInt64.max >> UInt64(64 - 8 * width)
    let sign = UInt64(1) << UInt64(8 * width - 1)
    // Ones, zeros, signs alone, and neighbours of each.
    let specials = [0, 1, sign - 1, sign, sign + 1, mask - 1, mask]
    let values =
      generator.patterns(30_000, mask: mask) + specials.flatMap { s in specials.map { _ in s } }
    let base = generator.patterns(30_000, mask: mask) + specials.flatMap { _ in specials }
    for count in [0, 1, 7, 8, 31, 33, values.count] {
      await Self.check(Array(values.suffix(count)), Array(base.suffix(count)), width: width)
    }
  }

  @Test func neighboursDifferByLittle() {
    let one = UInt64(Float(1).bitPattern)
    let difference = { (a: UInt64, b: UInt64) in ScalarReference.difference(of: a, to: b, width: 4) }
    #expect(difference(one, one) == 0)
    #expect(difference(UInt64(Float(1).nextDown.bitPattern), one) == 1)
    #expect(difference(UInt64(Float(1).nextUp.bitPattern), one) == 2)
    #expect(difference(UInt64(Float(-0.0).bitPattern), 0) == 1)
    #expect(difference(UInt64(Float.leastNonzeroMagnitude.bitPattern), UInt64(Float(-0.0).bitPattern)) == 4)
    #expect(difference(UInt64((-Float.leastNonzeroMagnitude).bitPattern), 0) == 3)
  }
}
