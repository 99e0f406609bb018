import Kernels

/// A run of elements of all inputs, widened to binary64: where they lie, and who the inputs are.
///
/// Input 0 is the base, if there is one; the models follow in their order, then what else a method was given, such as
/// a Fisher diagonal for each model.
public struct Tile: Sendable, Hashable {
  /// Where the inputs' elements lie in the span that comes with the tile.
  public let layout: TileLayout
  /// True if input 0 is the base.
  public let hasBase: Bool
  /// The number of models.
  public let modelCount: Int
  /// The flat index of the tensor's element at `layout.elements.lowerBound`.
  public let start: Int

  /// A tile.
  public init(layout: TileLayout, hasBase: Bool, modelCount: Int, start: Int) {
    self.layout = layout
    self.hasBase = hasBase
    self.modelCount = modelCount
    self.start = start
  }

  /// The number of elements.
  public var count: Int { layout.elements.count }

  /// The flat indices of the elements.
  public var indices: Range<Int> { start..<start + count }

  /// Where model k's values start in the span.
  public func first(ofModel k: Int) -> Int {
    (k + (hasBase ? 1 : 0)) * layout.stride + layout.elements.lowerBound
  }

  /// Where the base's values start in the span.
  public var firstOfBase: Int { layout.elements.lowerBound }

  /// The same inputs over some of the elements, counted from the tile's first.
  public func over(_ elements: Range<Int>) -> Tile {
    let first = layout.elements.lowerBound
    return Tile(
      layout: TileLayout(
        stride: layout.stride, inputCount: layout.inputCount,
        elements: first + elements.lowerBound..<first + elements.upperBound),
      hasBase: hasBase, modelCount: modelCount, start: start + elements.lowerBound)
  }

  /// The tile in pieces, none of which contains a flat index of `cuts` anywhere but at its end.
  public func pieces(endingAfter cuts: [Int]) -> [Tile] {
    let inside = cuts.map { $0 + 1 - start }.filter { $0 > 0 && $0 < count }
    guard !inside.isEmpty else { return [self] }
    let ends = Set(inside).sorted() + [count]
    var begin = 0
    return ends.map { end in
      defer { begin = end }
      return over(begin..<end)
    }
  }
}
