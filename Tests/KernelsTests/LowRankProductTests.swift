import TestSupport
import Testing

@testable import Kernels

/// The product of two thin matrices, held to the scalar twin on every instruction set.
@Suite struct LowRankProductTests {
  @Test(arguments: [1, 2, 3, 4, 5, 8, 17], [1, 7, 8, 255, 256, 257, 600])
  func productsAreTheTwins(rank: Int, width: Int) async {
    var generator = SeededGenerator(seed: UInt64(rank * 1000 + width))
    let rows = 5
    let left = generator.normals(rows * rank)
    let isStill = rank == 2
    let right = (0..<rank * width).map { _ in isStill ? 0 : generator.normal() }
    let before = (0..<rows * width + 2).map { isStill && $0 % 3 == 0 ? -0.0 : generator.normal() }
    // All columns, and some in the middle, of the rows 1 to 3.
    for columns in [0..<width, width / 3..<width - width / 4] {
      var expected = before
      for i in 1..<4 {
        for (place, j) in columns.enumerated() {
          let index = 1 + (i - 1) * columns.count + place
          expected[index] = ScalarReference.addProduct(
            Array(left[i * rank..<(i + 1) * rank]), (0..<rank).map { right[$0 * width + j] }, scale: 0.7,
            to: before[index])
        }
      }
      #expect(!isStill || expected.map(\.bitPattern) == before.map(\.bitPattern))
      await onEveryInstructionSet { _ in
        var target = before
        var span = target.mutableSpan
        addProduct(
          left.span, right.span, rank: rank, stride: width, columns: columns, scale: 0.7, to: &span, at: 1,
          rows: 1..<4)
        #expect(target.map(\.bitPattern) == expected.map(\.bitPattern), "\(columns)")
      }
    }
  }
}
