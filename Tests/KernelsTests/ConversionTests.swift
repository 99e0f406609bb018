import TensorCore
import TestSupport
import Testing

@testable import Kernels

/// Widening and rounding, held to the scalar twin on every instruction set.
@Suite struct ConversionTests {
  static let types: [ElementType] = [
    .f64, .f32, .f16, .bf16, .f8E4M3, .f8E5M2, .f8E4M3FNUZ, .f8E5M2FNUZ,
  ]
  static let narrow: [ElementType] = types.filter { $0.bitWidth <= 16 }

  static func bytes(_ bits: [UInt64], of type: ElementType) -> [UInt8] {
    let width = type.bitWidth / 8
    var bytes = [UInt8](repeating: 0, count: bits.count * width)
    for index in bytes.indices {
      bytes[index] = UInt8(truncatingIfNeeded: bits[index / width] >> UInt64(8 * (index % width)))
    }
    return bytes
  }

  /// Widens bytes that start at an odd address.
  static func widened(_ bits: [UInt64], as type: ElementType) -> (values: [Double], found: Bool) {
    let stored = [0xFF] + bytes(bits, of: type)
    var values = [Double](repeating: -1, count: bits.count)
    var span = values.mutableSpan
    let found = widen(stored.span.extracting(1..<stored.count), as: type, into: &span)
    return (values, found)
  }

  /// Rounds values to bytes that start at an odd address.
  static func narrowed(_ values: [Double], to type: ElementType) -> [UInt64] {
    let width = type.bitWidth / 8
    var stored = [UInt8](repeating: 0, count: values.count * width + 1)
    var span = stored.mutableSpan
    Kernels.narrow(values.span, to: type, into: &span, at: 1)
    var bits = [UInt64](repeating: 0, count: values.count)
    for index in 0..<values.count * width {
      bits[index / width] |= UInt64(stored[1 + index]) << UInt64(8 * (index % width))
    }
    return bits
  }

  @Test(arguments: narrow) func widensEveryPattern(type: ElementType) async {
    let all = (0..<UInt64(1) << type.bitWidth).map { $0 }
    let expected = all.map { ScalarReference.widened($0, as: type) }
    await onEveryInstructionSet { _ in
      let (values, found) = Self.widened(all, as: type)
      #expect(found)
      for (value, reference) in zip(values, expected) where value.bitPattern != reference.bitPattern {
        #expect(value.isNaN && reference.isNaN, "\(value), not \(reference)")
      }
    }
  }

  @Test func widensF16AsTheStandardLibraryDoes() {
    for bits in 0..<UInt64(65_536) {
      let expected = Double(Float16(bitPattern: UInt16(bits)))
      let value = ScalarReference.widened(bits, as: .f16)
      #expect(value == expected || (value.isNaN && expected.isNaN))
    }
  }

  @Test(arguments: types) func tellsWhatIsNotFinite(type: ElementType) async {
    let nan = ScalarReference.narrowed(.nan, to: type)
    let finite = (0..<40).map { ScalarReference.narrowed(Double($0), to: type) }
    await onEveryInstructionSet { _ in
      #expect(!Self.widened(finite, as: type).found)
      for place in [0, 7, 8, 31, 39] {
        var bits = finite
        bits[place] = nan
        #expect(Self.widened(bits, as: type).found)
      }
    }
  }

  /// Every value, every point half way between two neighbours, the binary64 values beside them, and specials.
  @Test(arguments: narrow) func roundsToNearestTiesToEven(type: ElementType) async {
    let values = Set((0..<UInt64(1) << type.bitWidth).map { ScalarReference.widened($0, as: type) })
      .filter(\.isFinite).sorted()
    var probes: [Double] = [
      0, -0.0, .infinity, -.infinity, .nan, .leastNonzeroMagnitude, .greatestFiniteMagnitude,
      -.greatestFiniteMagnitude,
    ]
    let largest = values.last!
    for border in [
      largest + (largest - values[values.count - 2]) / 2, largest + (largest - values[values.count - 2]),
    ] {
      probes += [border, border.nextUp, border.nextDown, -border, -border.nextUp, -border.nextDown]
    }
    for (low, high) in zip(values, values.dropFirst()) {
      let half = low + (high - low) / 2
      probes += [low, half, half.nextUp, half.nextDown]
    }
    let expected = probes.map { ScalarReference.narrowed($0, to: type) }
    await onEveryInstructionSet { _ in
      let bits = Self.narrowed(probes, to: type)
      let wrong = zip(zip(probes, bits), expected).first { $0.1 != $1 && !$0.0.isNaN }
      #expect(wrong == nil, "\(String(describing: wrong))")
      #expect(ScalarReference.widened(bits[4], as: type).isNaN)
    }
  }

  @Test(arguments: types) func roundsRandomPatterns(type: ElementType) async {
    var generator = SeededGenerator(seed: 3)
    let probes =
      generator.patterns(20_000).map { Double(bitPattern: $0) }.filter { !$0.isNaN }
      + generator.normals(20_000)
    let expected = probes.map { ScalarReference.narrowed($0, to: type) }
    await onEveryInstructionSet { _ in #expect(Self.narrowed(probes, to: type) == expected) }
  }

  @Test(arguments: types) func whatWasWidenedComesBack(type: ElementType) async {
    var generator = SeededGenerator(seed: 4)
    let mask: UInt64 = type.bitWidth == 64 ? .max : 1 << UInt64(type.bitWidth) - 1
    let bits = generator.patterns(70_000, mask: mask).filter { !ScalarReference.widened($0, as: type).isNaN }
    await onEveryInstructionSet { _ in
      #expect(Self.narrowed(Self.widened(bits, as: type).values, to: type) == bits)
    }
  }
}
