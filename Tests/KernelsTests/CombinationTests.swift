import Foundation
import TestSupport
import Testing

@testable import Kernels

/// Combinations and sums, held to the scalar twin on every instruction set, at lengths around every boundary.
@Suite struct CombinationTests {
  static let lengths = Array(0...20) + [31, 67, 255, 256, 257, 1000]

  /// Values of a base and models, some elements of which are equal or did not move.
  static func inputs(_ count: Int, _ length: Int, seed: UInt64) -> (values: [Double], layout: TileLayout) {
    var generator = SeededGenerator(seed: seed)
    let stride = length + 5
    var values = [Double](repeating: .nan, count: count * stride)
    for i in 0..<length {
      let base = generator.normal()
      let moved = generator.normal()
      for j in 0..<count {
        let value = [base, moved, base + generator.normal(), base + 1e-8 * generator.normal()][
          (i + (j > 1 ? i / 4 % 4 : 0)) % 4]
        values[j * stride + 2 + i] = j == 0 ? base : value
      }
    }
    return (values, TileLayout(stride: stride, inputCount: count, elements: 2..<2 + length))
  }

  /// The inputs' values of one element.
  static func element(_ i: Int, _ values: [Double], _ layout: TileLayout) -> [Double] {
    (0..<layout.inputCount).map { values[$0 * layout.stride + i] }
  }

  /// Checks a kernel that writes to a target, on every level and length.
  static func check(
    _ counts: [Int] = [2, 3, 5, 17], kernel: ([Double], TileLayout, inout [Double]) -> Void,
    twin: ([Double]) -> Double
  ) async {
    for count in counts {
      for length in lengths {
        let (values, layout) = inputs(count, length, seed: UInt64(count * 1000 + length))
        let expected = layout.elements.map { twin(element($0, values, layout)).bitPattern }
        await onEveryInstructionSet { _ in
          var target = [Double](repeating: 77, count: layout.stride)
          kernel(values, layout, &target)
          #expect(
            layout.elements.map { target[$0].bitPattern } == expected, "\(count) inputs, \(length) elements")
          #expect(
            target[..<2].allSatisfy { $0 == 77 }
              && target[layout.elements.upperBound...].allSatisfy { $0 == 77 })
        }
      }
    }
  }

  static func settings(_ count: Int) -> [Double] { (0..<count).map { [0.7, 0, 1, 2.5][$0 % 4] } }

  @Test(arguments: [3.0, 4, 1]) func meansAreTheTwins(divisor: Double) async {
    await Self.check { values, layout, target in
      var span = target.mutableSpan
      weightedMean(
        of: values.span, layout, coefficients: Self.settings(layout.inputCount), divisor: divisor, into: &span
      )
    } twin: { x in
      ScalarReference.weightedMean(of: x, coefficients: Self.settings(x.count), divisor: divisor)
    }
  }

  @Test(arguments: [(1.0, true), (1.0, false), (-0.3, true)]) func deltasAreTheTwins(
    scale: Double, isMean: Bool
  ) async {
    await Self.check { values, layout, target in
      var span = target.mutableSpan
      combineDeltas(
        of: values.span, layout, weights: Self.settings(layout.inputCount - 1), scale: scale, isMean: isMean,
        into: &span)
    } twin: { x in
      ScalarReference.combineDeltas(
        of: x, weights: Self.settings(x.count - 1), scale: scale, isMean: isMean)
    }
  }

  @Test(arguments: [0.5, 1, 2, 3, 7.5, -1, -2.5, 40], [1, 0.8])
  func elementGranularityIsTheTwin(power: Double, lambda: Double) async {
    await Self.check { values, layout, target in
      let models = layout.inputCount - 1
      var weights = [Double](repeating: 0, count: models * layout.elements.count)
      var weightSpan = weights.mutableSpan
      elementWeights(
        of: values.span, layout, scales: Self.settings(models).map { $0 + 0.5 },
        priors: Self.settings(models),
        power: power, into: &weightSpan)
      var lanes = [Double](repeating: 0, count: models * laneCount)
      var laneSpan = lanes.mutableSpan
      var span = target.mutableSpan
      combineByElement(
        of: values.span, layout, weights: weights.span, lambda: lambda, lanes: &laneSpan, into: &span)
      // The weights of every element sum to 1.
      let total = reduceLanes(lanes.span).reduce(0, +)
      #expect(abs(total - Double(layout.elements.count)) <= 1e-12 * Double(layout.elements.count + 1))
    } twin: { x in
      let models = x.count - 1
      let weights = ScalarReference.elementWeights(
        of: x, scales: Self.settings(models).map { $0 + 0.5 }, priors: Self.settings(models), power: power)
      return ScalarReference.combineByElement(of: x, weights: weights, lambda: lambda)
    }
  }

  @Test func sumsRunInFixedLanes() async {
    for count in [2, 3, 5] {
      for length in Self.lengths {
        let (values, layout) = Self.inputs(count, length, seed: UInt64(length))
        let models = count - 1
        let weights = Self.settings(models)
        let base = layout.elements.map { values[$0] }
        var sums = [Double](repeating: 0.25, count: (2 * models + 1) * laneCount)
        var norms = [Double](repeating: 0.25, count: count * laneCount)
        var whole = [Double](repeating: 0, count: length)
        for k in 0..<models {
          let deltas = zip(layout.elements, base).map { values[(k + 1) * layout.stride + $0] - $1 }
          ScalarReference.add(deltas.map(\.magnitude), to: &sums, at: 2 * k * laneCount)
          ScalarReference.add(deltas.map { $0 * $0 }, to: &sums, at: (2 * k + 1) * laneCount)
          let parts = deltas.map { weights[k] * $0 }
          ScalarReference.add(parts.map { $0 * $0 }, to: &norms, at: k * laneCount)
          for i in whole.indices { whole[i] += parts[i] }
        }
        ScalarReference.add(base.map { $0 * $0 }, to: &sums, at: 2 * models * laneCount)
        ScalarReference.add(whole.map { $0 * $0 }, to: &norms, at: models * laneCount)
        await onEveryInstructionSet { _ in
          var lanes = [Double](repeating: 0.25, count: sums.count)
          var span = lanes.mutableSpan
          addDeltaSums(of: values.span, layout, to: &span)
          #expect(lanes == sums)
          // The sizes alone, every second sum.
          var sizeLanes = [Double](repeating: 0.25, count: sums.count)
          var sizeSpan = sizeLanes.mutableSpan
          addDeltaSums(of: values.span, layout, .sizes, to: &sizeSpan)
          let expected = sums.indices.map { place in
            place / laneCount % 2 == 0 && place < 2 * models * laneCount ? sums[place] : 0.25
          }
          #expect(sizeLanes == expected)
          var normLanes = [Double](repeating: 0.25, count: norms.count)
          var normSpan = normLanes.mutableSpan
          addWeightedNorms(of: values.span, layout, weights: weights, to: &normSpan)
          #expect(normLanes == norms)
          var elementLanes = [Double](repeating: 0.25, count: norms.count)
          var elementSpan = elementLanes.mutableSpan
          let spread = weights.flatMap { Array(repeating: $0, count: length) }
          addElementNorms(of: values.span, layout, weights: spread.span, to: &elementSpan)
          #expect(elementLanes == norms)
        }
      }
    }
  }

  @Test func weightsSurviveTheSmallestAndLargestDeltas() {
    for scale in [Double.leastNonzeroMagnitude, 1e-300, 1e-45, 1e30, 1e150] {
      for power in [0.5, 1, 2, 3, -1, 40] {
        let values = [0, 1 * scale, 3 * scale]
        var weights = [0.0, 0]
        var span = weights.mutableSpan
        elementWeights(
          of: values.span, TileLayout(stride: 1, inputCount: 3, elements: 0..<1), scales: [1, 1],
          priors: [1, 1],
          power: power, into: &span)
        #expect(abs(weights[1] - 1 / (1 + pow(3, -power))) <= 1e-14, "\(scale), \(power): \(weights)")
      }
    }
  }

  @Test func powersAreExactOrClose() {
    for base in [0.0, 1e-300, 0.3, 1, 7, 1e200] {
      #expect(power(base, 0) == 1)
      #expect(power(base, 1) == base)
    }
    var generator = SeededGenerator(seed: 9)
    for _ in 0..<20_000 {
      let base = Double.random(in: 0..<1, using: &generator)
      let exponent = Double.random(in: -12..<12, using: &generator)
      let expected = pow(base, exponent)
      #expect(abs(power(base, exponent) - expected) <= 1e-13 * expected, "\(base)^\(exponent)")
    }
  }
}
