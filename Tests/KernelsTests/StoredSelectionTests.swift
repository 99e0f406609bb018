import TensorCore
import TestSupport
import Testing

@testable import Kernels

/// Selecting among stored elements, held to the same kernels one after the other.
@Suite struct StoredSelectionTests {
  static let kinds: [[ElementType]] = [
    [.f32, .f32, .f32, .f32, .f32], [.bf16, .f32, .f16, .f64], [.f16, .bf16],
  ]

  /// Inputs of `length` elements, and the same ones widened.
  static func inputs(_ types: [ElementType], _ length: Int) -> (
    bytes: [[UInt8]], wide: [Double], layout: TileLayout
  ) {
    let bytes = StoredElementsTests.inputs(types, length, seed: UInt64(length))
    let layout = TileLayout(stride: length + 3, inputCount: types.count, elements: 0..<length)
    var wide = [Double](repeating: 0, count: types.count * layout.stride)
    for (j, type) in types.enumerated() {
      var span = wide.mutableSpan
      let stored = bytes[j]
      _ = widen(
        stored.span.extracting(0..<type.byteCount(ofElements: length)), as: type, into: &span,
        at: j * layout.stride)
    }
    return (bytes, wide, layout)
  }

  @Test(arguments: kinds, [1, 257, 9001]) func rangesAreThoseOfWidenedKeys(
    types: [ElementType], length: Int
  ) async {
    await onEveryInstructionSet { _ in
      let (bytes, wide, layout) = Self.inputs(types, length)
      let bounds = [(0, 0.02), (0.005, 0.5), (0.25, Double.infinity)]
      for (keys, channels) in [(StoredKeys.deltaSizes, types.count - 1), (.deltaVariances, 1)] {
        var expected: [KeyRange] = []
        var room: [UInt64] = []
        for channel in 0..<channels {
          var values = [Double](repeating: 0, count: length)
          var target = values.mutableSpan
          switch keys {
          case .deltaSizes: deltaSizes(of: wide.span, layout, input: channel + 1, into: &target)
          case .deltaVariances: deltaVariances(of: wide.span, layout, count: types.count - 1, into: &target)
          }
          for (low, high) in bounds {
            var range = KeyRange(channel: channel, bits: orderedBits(low)...orderedBits(high))
            range.add(values.span, start: 70, room: &room)
            expected.append(range)
          }
        }
        var ranges = expected.map { KeyRange(channel: $0.channel, bits: $0.bits) }
        let cut = length / 3
        let found = StoredElements.with(bytes, types: types, count: length) { elements in
          let first = elements.collect(0..<cut, by: keys, start: 70, into: &ranges, room: &room)
          return elements.collect(cut..<length, by: keys, start: 70 + cut, into: &ranges, room: &room)
            || first
        }
        #expect(found == false && ranges == expected, "\(types), \(keys)")
      }
    }
  }

  static func ways(_ models: Int) -> [SelectiveConsensus] {
    let some = (0..<models).map { 0.3 + 0.2 * Double($0) }
    let all = some.map { _ in KeptDeltas() }
    var byVariance = SelectiveConsensus(
      kept: all, weights: some, by: Consensus(elects: true, normalize: true))
    byVariance.votes = some.map { _ in 1 }
    byVariance.leastVariance = 1e-4
    var scaled = all.indices.map { KeptDeltas(probability: 0.4, key: UInt64($0) + 5) }
    for k in scaled.indices { scaled[k].factor = k == 0 ? 1 : 1.7 }
    let sized = all.indices.map { KeptDeltas(sizes: $0 == 1 ? nil : 0.005...0.75) }
    return [
      byVariance,
      SelectiveConsensus(kept: sized, weights: some, by: Consensus(elects: true, normalize: true)),
      SelectiveConsensus(kept: sized, weights: some, by: Consensus(elects: true, zeroSign: 0, scale: 0.5)),
      SelectiveConsensus(kept: scaled, weights: some, by: Consensus(normalize: true, scale: 0.9)),
      SelectiveConsensus(kept: scaled, weights: some.map { $0 - 0.4 }, by: Consensus(elects: true)),
    ]
  }

  /// What the kernels give one after the other, and what rounding did.
  static func expected(
    _ way: SelectiveConsensus, _ wide: [Double], _ layout: TileLayout, start: Int, as type: ElementType
  ) -> (bytes: [UInt8], counts: RoundingCounts) {
    let length = layout.elements.count
    var deltas = [Double](repeating: 0, count: way.kept.count * length)
    var variances = [Double](repeating: 0, count: length)
    var keys = variances.mutableSpan
    deltaVariances(of: wide.span, layout, count: way.kept.count, into: &keys)
    for (k, kept) in way.kept.enumerated() {
      var target = deltas.mutableSpan
      if let sizes = kept.sizes {
        selectDeltas(of: wide.span, layout, input: k + 1, sizes: sizes, into: &target, at: k * length)
      }
      if let least = way.leastVariance {
        keepAbove(&target, at: k * length, keys: variances.span, least: least)
      }
      if kept.probability < 1 {
        keepRandomly(
          &target, at: k * length, count: length, key: kept.key, start: start, probability: kept.probability)
      }
      for i in 0..<length { deltas[k * length + i] *= kept.factor }
    }
    var values = [Double](repeating: 0, count: layout.stride)
    var target = values.mutableSpan
    combineSelected(
      of: wide.span, layout, deltas: deltas.span, weights: way.weights, votes: way.votes, by: way.consensus,
      into: &target)
    var bytes = [UInt8](repeating: 0xAA, count: type.byteCount(ofElements: length) + 3)
    var span = bytes.mutableSpan
    narrow(values.span.extracting(0..<length), to: type, into: &span, at: 1)
    var counts = RoundingCounts()
    for i in 0..<length {
      counts.add(ScalarReference.rounding(of: values[i], base: type.bitWidth <= 16 ? wide[i] : nil, to: type))
    }
    return (bytes, counts)
  }

  @Test(arguments: kinds, [ElementType.f32, .bf16, .f64, .f8E4M3])
  func theConsensusIsThatOfTheKernelsInTurn(types: [ElementType], type: ElementType) async {
    await onEveryInstructionSet { _ in
      for length in [1, 255, 257, 1000] {
        let (bytes, wide, layout) = Self.inputs(types, length)
        for (number, way) in Self.ways(types.count - 1).enumerated() {
          let (expected, expectedCounts) = Self.expected(way, wide, layout, start: 11, as: type)
          var output = [UInt8](repeating: 0xAA, count: expected.count)
          var target = output.mutableSpan
          var counts = RoundingCounts()
          let found = StoredElements.with(bytes, types: types, count: length) { elements in
            elements.combine(
              0..<length, by: way, start: 11, as: type, into: &target, at: 1, counts: &counts)
          }
          #expect(found == false && output == expected, "way \(number), \(length) elements")
          #expect(counts == expectedCounts, "way \(number), \(length) elements")
        }
      }
    }
  }

  @Test(arguments: kinds) func keptMagnitudesAreThoseOfTheKernelsInTurn(types: [ElementType]) async {
    await onEveryInstructionSet { _ in
      let (length, models) = (1003, types.count - 1)
      let (bytes, wide, layout) = Self.inputs(types, length)
      for cut in [0, 300, 512, 2000] {
        var variances = [Double](repeating: 0, count: length)
        var keys = variances.mutableSpan
        deltaVariances(of: wide.span, layout, count: models, into: &keys)
        let least = variances.sorted()[length / 2]
        var lanes = [Double](repeating: 0, count: 2 * models * laneCount)
        var expected = lanes.mutableSpan
        for k in 0..<models {
          let kept = (0..<length).map { i in
            variances[i] >= (i < cut ? least : least.nextUp)
              ? wide[(k + 1) * layout.stride + i] - wide[i] : 0
          }
          addMagnitudes(of: kept.span, from: 0, count: length, to: &expected, sum: 2 * k)
        }
        var found = [Double](repeating: 0, count: lanes.count)
        var span = found.mutableSpan
        let isFound = StoredElements.with(bytes, types: types, count: length) { elements in
          elements.addKeptMagnitudes(
            0..<length, cut: cut, least: least, leastAfter: least.nextUp, to: &span)
        }
        #expect(isFound == false && found == lanes, "cut at \(cut)")
      }
    }
  }
}
