/// The name that was probably meant.
package enum Suggestion {
  /// The nearest of some names by edit distance, if one is near.
  package static func nearest(to name: String, among names: [String]) -> String? {
    let best = names.map {
      (name: $0, distance: distance(Array(name.unicodeScalars), Array($0.unicodeScalars)))
    }
    .min { $0.distance < $1.distance }
    guard let best, best.distance <= max(1, name.count / 3) else { return nil }
    return best.name
  }

  /// How many characters must be put in, left out, changed or swapped with the next.
  private static func distance(_ a: [Unicode.Scalar], _ b: [Unicode.Scalar]) -> Int {
    guard a.count <= 100, b.count <= 100 else { return .max }
    var rows = [Array(0...b.count)]
    for (i, character) in a.enumerated() {
      var row = [i + 1]
      for (j, other) in b.enumerated() {
        var distance = min(rows[i][j] + (character == other ? 0 : 1), row[j] + 1, rows[i][j + 1] + 1)
        if i > 0, j > 0, character == b[j - 1], a[i - 1] == other {
          distance = min(distance, rows[i - 1][j - 1] + 1)
        }
        row.append(distance)
      }
      rows.append(row)
    }
    return rows[a.count][b.count]
  }
}
