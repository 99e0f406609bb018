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

  /// Some planes, further apart than the elements need: nothing else is written.
  @Test(arguments: [1, 2, 4, 8, 3], [1, 37, 5000])
  func writesNothingButThePlanesAskedFor(width: Int, count: Int) {
    let source = (0..<width * count).map { UInt8(truncatingIfNeeded: $0 &* 167 &+ $0 >> 8) }
    for first in 0..<width {
      for end in first...width {
        var expected = [UInt8](repeating: 0xAA, count: 7 + (end - first) * (count + 13))
        for plane in first..<end {
          for element in 0..<count {
            expected[7 + (plane - first) * (count + 13) + element] = source[element * width + plane]
          }
        }
        var planes = [UInt8](repeating: 0xAA, count: expected.count)
        var target = planes.mutableSpan
        Shuffle.split(
          source.span, width: width, planes: first..<end, into: &target, at: 7, stride: count + 13)
        #expect(planes == expected)
      }
    }
  }
}
