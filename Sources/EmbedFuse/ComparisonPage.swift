import Checkpoints
import TensorCore

/// A comparison as one page for a browser: no network, no other files, light and dark; every name is escaped.
public struct ComparisonPage: Sendable {
  let comparison: ModelComparison
  let labels: [String]
  /// What stands above columns: the labels if they are short, else letters, which the table of models explains.
  let heads: [String]

  /// The most layers that are shown, and tensors of one layer: browsers grow slow with more.
  static let partLimit = 1000
  /// The layers that are shown, of ordinary models all.
  var shownLayers: ArraySlice<ModelComparison.Part> { comparison.layers.prefix(Self.partLimit) }

  /// The page of a comparison.
  public init(_ comparison: ModelComparison) {
    self.comparison = comparison
    labels = comparison.labels.map(Self.escaped)
    heads = labels.allSatisfy { $0.count <= 8 } ? labels : comparison.marks
  }

  /// The page.
  public var html: String {
    let title =
      "\(comparison.models.count == 1 ? "A model" : "\(comparison.models.count) models") and their base"
    return """
      <!doctype html>
      <html lang="en">
      <head>
      <meta charset="utf-8">
      <meta name="viewport" content="width=device-width, initial-scale=1">
      <meta name="color-scheme" content="light dark">
      <meta http-equiv="Content-Security-Policy" content="default-src 'none'; style-src 'unsafe-inline'; script-src 'unsafe-inline'; img-src data:">
      <meta name="generator" content="embedfuse \(embedFuseVersion)">
      <link rel="icon" href="data:,">
      <title>\(title)</title>
      <style>
      \(Self.style)</style>
      </head>
      <body>
      <header>
      <p class="eyebrow">embedfuse diff</p>
      <h1>How far \(comparison.models.count == 1 ? "a model" : "\(comparison.models.count) models") moved from <span class="name">\(Self.escaped(FilePath.portable(comparison.base)))</span></h1>
      <p class="lead">\(FigureText.count(comparison.total.elements)) elements in \(comparison.tensors.count.counted("tensor")) and \(comparison.layers.count.counted("layer")) are compared.</p>
      </header>
      <main>
      \(models)\(heatMaps)\(tables)\(details)\(mismatches)\(notes)\(definitions)</main>
      <script>
      \(Self.script)</script>
      </body>
      </html>

      """
  }

  /// A name from a file as text of the page: what means something to a browser is written as an entity, what
  /// isn't seen as `printable` has it.
  static func escaped(_ text: String) -> String {
    var result = ""
    for character in text.printable.unicodeScalars {
      switch character {
      case "&": result += "&amp;"
      case "<": result += "&lt;"
      case ">": result += "&gt;"
      case "\"": result += "&quot;"
      case "'": result += "&#39;"
      default: result.unicodeScalars.append(character)
      }
    }
    return result
  }
}

extension ComparisonPage {
  /// The place of a page, prepared before any work.
  public struct Target: Sendable {
    private let publication: Publication

    /// A place at `path`, which `ComparisonOptions.page` should name as well.
    ///
    /// - Throws: `EmbedFuseError` (cannot create) if something stands there that isn't to be replaced.
    public init(_ path: String, overwrite: Bool) throws(EmbedFuseError) {
      publication = try Publication(to: path, kind: .file, overwrite: overwrite, synchronize: false)
    }

    /// Writes the page and publishes it.
    ///
    /// - Throws: `EmbedFuseError`, with the number ECANCELED if the task is cancelled; nothing is published then.
    public func write(_ comparison: ModelComparison) throws(EmbedFuseError) {
      let text = Array(ComparisonPage(comparison).html.utf8)
      try EmbedFuseError.checkCancellation()
      try OutputFile.write(text, to: publication.stagingPath)
      try publication.publish()
    }
  }
}
