/// One row of a table, and how far it moved.
public struct ListedRow: Sendable, Hashable {
  /// Its index.
  public let index: Int
  /// Σθ₀² over the row.
  public let baseSquares: Double
  /// Σδ_k² over the row, by model.
  public let squares: [Double]

  /// All rows, from the delta sums of each.
  static func rows(_ results: [Double], modelCount: Int) -> [ListedRow] {
    let width = 2 * modelCount + 1
    return (0..<results.count / width).map { row in
      let sums = DeltaSums(
        Array(results[row * width..<(row + 1) * width]), modelCount: modelCount, elementCount: 1)
      return ListedRow(index: row, baseSquares: sums.baseSquares, squares: sums.squares)
    }
  }

  /// The rows that `DeltaComparison` has found, from the one that moved most.
  public static func listed(_ results: [Double], modelCount: Int) -> [ListedRow] {
    let width = modelCount + 2
    return (0..<results.count / width).map { place in
      let numbers = results[place * width..<(place + 1) * width]
      return ListedRow(
        index: Int(numbers[numbers.startIndex]), baseSquares: numbers[numbers.startIndex + 1],
        squares: Array(numbers.dropFirst(2)))
    }
  }

  var numbers: [Double] { [Double(index), baseSquares] + squares }

  /// By what any model moved it most, so that the order of models doesn't matter; of equal ones the lowest index first.
  static func comesFirst(_ a: ListedRow, _ b: ListedRow) -> Bool {
    let (first, second) = (a.squares.max() ?? 0, b.squares.max() ?? 0)
    return first != second ? first > second : a.index < b.index
  }
}
