import TensorCore
import TestSupport
import Testing

@testable import Kernels

/// Stored elements combined without a stop, held to the same kernels one after the other.
@Suite struct StoredElementsTests {
  static let lengths = [0, 1, 7, 8, 255, 256, 257, 1000]

  /// Bytes of inputs, many elements of which are equal, zero of either sign, or subnormal.
  static func inputs(_ types: [ElementType], _ length: Int, seed: UInt64) -> [[UInt8]] {
    var generator = SeededGenerator(seed: seed)
    let special = [0.0, -0.0, 1e-42, -1e-42, 1, 3.5]
    let shared = (0..<length).map { _ in
      Bool.random(using: &generator) ? special.randomElement(using: &generator)! : generator.normal()
    }
    return types.enumerated().map { j, type in
      let values = shared.map { value in
        switch Int.random(in: 0..<4, using: &generator) {
        case 0: value + 0.01 * generator.normal()
        case 1 where j > 0: special.randomElement(using: &generator)!
        default: value
        }
      }
      // An odd place, since files have any alignment.
      var bytes = [UInt8](repeating: 0, count: type.byteCount(ofElements: length + 1))
      var span = bytes.mutableSpan
      narrow(values.span, to: type, into: &span, at: type.bitWidth / 8)
      return bytes
    }
  }

  /// What the kernels give one after the other, and the lanes.
  static func expected(
    _ combination: Combination, _ inputs: [[UInt8]], _ types: [ElementType], _ length: Int,
    as type: ElementType
  ) -> (bytes: [UInt8], lanes: [Double], counts: RoundingCounts) {
    let layout = TileLayout(stride: length + 3, inputCount: types.count, elements: 0..<length)
    var wide = [Double](repeating: 0, count: types.count * layout.stride)
    for (j, type) in types.enumerated() {
      var span = wide.mutableSpan
      let bytes = inputs[j]
      _ = widen(
        bytes.span.extracting(type.bitWidth / 8..<bytes.count), as: type, into: &span, at: j * layout.stride)
    }
    var lanes = [Double](repeating: 0, count: (types.count - 1) * laneCount)
    var laneSpan = lanes.mutableSpan
    var values = [Double](repeating: 0, count: layout.stride)
    var target = values.mutableSpan
    var scratch: [Double] = []
    combination.apply(to: wide.span, layout, lanes: &laneSpan, into: &target, scratch: &scratch)
    var bytes = [UInt8](repeating: 0xAA, count: type.byteCount(ofElements: length) + 3)
    var span = bytes.mutableSpan
    narrow(values.span.extracting(0..<length), to: type, into: &span, at: 1)
    var counts = RoundingCounts()
    for i in 0..<length {
      let base = type.bitWidth <= 16 ? wide[i] : nil
      counts.add(ScalarReference.rounding(of: values[i], base: base, to: type))
    }
    return (bytes, lanes, counts)
  }

  static func combinations(_ count: Int) -> [Combination] {
    let ones = [Double](repeating: 1, count: count)
    let some = CombinationTests.settings(count)
    let models = count - 1
    return [
      .mean(coefficients: ones, divisor: Double(count)),
      .mean(coefficients: [0] + ones.dropFirst(), divisor: Double(models)),
      .mean(coefficients: ones.map { $0 / 4 }, divisor: Double(count) / 4),
      .mean(coefficients: some, divisor: some.reduce(0, +)),
      .mean(coefficients: some, divisor: 1),
      .singlePrecisionMean(coefficients: some, divisor: some.reduce(0, +)),
      .deltas(weights: CombinationTests.settings(models), scale: 0.3, isMean: false),
      .deltas(weights: [Double](repeating: 1 / Double(models), count: models), scale: 1, isMean: true),
      .elementWeighted(
        scales: [Double](repeating: 1, count: models), priors: [Double](repeating: 1, count: models),
        power: 1,
        lambda: 1),
      .elementWeighted(
        scales: CombinationTests.settings(models).map { $0 + 0.5 }, priors: CombinationTests.settings(models),
        power: 2, lambda: 0.8),
    ]
  }

  /// Rounding can't make up for it where equal models are much smaller than the base, or weights cancel.
  @Test(arguments: [ElementType.f32, .bf16, .f16])
  func equalModelsGiveThemselvesHoweverFarTheBaseIs(type: ElementType) async throws {
    let values = [1e-4, -1e-4, 0.0, -0.0, 1, 3, 1 + 1.0 / 128, 7e-5]
    let length = 64
    func stored(_ value: (Int) -> Double) -> [UInt8] {
      var bytes = [UInt8](repeating: 0, count: type.byteCount(ofElements: length))
      var span = bytes.mutableSpan
      let values = (0..<length).map(value)
      narrow(values.span, to: type, into: &span)
      return bytes
    }
    let model = stored { values[$0 % 8] }
    for far in [0.0, -1, 1, 1000, 60000, 1e4] {
      let base = stored { _ in far }
      for combination in [
        Combination.deltas(weights: [0.1, 0.2, 0.7], scale: 1, isMean: true),
        .deltas(weights: [700.1, -300.1, -399], scale: 1, isMean: true),
        .elementWeighted(scales: [1, 2, 0.3], priors: [1, 2, 0.7], power: 1, lambda: 1),
        .elementWeighted(scales: [1e-160, 2, 3], priors: [1, 2, 0.7], power: 1, lambda: 1),
        .mean(coefficients: [0, 0.1, 0.2, 0.7], divisor: 1),
        .mean(coefficients: [0, 700.1, -300.1, -399], divisor: 1),
      ] {
        await onEveryInstructionSet { _ in
          var lanes = [Double](repeating: 0, count: 3 * laneCount)
          var laneSpan = lanes.mutableSpan
          var target = [UInt8](repeating: 0, count: model.count)
          var targetSpan = target.mutableSpan
          var counts = RoundingCounts()
          _ = StoredElements.with(
            [base, model, model, model], types: [type, type, type, type], count: length
          ) {
            $0.combine(
              0..<length, by: combination, lanes: &laneSpan, hasBase: false, as: type, into: &targetSpan,
              at: 0,
              counts: &counts)
          }
          #expect(target == model, "\(combination), \(far)")
        }
      }
    }
  }

  @Test(
    arguments: [[ElementType.f32], [.bf16], [.f16], [.f64], [.f32, .bf16, .f16, .f64]],
    [ElementType.f32, .bf16, .f16, .f64, .f8E4M3])
  func combinationsAreThoseOfTheKernelsInTurn(kinds: [ElementType], type: ElementType) async throws {
    for count in [2, 3, 5, 32] {
      let types = (0..<count).map { kinds[$0 % kinds.count] }
      for length in Self.lengths {
        let inputs = Self.inputs(types, length, seed: UInt64(count * 1000 + length))
        for combination in Self.combinations(count) {
          let expected = Self.expected(combination, inputs, types, length, as: type)
          await onEveryInstructionSet { _ in
            var lanes = [Double](repeating: 0, count: (count - 1) * laneCount)
            var laneSpan = lanes.mutableSpan
            var bytes = [UInt8](repeating: 0xAA, count: expected.bytes.count)
            var span = bytes.mutableSpan
            var counts = RoundingCounts()
            let found = StoredElements.with(inputs, types: types, count: length + 1) {
              $0.combine(
                1..<1 + length, by: combination, lanes: &laneSpan, hasBase: true, as: type, into: &span,
                at: 1,
                counts: &counts)
            }
            #expect(
              found == false && bytes == expected.bytes && lanes == expected.lanes,
              "\(combination), \(length)")
            #expect(counts == expected.counts, "\(combination), \(length)")
          }
        }
      }
    }
  }

  @Test(arguments: [ElementType.f32, .bf16, .f16, .f64], [ElementType.f32, .bf16, .f16])
  func deltaSumsAreThoseOfTheKernel(type: ElementType, other: ElementType) async throws {
    let types = [type, type, other, type]
    for length in Self.lengths {
      let inputs = Self.inputs(types, length, seed: UInt64(length))
      let layout = TileLayout(stride: length, inputCount: types.count, elements: 0..<length)
      var wide = [Double](repeating: 0, count: types.count * length)
      for (j, type) in types.enumerated() {
        var span = wide.mutableSpan
        let bytes = inputs[j]
        _ = widen(
          bytes.span.extracting(type.bitWidth / 8..<bytes.count), as: type, into: &span, at: j * length)
      }
      await onEveryInstructionSet { _ in
        for kinds in [DeltaSumKinds.all, .sizes] {
          var expected = [Double](repeating: 0.5, count: 7 * laneCount)
          var expectedSpan = expected.mutableSpan
          addDeltaSums(of: wide.span, layout, kinds, to: &expectedSpan)
          var lanes = [Double](repeating: 0.5, count: 7 * laneCount)
          var span = lanes.mutableSpan
          let found = StoredElements.with(inputs, types: types, count: length + 1) {
            $0.addDeltaSums(1..<1 + length, kinds, to: &span)
          }
          #expect(found == false && lanes == expected, "\(kinds)")
        }
      }
    }
  }

  @Test(arguments: [Double.nan, .infinity, -.infinity], [ElementType.f32, .bf16, .f16, .f64])
  func valuesThatAreNotFiniteAreFound(value: Double, type: ElementType) async throws {
    for place in [0, 255, 256, 299] {
      var values = [Double](repeating: 1, count: 300)
      values[place] = value
      var bytes = [UInt8](repeating: 0, count: type.byteCount(ofElements: 300))
      var span = bytes.mutableSpan
      narrow(values.span, to: type, into: &span)
      let plain = [UInt8](repeating: 0, count: bytes.count)
      await onEveryInstructionSet { _ in
        for combination in [
          Combination.mean(coefficients: [1, 1], divisor: 2), .mean(coefficients: [1, 0], divisor: 1),
          .deltas(weights: [0.5], scale: 1, isMean: false), .deltas(weights: [0], scale: 1, isMean: false),
          .elementWeighted(scales: [1], priors: [1], power: 1, lambda: 1),
        ] {
          var lanes = [Double](repeating: 0, count: 3 * laneCount)
          var laneSpan = lanes.mutableSpan
          var sizes = [Double](repeating: 0, count: 3 * laneCount)
          var sizeSpan = sizes.mutableSpan
          var sums = [Double](repeating: 0, count: laneCount)
          var sumSpan = sums.mutableSpan
          var target = [UInt8](repeating: 0, count: bytes.count)
          var targetSpan = target.mutableSpan
          var counts = RoundingCounts()
          let found = StoredElements.with([plain, bytes], types: [type, type], count: 300) {
            [
              $0.combine(
                0..<300, by: combination, lanes: &sumSpan, hasBase: false, as: type, into: &targetSpan, at: 0,
                counts: &counts),
              $0.addDeltaSums(0..<300, to: &laneSpan), $0.addDeltaSums(0..<300, .sizes, to: &sizeSpan),
            ]
          }
          #expect(found == [true, true, true], "\(combination)")
        }
        // In the base alone, where all models are equal, no result shows it.
        let inBase = StoredElements.with([bytes, plain, plain], types: [type, type, type], count: 300) {
          var none: [Double] = []
          var noneSpan = none.mutableSpan
          var target = [UInt8](repeating: 0, count: bytes.count)
          var targetSpan = target.mutableSpan
          var counts = RoundingCounts()
          return $0.combine(
            0..<300, by: .deltas(weights: [0.5, 0.5], scale: 1, isMean: true), lanes: &noneSpan,
            hasBase: true,
            as: type, into: &targetSpan, at: 0, counts: &counts)
        }
        #expect(inBase == true)
      }
    }
  }

  @Test func moreInputsAndTypesOfOneByteAreLeftToTiles() {
    let byte = [UInt8](repeating: 0, count: 8)
    let many = [[UInt8]](repeating: byte, count: 33)
    let f32 = [ElementType](repeating: .f32, count: 33)
    func takes(_ bytes: [[UInt8]], _ types: [ElementType]) -> Bool {
      StoredElements.with(bytes, types: types, count: 2) { _ in } != nil
    }
    #expect(!takes(many, f32))
    #expect(takes(many, Array(f32.prefix(32))))
    #expect(!takes([byte, byte], [.f32, .f8E4M3]))
    #expect(!takes([byte, byte], [.f32, .i32]))
  }
}
