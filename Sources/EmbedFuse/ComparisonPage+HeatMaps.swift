extension ComparisonPage {
  /// One cell of a heat map: its text, what it says in full, and its place on the colour scale from -1 to 1.
  private struct Cell {
    let text: String
    let title: String
    let level: Double

    static let none = Cell(text: "–", title: "not there", level: 0)
  }

  /// Layers by models: magnitudes, weights, cosines, conflicts.
  var heatMaps: String {
    let several = comparison.models.count > 1
    return """
      <section>
      <h2>\(shownLayers.count < comparison.layers.count ? "The first \(shownLayers.count) layers" : "Layers")</h2>
      <div class="maps">
      \(magnitudes)\(several ? weights : "")\(several ? cosines : "")</div>
      </section>

      """
  }

  private var rows: [ModelComparison.Part] { Array(shownLayers) }

  private var magnitudes: String {
    // A layer that moved far more than all others would leave them without colour.
    let sizes = rows.flatMap { $0.models.compactMap { $0?.relativeNorm } }.filter { $0 > 0 }.sorted()
    let greatest = sizes.last ?? 0
    let limit = min(greatest, 4 * (sizes.isEmpty ? 0 : sizes[sizes.count / 2]))
    return map(
      "Magnitude", "‖δ‖ / ‖θ₀‖", scale: "size", heads: models(heads),
      low: "0", high: (limit < greatest ? "≥ " : "") + FigureText.significant(limit, digits: 2)
    ) { part in
      zip(part.models, labels).map { movement, label in
        guard let movement else { return .none }
        return Cell(
          text: FigureText.significant(movement.relativeNorm, digits: 2),
          title:
            "\(label): ‖δ‖ \(FigureText.significant(movement.norm)), RMS \(FigureText.significant(movement.rms)), greatest \(FigureText.significant(movement.greatest)), \(FigureText.percent(movement.sparsity)) unmoved",
          level: limit > 0 ? movement.relativeNorm / limit : 0)
      }
    }
  }

  /// Column heads with the labels that they stand for.
  private func models(_ heads: [String]) -> [(text: String, title: String)] {
    zip(heads, labels).map { ($0, $1) }
  }

  private var weights: String {
    let greatest = rows.flatMap { $0.models.compactMap { $0?.weight } }.max() ?? 1
    return map(
      "Weight", "delta-guided, by element", scale: "weight", heads: models(heads), low: "0",
      high: FigureText.percent(greatest)
    ) { part in
      zip(part.models, labels).map { movement, label in
        guard let movement else { return .none }
        return Cell(
          text: FigureText.percent(movement.weight),
          title: "\(label): \(FigureText.percent(movement.weight))",
          level: movement.weight / greatest)
      }
    }
  }

  private var cosines: String {
    let pairs = comparison.pairs.map { pair in
      (
        text: "\(heads[pair.first]) · \(heads[pair.second])",
        title: "\(labels[pair.first]) · \(labels[pair.second])"
      )
    }
    return map(
      "Cosine and conflicts", "between deltas", scale: "cosine",
      heads: pairs + [("in conflict", "share of contested elements in conflict")], low: "−1",
      high: "1"
    ) { part in
      zip(part.cosines, pairs.map(\.title)).map { cosine, pair in
        guard let cosine else {
          return Cell(text: "–", title: "\(pair): no angle, since one did not move", level: 0)
        }
        return Cell(
          text: FigureText.hundredths(cosine), title: "\(pair): \(FigureText.significant(cosine, digits: 4))",
          level: cosine)
      } + [
        Cell(
          text: part.conflictShare.map(FigureText.percent) ?? "–",
          title:
            "\(FigureText.count(part.conflicts)) of \(FigureText.count(part.contested)) contested elements are moved up and down",
          level: -(part.conflictShare ?? 0))
      ]
    }
  }

  private func map(
    _ title: String, _ subtitle: String, scale: String, heads: [(text: String, title: String)], low: String,
    high: String,
    cells: (ModelComparison.Part) -> [Cell]
  ) -> String {
    var text = """
      <figure class="map \(scale)">
      <figcaption><strong>\(title)</strong> <span>\(subtitle)</span></figcaption>
      <div class="scroll"><table>
      <thead><tr><th scope="col">layer</th>\(heads.map { "<th scope=\"col\" title=\"\($0.title)\"><span>\($0.text)</span></th>" }.joined())</tr></thead>
      <tbody>

      """
    for part in rows + [comparison.total] {
      let name = Self.escaped(part.name)
      let isTotal =
        part.layer == nil && part.name == comparison.total.name && part.elements == comparison.total.elements
      text +=
        "<tr\(isTotal ? " class=\"total\"" : "")><th scope=\"row\" title=\"\(name)\"><span>\(name)</span></th>"
      for cell in cells(part) {
        let level = Self.clamped(cell.level)
        let kinds =
          level.magnitude > 0.6 ? (level.magnitude > 0.72 ? " class=\"firm strong\"" : " class=\"firm\"") : ""
        let side = level < 0 ? "--l:0;--n:\(Self.level(-level))" : "--l:\(Self.level(level))"
        text += "<td\(kinds) style=\"\(side)\" title=\"\(cell.title)\">\(cell.text)</td>"
      }
      text += "</tr>\n"
    }
    return text + """
      </tbody></table></div>
      <p class="legend"><span>\(low)</span><i></i><span>\(high)</span></p>
      </figure>

      """
  }

  /// A level as CSS reads it, from -1 to 1.
  static func level(_ value: Double) -> String { FigureText.hundredths(clamped(value)) }

  /// Figures that left binary64 may have no ratio.
  private static func clamped(_ level: Double) -> Double { level.isNaN ? 0 : min(1, max(-1, level)) }
}
