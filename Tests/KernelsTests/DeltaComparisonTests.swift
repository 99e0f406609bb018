import TestSupport
import Testing

@testable import Kernels

/// The comparison of models, held to sums written down once more, on every instruction set.
@Suite struct DeltaComparisonTests {
  /// The lanes after one call: shares and zeros by model, contested, conflicts, then the greatest deltas; all but the
  /// shares in their first lanes.
  static func expected(_ values: [Double], _ layout: TileLayout, lanes: [Double]) -> [Double] {
    var lanes = lanes
    let models = layout.inputCount - 1
    for (i, element) in layout.elements.enumerated() {
      let x = CombinationTests.element(element, values, layout)
      let deltas = x.dropFirst().map { $0 - x[0] }
      let total = deltas.reduce(0.0) { $0 + $1.magnitude * 0x1p512 }
      let lane = i % laneCount
      for (k, delta) in deltas.enumerated() {
        lanes[2 * k * laneCount + lane] +=
          total == 0 ? 1 / Double(models) : delta.magnitude * 0x1p512 * (1 / total)
        lanes[(2 * k + 1) * laneCount] += delta == 0 ? 1 : 0
        let place = (2 * models + 2 + k) * laneCount
        lanes[place] = max(lanes[place], delta.magnitude)
      }
      if deltas.count(where: { $0 != 0 }) >= 2 { lanes[2 * models * laneCount] += 1 }
      if deltas.contains(where: { $0 > 0 }) && deltas.contains(where: { $0 < 0 }) {
        lanes[(2 * models + 1) * laneCount] += 1
      }
    }
    return lanes
  }

  @Test(arguments: [2, 3, 5, 17]) func sumsAreTheTwins(count: Int) async {
    for length in CombinationTests.lengths {
      let (values, layout) = CombinationTests.inputs(count, length, seed: UInt64(count * 100 + length))
      let start =
        Array(repeating: 0.25, count: 2 * count * laneCount)
        + Array(repeating: -Double.infinity, count: (count - 1) * laneCount)
      let expected = Self.expected(values, layout, lanes: start)
      await onEveryInstructionSet { _ in
        var lanes = start
        var span = lanes.mutableSpan
        compareModels(of: values.span, layout, to: &span)
        #expect(lanes == expected, "\(count) inputs, \(length) elements")
      }
    }
  }
}
