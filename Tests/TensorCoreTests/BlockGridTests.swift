import Testing

@testable import TensorCore

@Suite struct BlockGridTests {
  /// Shapes around every case of the cut: scalar, empty, short rows, a row of exactly one block, long rows.
  static let shapes: [[UInt]] = [
    [], [0], [1], [5, 0], [7], [65_535], [65_536], [65_537], [200_000], [3, 65_536], [3, 65_537],
    [2, 200_000],
    [30_522, 384], [12, 768, 64], [70_000, 1],
  ]

  @Test(arguments: shapes) func blocksCoverTheTensorOnceInOrder(extents: [UInt]) throws {
    let shape = try #require(Shape(extents))
    let grid = BlockGrid(shape)
    var next = 0
    for index in 0..<grid.count {
      let block = grid[index]
      #expect(block.lowerBound == next)
      #expect(!block.isEmpty && block.count <= BlockGrid.blockLength)
      for element in [block.lowerBound, block.lowerBound + block.count / 2, block.upperBound - 1] {
        #expect(grid.index(containing: element) == index)
      }
      let wholeRows = block.lowerBound % grid.rowLength == 0 && block.count % grid.rowLength == 0
      let oneRow = block.lowerBound / grid.rowLength == (block.upperBound - 1) / grid.rowLength
      #expect(wholeRows || oneRow)
      next = block.upperBound
    }
    #expect(next == shape.elementCount)
  }

  @Test(arguments: shapes, [1, 65_536, 262_144, 1_048_576])
  func runsAreWholeBlocks(extents: [UInt], target: Int) throws {
    let shape = try #require(Shape(extents))
    let grid = BlockGrid(shape)
    let length = grid.runLength(target: target)
    var block = 0
    for run in grid.runs(of: length) {
      #expect(grid[block].lowerBound == run.lowerBound)
      while block < grid.count, grid[block].upperBound <= run.upperBound { block += 1 }
      #expect(grid[block - 1].upperBound == run.upperBound)
    }
    #expect(block == grid.count)
  }
}
