import EmbedFuse

/// A comparison as text for a terminal of 80 to 120 columns.
struct DiffText {
  private let comparison: ModelComparison
  private let listsTensors: Bool
  private let marks: [String]

  init(_ comparison: ModelComparison, listsTensors: Bool) {
    self.comparison = comparison
    self.listsTensors = listsTensors
    marks = comparison.marks
  }

  /// Writes it to standard output, notes to standard error.
  ///
  /// - Throws: `EmbedFuseError` (input or output) if standard output takes no more.
  func print() throws(EmbedFuseError) {
    for note in comparison.notes { Console.error("note: \(note)") }
    try Console.print(
      "base \(comparison.base.printable): \(FigureText.count(comparison.total.elements)) elements in \(comparison.tensors.count.counted("tensor"))"
    )
    try Console.print(models)
    try Console.print(
      comparison.models.count == 1
        ? "\n‖δ‖/‖θ₀‖:"
        : "\n‖δ‖/‖θ₀‖ of each model, cosines between deltas, share of contested elements in conflict:")
    try Console.print(parts(comparison.layers, name: "layer"))
    if listsTensors {
      try Console.print("\nby tensor:")
      try Console.print(parts(comparison.tensors, name: "tensor"))
    }
    for table in comparison.tables where !table.rows.isEmpty {
      try Console.print("\n\(table.tensor.printable), rows that moved most (‖δ‖ of the row):")
      try Console.print(rows(table))
    }
    try printMismatches()
  }

  private var models: String {
    Table.text(
      zip(comparison.models.indices, comparison.total.models).map { place, movement in
        let name = comparison.labels[place].printable
        guard let movement else { return [marks[place], name, "-", "-", "-", "-", "-"] }
        return [
          marks[place], name, FigureText.significant(movement.relativeNorm),
          FigureText.significant(movement.rms), FigureText.significant(movement.greatest),
          FigureText.percent(movement.sparsity), FigureText.percent(movement.weight),
        ]
      }, header: ["", "model", "‖δ‖/‖θ₀‖", "RMS δ", "max |δ|", "unmoved", "weight"])
  }

  /// Up to three models have a column for each pair, more the least and the greatest cosine.
  private func parts(_ parts: [ModelComparison.Part], name: String) -> String {
    let pairs = comparison.pairs
    let isBrief = pairs.count > 3
    let cosines =
      isBrief ? ["least cos", "most cos"] : pairs.map { "cos \(marks[$0.first])\(marks[$0.second])" }
    let rows = (parts + [comparison.total]).map { part in
      let known = part.cosines.compactMap { $0 }
      let shown = isBrief ? [known.min(), known.max()] : part.cosines
      return [part.name.printable]
        + part.models.map { $0.map { FigureText.significant($0.relativeNorm) } ?? "-" }
        + shown.map { $0.map(FigureText.hundredths) ?? "-" }
        + (pairs.isEmpty ? [] : [part.conflictShare.map(FigureText.percent) ?? "-"])
    }
    return Table.text(rows, header: [name] + marks + cosines + (pairs.isEmpty ? [] : ["conflicts"]))
  }

  private func rows(_ table: ModelComparison.Table) -> String {
    let hasTokens = table.rows.contains { $0.token != nil }
    return Table.text(
      table.rows.map { row in
        [String(row.index)] + (hasTokens ? [row.token?.printable ?? ""] : [])
          + [FigureText.significant(row.baseNorm)]
          + row.norms.map { $0.map { FigureText.significant($0) } ?? "-" }
      }, header: ["row"] + (hasTokens ? ["token"] : []) + ["‖θ₀‖"] + marks)
  }

  private func printMismatches() throws(EmbedFuseError) {
    guard !comparison.mismatches.isEmpty else { return }
    try Console.print("\nnot compared:")
    for mismatch in comparison.mismatches.prefix(50) {
      let reason =
        switch mismatch.kind {
        case .missing: "is missing in"
        case .extra: "is only in"
        case .otherForm: "has another shape or kind in"
        }
      try Console.print(
        "  \(mismatch.tensor.printable) \(reason) \(comparison.labels[mismatch.model].printable)")
    }
    if comparison.mismatches.count > 50 {
      try Console.print("  and \(comparison.mismatches.count - 50) more")
    }
  }
}
