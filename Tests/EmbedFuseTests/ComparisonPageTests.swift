import EmbedFuse
import Foundation
import TestSupport
import Testing

/// The page of a comparison: it says what the comparison does, holds no markup of others, and replaces nothing.
@Suite struct ComparisonPageTests {
  static let hostile = #"<img src=x onerror="alert('1')">&amp;"# + "\u{1B}[31m\u{202E}"

  @Test func everyLayerAndModelHasItsCells() async throws {
    let comparison = try await ModelComparisonTests.compared()
    let html = ComparisonPage(comparison).html
    let maps = html.components(separatedBy: "<figure class=\"map ").dropFirst()
    #expect(maps.count == 3)
    for (map, columns) in zip(maps, [2, 2, 2]) {
      let table = try #require(map.components(separatedBy: "</figure>").first)
      #expect(table.components(separatedBy: "<td").count - 1 == (comparison.layers.count + 1) * columns)
      for layer in comparison.layers { #expect(table.contains("<span>\(layer.name)</span>")) }
    }
    for tensor in comparison.tensors {
      #expect(
        html.contains(">\(tensor.name.dropFirst((tensor.layer ?? "").count + 1))</th>"), "\(tensor.name)")
    }
    #expect(html == ComparisonPage(comparison).html)
  }

  @Test func thereIsNothingToFetch() async throws {
    let html = ComparisonPage(try await ModelComparisonTests.compared()).html
    #expect(html.contains("default-src 'none'"))
    for text in ["http:", "https:", "//", "url(", "@import", "src="] {
      #expect(!html.contains(text), "\(text)")
    }
  }

  @Test func namesAreTextAndNoMarkup() async throws {
    let folder = try TemporaryFolder()
    let model = folder("<script>alert(1)<" + "\u{7}")
    try FileManager.default.createDirectory(atPath: model, withIntermediateDirectories: true)
    let name = Self.hostile + ".word_embeddings.weight"
    for (path, value) in [(folder("base.safetensors"), 1.0), (model + "/model.safetensors", 2.0)] {
      try ModelComparisonTests.model(path, [(name, [2, 2], [1, value, 1, 1]), ("\(value)</td>", [1], [1])])
    }
    let comparison = try await ModelComparisonTests.compared(
      [model, model], base: folder("base.safetensors"))
    let html = ComparisonPage(comparison).html
    for text in ["<img", "<script>alert", "onerror=\"", "</td>\"", "\u{1B}", "\u{202E}", "\u{7}"] {
      #expect(!html.contains(text), "\(text.debugDescription)")
    }
    #expect(
      html.contains("&lt;img src=x onerror=&quot;alert(&#39;1&#39;)&quot;&gt;&amp;amp;\\u{1b}[31m\\u{202e}"))
    #expect(comparison.mismatches.count == 4 && html.contains("<code>1.0&lt;/td&gt;</code>"))
  }

  @Test func oneModelHasNeitherWeightsNorCosines() async throws {
    let html = ComparisonPage(
      try await ModelComparisonTests.compared([ModelComparisonTests.family[1]])
    ).html
    #expect(html.components(separatedBy: "<figure class=\"map ").count == 2)
    #expect(!html.contains("least cosine"))
  }

  /// A browser that opens a page of a hundred thousand layers is of no use.
  @Test func aPageOfVeryManyLayersShowsTheFirstThousand() async throws {
    let folder = try TemporaryFolder()
    for (path, value) in [("base.safetensors", 1.0), ("model.safetensors", 2)] {
      let layers = (0..<1003).map { ("layer.\($0).weight", [1] as [UInt], [value]) }
      let heads = (0..<1002).map { ("head.w\($0)", [1] as [UInt], [value]) }
      try ModelComparisonTests.model(folder(path), layers + heads)
    }
    let comparison = try await ModelComparisonTests.compared(
      [folder("model.safetensors")], base: folder("base.safetensors"))
    let html = ComparisonPage(comparison).html
    #expect(html.contains("and \(comparison.layers.count - 1000) more layers: embedfuse diff --json"))
    #expect(html.components(separatedBy: "<details>").count - 1 == 1000)
    #expect(
      html.components(separatedBy: "<td style=").count
        + html.components(separatedBy: "<td class=\"firm").count < 1100)
    #expect(html.contains("The first 1000 layers"))
  }

  /// Squares of 1e200 leave binary64: norms are infinite then, and ratios and angles aren't known.
  @Test func figuresBeyondBinary64HaveTexts() async throws {
    let folder = try TemporaryFolder()
    for (path, value) in [("base.safetensors", 1e200), ("b.safetensors", -1e300), ("c.safetensors", 1.7e308)]
    {
      try ModelComparisonTests.model(folder(path), [("embeddings.weight", [2, 2], [value, 1, 0, 2])])
    }
    let comparison = try await ModelComparisonTests.compared(
      [folder("b.safetensors"), folder("c.safetensors")], base: folder("base.safetensors"))
    #expect(comparison.total.cosines == [nil])
    let html = ComparisonPage(comparison).html
    #expect(html.contains(">inf</td>"))
    #expect(!html.contains("--l:nan") && !html.contains("--l:inf"))
  }
}
