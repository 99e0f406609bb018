import Kernels
import Testing

@Suite struct ShuffleTests {
  /// Widths with loops of their own and one without; lengths around the tile and vector sizes.
  @Test(arguments: [1, 2, 4, 8, 3], [0, 1, 2, 15, 16, 17, 2047, 2048, 2049, 5000])
  func agreesWithItsDefinition(width: Int, count: Int) {
    let source = (0..<width * count).map { UInt8(truncatingIfNeeded: $0 &* 167 &+ $0 >> 8) }
    var expected = [UInt8](repeating: 0, count: source.count)
    for element in 0..<count {
      for byte in 0..<width { expected[byte * count + element] = source[element * width + byte] }
    }
    var planes = [UInt8](repeating: 0, count: source.count)
    var target = planes.mutableSpan
    Shuffle.split(source.span, width: width, into: &target)
    #expect(planes == expected)

    var joined = [UInt8](repeating: 0, count: source.count)
    target = joined.mutableSpan
    Shuffle.join(planes.span, width: width, into: &target)
    #expect(joined == source)
  }

  /// Planes longer than the elements, as an edge chunk has, end in zeros, and nothing is written behind them.
  @Test(arguments: [1, 2, 4, 8, 3])
  func longerPlanesEndInZeros(width: Int) {
    let source = (0..<width * 37).map { UInt8(truncatingIfNeeded: $0 &* 167 | 1) }
    var padded = source + [UInt8](repeating: 0, count: width * 13)
    var expected = [UInt8](repeating: 0, count: padded.count)
    var target = expected.mutableSpan
    Shuffle.split(padded.span, width: width, into: &target)
    padded = [UInt8](repeating: 0xAA, count: padded.count + 5)
    target = padded.mutableSpan
    Shuffle.split(source.span, width: width, into: &target, length: 50)
    #expect(padded == expected + [UInt8](repeating: 0xAA, count: 5))
  }
}
