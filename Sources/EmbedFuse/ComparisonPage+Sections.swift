extension ComparisonPage {
  /// The models and what they did in all.
  var models: String {
    let greatest = comparison.total.models.compactMap { $0?.relativeNorm }.max() ?? 0
    var text = """
      <section>
      <h2>Models</h2>
      <div class="scroll"><table class="plain sortable">
      <thead><tr><th scope="col">model</th><th scope="col" class="n">‖δ‖ / ‖θ₀‖</th><th></th><th scope="col" class="n">RMS δ</th><th scope="col" class="n">greatest |δ|</th><th scope="col" class="n">unmoved</th><th scope="col" class="n">weight</th></tr></thead>
      <tbody>

      """
    for (place, movement) in comparison.total.models.enumerated() {
      let mark = heads == labels ? "" : "<strong>\(heads[place])</strong>&ensp;"
      let label = mark + labels[place]
      guard let movement else {
        text +=
          "<tr><th scope=\"row\">\(label)</th><td class=\"n\" colspan=\"6\">nothing to compare</td></tr>\n"
        continue
      }
      let share = greatest > 0 ? movement.relativeNorm / greatest : 0
      text += "<tr><th scope=\"row\">\(label)</th>"
      text += number(movement.relativeNorm)
      text += "<td class=\"bar\"><i style=\"--l:\(Self.level(share))\"></i></td>"
      text += number(movement.rms) + number(movement.greatest)
      text += number(movement.sparsity, FigureText.percent(movement.sparsity))
      text += number(movement.weight, FigureText.percent(movement.weight)) + "</tr>\n"
    }
    return text + "</tbody></table></div>\n</section>\n"
  }

  /// The rows of tables that moved most.
  var tables: String {
    let tables = comparison.tables.filter { !$0.rows.isEmpty }
    guard !tables.isEmpty else { return "" }
    return "<section>\n<h2>Rows that moved most</h2>\n<div class=\"maps\">\n" + tables.map(table).joined()
      + "</div>\n</section>\n"
  }

  private func table(_ table: ModelComparison.Table) -> String {
    let hasTokens = table.rows.contains { $0.token != nil }
    let greatest = table.rows.flatMap { $0.norms.compactMap { $0 } }.max() ?? 0
    var text = """
      <figure class="rows">
      <figcaption><strong>\(Self.escaped(table.tensor))</strong> <span>‖δ‖ of each row</span></figcaption>
      <div class="scroll"><table class="plain sortable">
      <thead><tr><th scope="col" class="n">row</th>\(hasTokens ? "<th scope=\"col\">token</th>" : "")<th scope="col" class="n">‖θ₀‖</th>\(columnHeads())</tr></thead>
      <tbody>

      """
    for row in table.rows {
      text += "<tr>" + number(Double(row.index), String(row.index))
      if hasTokens { text += "<td><code>\(row.token.map(Self.escaped) ?? "")</code></td>" }
      text += number(row.baseNorm)
      for norm in row.norms {
        let share = greatest > 0 ? (norm ?? 0) / greatest : 0
        text +=
          norm.map {
            "<td class=\"n filled\" data-v=\"\($0)\" style=\"--l:\(Self.level(share))\">\(FigureText.significant($0))</td>"
          } ?? "<td class=\"n\">–</td>"
      }
      text += "</tr>\n"
    }
    return text + "</tbody></table></div>\n</figure>\n"
  }

  /// The tensors of each layer.
  var details: String {
    let pairs = comparison.pairs
    let tensorsByLayer = Dictionary(grouping: comparison.tensors) { $0.layer ?? "" }
    var text = "<section>\n<h2>Tensors by layer</h2>\n"
    for layer in shownLayers {
      let all = tensorsByLayer[layer.name, default: []]
      let tensors = all.prefix(Self.partLimit)
      text += """
        <details><summary><span class="name">\(Self.escaped(layer.name))</span> <span>\(all.count) \(all.count == 1 ? "tensor" : "tensors"), \(FigureText.count(layer.elements)) elements</span></summary>
        <div class="scroll"><table class="plain sortable">
        <thead><tr><th scope="col">tensor</th><th scope="col">shape</th>\(columnHeads("‖δ‖/‖θ₀‖"))\(columnHeads("greatest"))\(columnHeads("unmoved"))\(pairs.isEmpty ? "" : "<th scope=\"col\" class=\"n\">least cosine</th><th scope=\"col\" class=\"n\">conflicts</th>")</tr></thead>
        <tbody>

        """
      for tensor in tensors {
        let shape = (tensor.shape ?? []).map(String.init).joined(separator: " × ")
        text +=
          "<tr><th scope=\"row\">\(Self.escaped(String(shortName(tensor.name, in: layer.name))))</th><td>\(shape)</td>"
        text += tensor.models.map { $0.map { number($0.relativeNorm) } ?? none }.joined()
        text += tensor.models.map { $0.map { number($0.greatest) } ?? none }.joined()
        text += tensor.models.map { $0.map { number($0.sparsity, FigureText.percent($0.sparsity)) } ?? none }
          .joined()
        if !pairs.isEmpty {
          text += tensor.cosines.compactMap { $0 }.min().map { number($0, FigureText.hundredths($0)) } ?? none
          text += tensor.conflictShare.map { number($0, FigureText.percent($0)) } ?? none
        }
        text += "</tr>\n"
      }
      text += "</tbody></table></div>\(more(all.count - tensors.count, "tensor"))</details>\n"
    }
    return text + more(comparison.layers.count - shownLayers.count, "layer") + "</section>\n"
  }

  /// What the page leaves out.
  private func more(_ count: Int, _ noun: String) -> String {
    count > 0
      ? "<p class=\"legend\">and \(count.counted("more \(noun)")): embedfuse diff --json lists all</p>\n" : ""
  }

  /// The name without its layer, which stands above.
  private func shortName(_ name: String, in layer: String) -> Substring {
    guard name.hasPrefix(layer), name.utf8.count > layer.utf8.count + 1 else { return name[...] }
    return name.dropFirst(layer.count + 1)
  }

  /// What could not be compared.
  var mismatches: String {
    guard !comparison.mismatches.isEmpty else { return "" }
    let limit = 500
    let items = comparison.mismatches.prefix(limit).map { mismatch in
      let reason =
        switch mismatch.kind {
        case .missing: "is missing in"
        case .extra: "is only in"
        case .otherForm: "has another shape or kind in"
        }
      return "<li><code>\(Self.escaped(mismatch.tensor))</code> \(reason) \(labels[mismatch.model])</li>\n"
    }
    let rest = comparison.mismatches.count - items.count
    return "<section>\n<h2>Not compared</h2>\n<ul>\n" + items.joined()
      + (rest > 0 ? "<li>and \(rest) more</li>\n" : "") + "</ul>\n</section>\n"
  }

  /// What else is to be told.
  var notes: String {
    guard !comparison.notes.isEmpty else { return "" }
    return "<section>\n<h2>Notes</h2>\n<ul>\n"
      + comparison.notes.map { "<li>\(note($0))</li>\n" }.joined() + "</ul>\n</section>\n"
  }

  /// A note about a model starts with its path, which the label stands for.
  private func note(_ text: String) -> String {
    for (path, label) in zip(comparison.models, labels) where text.hasPrefix(path.printable + ":") {
      return label + Self.escaped(String(text.dropFirst(path.printable.count)))
    }
    return Self.escaped(text)
  }

  /// What the figures mean.
  var definitions: String {
    """
    <footer>
    <p>θ₀ is the base, δ = θ − θ₀ a model’s delta, ‖·‖ the Euclidean norm. <em>Unmoved</em> is the share of elements whose δ is 0, <em>weight</em> what delta-guided fusion by element would give a model: the mean of |δ| over the sum of all models’ |δ|. An element is <em>contested</em> if at least two models moved it, and <em>in conflict</em> if some moved it up and some down. Sums are binary64 in a fixed order. Made by embedfuse \(embedFuseVersion).</p>
    </footer>

    """
  }

  private var none: String { "<td class=\"n\">–</td>" }

  private func number(_ value: Double, _ text: String? = nil) -> String {
    "<td class=\"n\" data-v=\"\(value)\">\(text ?? FigureText.significant(value))</td>"
  }

  /// A column head for each model.
  private func columnHeads(_ what: String? = nil) -> String {
    zip(heads, labels).map { head, label in
      "<th scope=\"col\" class=\"n\" title=\"\(label)\"><span>\(head)</span>\(what.map { "<small>\($0)</small>" } ?? "")</th>"
    }.joined()
  }
}
