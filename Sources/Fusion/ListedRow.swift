/// One row of a table, and how far it moved.
public struct ListedRow: Sendable, Hashable {
  /// Its index.
  public let index: Int
  /// Σθ₀² over the row.
  public let baseSquares: Double
  /// Σδ_k² over the row, by model.
  public let squares: [Double]

  /// Of all rows, given by the delta sums of each, those that any model moved most: so the order of models doesn't
  /// matter. Of equal ones the lowest index comes first.
  static func first(_ limit: Int, of results: [Double], modelCount: Int) -> [ListedRow] {
    let width = 2 * modelCount + 1
    let moves = (0..<results.count / width).map { row in
      (0..<modelCount).reduce(0) { max($0, results[row * width + 2 * $1 + 1]) }
    }
    let order = moves.indices.sorted { moves[$0] != moves[$1] ? moves[$0] > moves[$1] : $0 < $1 }
    return order.prefix(limit).map { row in
      let sums = DeltaSums(
        Array(results[row * width..<(row + 1) * width]), modelCount: modelCount, elementCount: 1)
      return ListedRow(
        index: row, baseSquares: sums.baseSquares, squares: (0..<sums.modelCount).map { sums.squares(of: $0) }
      )
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
}
