import Kernels
import TestSupport
import Testing

/// The kernels of the methods that select elements, each held to one line of plain Swift, on every instruction set.
@Suite struct SelectionTests {
  /// Counts that meet every remainder of strips and lanes.
  static let counts = [0, 1, 7, 8, 9, 255, 256, 257, 1000]

  /// A base and three models: some deltas are equal, some 0, some subnormal.
  static func inputs(_ count: Int) -> [[Double]] {
    var generator = SeededGenerator(seed: UInt64(count))
    let base = generator.normals(count)
    return [base]
      + (0..<3).map { k in
        base.map { value in
          switch Int.random(in: 0..<6, using: &generator) {
          case 0: value
          case 1: value + 0.5
          case 2: value - 0.5
          case 3: value + 0x1p-1030
          default: value + Double(k + 1) * generator.normal()
          }
        }
      }
  }

  /// Runs a check on every instruction set that there is.
  static func everywhere(_ body: (Int, [[Double]], TileLayout, [Double]) throws -> Void) async rethrows {
    try await onEveryInstructionSet { _ in
      for count in counts {
        let inputs = inputs(count)
        // A stride that is longer than the rows, and rows that start within it.
        let stride = count + 5
        var values = [Double](repeating: .nan, count: 4 * stride)
        for (j, row) in inputs.enumerated() {
          for (i, value) in row.enumerated() { values[j * stride + 3 + i] = value }
        }
        try body(
          count, inputs, TileLayout(stride: stride, inputCount: 4, elements: 3..<3 + count), values)
      }
    }
  }

  static func same(_ a: some Sequence<Double>, _ b: some Sequence<Double>) -> Bool {
    a.map(\.bitPattern) == b.map(\.bitPattern)
  }

  @Test func selectsDeltasBySize() async {
    await Self.everywhere { count, x, layout, values in
      var target = [Double](repeating: -1, count: count + 2)
      var span = target.mutableSpan
      selectDeltas(of: values.span, layout, input: 2, sizes: 0.5...1.5, into: &span, at: 1)
      let expected = zip(x[2], x[0]).map { model, base -> Double in
        let delta = model - base
        return (0.5...1.5).contains(delta.magnitude) ? delta : 0
      }
      #expect(Self.same(target, [-1] + expected + [-1]))
    }
  }

  @Test func keepsByRandomNumbers() async {
    await Self.everywhere { count, x, _, _ in
      var values = x[1]
      var span = values.mutableSpan
      keepRandomly(&span, at: 0, count: count, key: 77, start: 1000, probability: 0.3)
      let expected = x[1].enumerated().map { i, value in
        randomNumber(key: 77, place: 1000 + i) < 0.3 ? value : 0
      }
      #expect(Self.same(values, expected))
      var each = x[1]
      var other = each.mutableSpan
      let probabilities = (0..<count).map { Double($0 % 10) / 9 }
      keepRandomly(&other, at: 0, key: 5, start: 3, probabilities: probabilities.span)
      let expectedEach = x[1].enumerated().map { i, value in
        randomNumber(key: 5, place: 3 + i) < probabilities[i] ? value : 0
      }
      #expect(Self.same(each, expectedEach))
    }
  }

  @Test(arguments: [
    Consensus(), Consensus(normalize: true, scale: 0.5), Consensus(elects: true),
    Consensus(elects: true, zeroSign: -1, normalize: true, scale: 2), Consensus(elects: true, zeroSign: 0),
  ])
  func combinesWhatAgrees(consensus: Consensus) async {
    let (weights, votes) = ([1.0, 2, 0.25], [1.0, 1, 1])
    await Self.everywhere { count, x, layout, values in
      let deltas = (1...3).flatMap { k in zip(x[k], x[0]).map { $0 - $1 } }
      var target = [Double](repeating: 9, count: layout.stride)
      var span = target.mutableSpan
      combineSelected(
        of: values.span, layout, deltas: deltas.span, weights: weights, votes: votes, by: consensus,
        into: &span)
      let expected = (0..<count).map { i -> Double in
        let s = (0..<3).map { deltas[$0 * count + i] }
        var m = zip(weights, s).reduce(0.0) { $0 + $1.0 * $1.1 }
        if consensus.elects {
          let sum = zip(votes, s).reduce(0.0) { $0 + $1.0 * $1.1 }
          let sign = sum > 0 ? 1 : sum < 0 ? -1 : consensus.zeroSign
          let agreeing = (0..<3).filter { votes[$0] * s[$0] * sign > 0 }
          let total = agreeing.reduce(0.0) { $0 + weights[$1] }
          m = agreeing.reduce(0.0) { $0 + weights[$1] * s[$1] }
          if consensus.normalize && total != 0 { m /= total }
        } else if consensus.normalize {
          m /= weights.reduce(0, +)
        }
        return m == 0 ? x[0][i] : x[0][i] + consensus.scale * m
      }
      #expect(Self.same(target[3..<3 + count], expected))
      #expect(target[..<3].allSatisfy { $0 == 9 })
    }
  }

  @Test func sizesVariancesAndMagnitudes() async {
    await Self.everywhere { count, x, layout, values in
      var target = [Double](repeating: 0, count: count)
      var span = target.mutableSpan
      deltaSizes(of: values.span, layout, input: 3, into: &span)
      #expect(Self.same(target, zip(x[3], x[0]).map { ($0 - $1).magnitude }))
      var variances = [Double](repeating: 0, count: count)
      var other = variances.mutableSpan
      deltaVariances(of: values.span, layout, count: 3, into: &other)
      let third = 1.0 / 3
      let expected = (0..<count).map { i -> Double in
        let d = (1...3).map { x[$0][i] - x[0][i] }
        let mean = (0.0 + d[0] + d[1] + d[2]) * third
        return
          (0.0 + (d[0] - mean) * (d[0] - mean) + (d[1] - mean) * (d[1] - mean) + (d[2] - mean) * (d[2] - mean))
          * third
      }
      #expect(Self.same(variances, expected))
      var lanes = [Double](repeating: 1, count: 3 * laneCount)
      var laneSpan = lanes.mutableSpan
      let row = x[1]
      addMagnitudes(of: row.span, from: 0, count: count, to: &laneSpan, sum: 1)
      var plain = [Double](repeating: 1, count: 3 * laneCount)
      ScalarReference.add(x[1].map(\.magnitude), to: &plain, at: laneCount)
      ScalarReference.add(x[1].map { $0 * $0 }, to: &plain, at: 2 * laneCount)
      #expect(Self.same(lanes, plain))
    }
  }

  @Test func keepsWhatIsAboveAKey() async {
    await Self.everywhere { count, x, _, _ in
      var values = x[2]
      var span = values.mutableSpan
      let keys = x[1]
      keepAbove(&span, at: 0, keys: keys.span, least: 0.25)
      #expect(Self.same(values, zip(x[2], x[1]).map { $1 >= 0.25 ? $0 : 0 }))
    }
  }

  @Test func ranksOfSizes() {
    for count in [1, 2, 7, 300] {
      // Equal sizes, and sizes that differ in their last bits only.
      let values = (0..<count).map { i -> Double in
        let size: Double = (1 + Double(i * 7 % 5) * 0x1p-50) * Double(i % 4)
        return i % 3 == 0 ? size : -size
      }
      var places = [Double](repeating: 0, count: count)
      var span = places.mutableSpan
      var room: [UInt64] = []
      sizeRanks(of: values.span, from: 0, count: count, into: &span, at: 0, room: &room)
      let sizes: [Double] = values.map(\.magnitude)
      let order = sizes.indices.sorted { (a: Int, b: Int) -> Bool in
        sizes[a] == sizes[b] ? a > b : sizes[a] < sizes[b]
      }
      var expected = [Double](repeating: 0.5, count: count)
      if count > 1 {
        for (rank, i) in order.enumerated() { expected[i] = Double(rank) * (1 / Double(count - 1)) }
      }
      #expect(Self.same(places, expected))
    }
  }

  @Test func productsOfInputs() async {
    await Self.everywhere { count, x, layout, values in
      for subtracts in [true, false] {
        var lanes = [Double](repeating: 0, count: pairCount(3) * laneCount)
        var span = lanes.mutableSpan
        addProducts(of: values.span, layout, from: 1, count: 3, subtractsBase: subtracts, to: &span)
        var plain = [Double](repeating: 0, count: lanes.count)
        var pair = 0
        for j in 1...3 {
          for k in j...3 {
            let products = (0..<count).map { i -> Double in
              let base = subtracts ? x[0][i] : 0
              return (x[j][i] - base) * (x[k][i] - base)
            }
            ScalarReference.add(products, to: &plain, at: pair * laneCount)
            pair += 1
          }
        }
        #expect(Self.same(lanes, plain))
      }
    }
  }

  @Test func histogramsAndCollections() async {
    await Self.everywhere { count, x, _, _ in
      let keys = zip(x[1], x[0]).map { $0 - $1 }
      var bins = [UInt32](repeating: 0, count: 65_536)
      var span = bins.mutableSpan
      let zeros = addHistogram(of: keys.span, shift: 48, width: 16, prefix: 0, to: &span)
      #expect(zeros == keys.count { $0 == 0 && $0.sign == .plus })
      var plain = [UInt32](repeating: 0, count: 65_536)
      for key in keys { plain[Int(orderedBits(key) >> 48)] += 1 }
      #expect(bins == plain)
      var window = [UInt32](repeating: 0, count: 65_536)
      var windowSpan = window.mutableSpan
      #expect(KeyWindow.addHistogram(of: keys.span, to: &windowSpan) == zeros)
      var plainWindow = [UInt32](repeating: 0, count: 65_536)
      for key in keys {
        let place = Int(orderedBits(key) >> UInt64(KeyWindow.shift)) - Int(KeyWindow.first)
        plainWindow[max(0, min(65_535, place))] += 1
      }
      #expect(window == plainWindow)
      let half = orderedBits(0.5)
      var few = [UInt32](repeating: 0, count: 65_536)
      var fewSpan = few.mutableSpan
      _ = addHistogram(of: keys.span, shift: 51, width: 5, prefix: half >> 56, to: &fewSpan)
      let near = keys.map(orderedBits).filter { $0 >> 56 == half >> 56 }
      #expect(few.reduce(0, +) == UInt32(near.count) && few[32...].allSatisfy { $0 == 0 })
      var lower = [UInt32](repeating: 0, count: 65_536)
      var lowerSpan = lower.mutableSpan
      _ = addHistogram(of: keys.span, shift: 32, width: 16, prefix: half >> 48, to: &lowerSpan)
      let inside = keys.filter { orderedBits($0) >> 48 == half >> 48 }
      #expect(lower.reduce(0, +) == UInt32(inside.count))
      for (low, high) in [(0.25, 0.5), (-0.75, 0.5), (-Double.infinity, .infinity)] {
        var range = KeyRange(channel: 0, bits: orderedBits(low)...orderedBits(high))
        var room: [UInt64] = []
        range.add(keys.span, start: 100, room: &room)
        let expected = keys.indices.filter {
          orderedBits(keys[$0]) != 1 << 63 && range.bits.contains(orderedBits(keys[$0]))
        }
        #expect(range.keys == expected.map { orderedBits(keys[$0]) })
        #expect(range.places == expected.map { UInt64($0) + 100 })
        #expect(range.below == keys.count { orderedBits($0) < orderedBits(low) })
        #expect(range.zeros == keys.count { orderedBits($0) == 1 << 63 })
      }
      var ofPlaces = [UInt32](repeating: 0, count: 65_536)
      var placeSpan = ofPlaces.mutableSpan
      addPlaceHistogram(of: keys.span, key: half, start: 10, shift: 0, prefix: 0, to: &placeSpan)
      let equal = keys.indices.filter { keys[$0] == 0.5 }
      #expect(ofPlaces.indices.filter { ofPlaces[$0] > 0 } == equal.map { $0 + 10 })
    }
  }

  @Test func orderedBitsOrderAsNumbersDo() {
    let numbers = [-Double.infinity, -1e300, -1, -0.0, 0, 0x1p-1030, 1e-300, 0.5, 1, .infinity]
    let bits = numbers.map { orderedBits($0) }
    #expect(bits == bits.sorted())
    #expect(Self.same(bits.map { Kernels.number(orderedBits: $0) }, numbers))
  }

  @Test func exponentialsAndLogarithms() async {
    for i in -7000...7000 {
      let x = Double(i) / 10
      #expect(abs(exponential(x) - Self.exp(x)) <= 4 * Self.exp(x).ulp)
    }
    for i in 1...5000 {
      let x = Double(i) / 37
      #expect(abs(logarithm(x) - Self.log(x)) <= 4e-16 + 4 * Self.log(x).ulp)
    }
    await Self.everywhere { count, x, _, _ in
      var target = [Double](repeating: 0, count: 2 * count)
      var span = target.mutableSpan
      let (first, second) = (x[0], x[1])
      exponentials(
        of: first.span, from: 0, count: count, shift: 1, factor: 0.5, offset: 1e-8, into: &span, at: 0)
      exponentials(of: second.span, from: 0, count: count, shift: 0, into: &span, at: count)
      let p = x[0].map { exponential($0 - 1) * 0.5 + 1e-8 }
      let q = x[1].map { exponential($0) }
      #expect(Self.same(target, p + q))
      var divergence = p + q
      var other = divergence.mutableSpan
      divergences(&other, count: count)
      #expect(Self.same(divergence[..<count], zip(p, q).map { $0 * logarithm($0 / $1) }))
    }
  }

  @Test func singlePrecisionMeanIsAChainOfFusedMultiplyAdds() async {
    await Self.everywhere { count, x, layout, values in
      var target = [Double](repeating: 0, count: layout.stride)
      var span = target.mutableSpan
      let weights = [0.1, 0.2, 0.3, 0.4]
      singlePrecisionMean(of: values.span, layout, coefficients: weights, divisor: 1.1, into: &span)
      let expected = (0..<count).map { i -> Double in
        var sum: Float = 0
        for k in 0..<4 { sum.addProduct(Float(x[k][i]), Float(weights[k])) }
        return Double(sum / Float(1.1))
      }
      #expect(Self.same(target[3..<3 + count], expected))
    }
  }
}

#if canImport(Glibc)
  import Glibc

  extension SelectionTests {
    static func exp(_ x: Double) -> Double { Glibc.exp(x) }
    static func log(_ x: Double) -> Double { Glibc.log(x) }
  }
#endif
