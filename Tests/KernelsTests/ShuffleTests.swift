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
}
