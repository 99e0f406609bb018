/// How a tensor is cut into the blocks that statistics and digests are defined over.
///
/// The cut depends on the shape alone, never on threads, memory or file format, so that a sum or a digest
/// taken block by block is the same everywhere. A block is as many whole rows as fit into
/// `BlockGrid.blockLength` elements; a longer row is cut into pieces of that length, its last piece shorter.
public struct BlockGrid: Sendable, Hashable {
  /// The most elements that a block has.
  public static let blockLength = 65_536

  /// Elements of the whole tensor.
  public let elementCount: Int
  /// Elements of one row.
  public let rowLength: Int

  /// The grid of a tensor of this shape.
  public init(_ shape: Shape) {
    elementCount = shape.elementCount
    rowLength = max(1, shape.rowLength)
  }

  /// The grid of a tensor. A tensor of a packed type counts as one row, so that every block starts at a byte.
  public init(_ info: TensorInfo) {
    elementCount = info.shape.elementCount
    rowLength = max(1, info.elementType.byteWidth == nil ? elementCount : info.shape.rowLength)
  }

  /// True if rows are cut into pieces.
  public var splitsRows: Bool { rowLength > Self.blockLength }

  /// Blocks to a row where rows are split, otherwise 1.
  private var piecesPerRow: Int { (rowLength + Self.blockLength - 1) / Self.blockLength }

  /// Elements of a full block.
  private var stride: Int {
    splitsRows ? Self.blockLength : Self.blockLength / rowLength * rowLength
  }

  /// The number of blocks; 0 for an empty tensor.
  public var count: Int {
    splitsRows ? elementCount / rowLength * piecesPerRow : (elementCount + stride - 1) / stride
  }

  /// The elements of block `index`, counted row-major over the tensor.
  public subscript(index: Int) -> Range<Int> {
    if splitsRows {
      let (row, piece) = index.quotientAndRemainder(dividingBy: piecesPerRow)
      let start = row * rowLength + piece * Self.blockLength
      return start..<min(start + Self.blockLength, (row + 1) * rowLength)
    }
    return index * stride..<min((index + 1) * stride, elementCount)
  }

  /// The index of the block that `element` of the tensor belongs to.
  public func index(containing element: Int) -> Int {
    guard splitsRows else { return element / stride }
    let (row, within) = element.quotientAndRemainder(dividingBy: rowLength)
    return row * piecesPerRow + within / Self.blockLength
  }

  /// The largest run of whole blocks with about `target` elements (at least one block): the unit in which a
  /// format writes, for example an HDF5 chunk. It is a number of whole rows, or divides a row.
  public func runLength(target: Int) -> Int {
    if splitsRows {
      return rowLength <= target
        ? target / rowLength * rowLength : max(1, target / Self.blockLength) * Self.blockLength
    }
    return max(1, target / stride) * stride
  }

  /// The runs of `length` elements (a value of `runLength(target:)`) that make up the tensor, in order.
  public func runs(of length: Int) -> [Range<Int>] {
    var result: [Range<Int>] = []
    var start = 0
    while start < elementCount {
      // A run shorter than a row ends with its row.
      let limit = length < rowLength ? (start / rowLength + 1) * rowLength : elementCount
      let end = min(start + length, limit)
      result.append(start..<end)
      start = end
    }
    return result
  }
}
