import EmbedFuse
import Foundation
import TestSupport
import Testing

/// The example of README.md: it compiles here, and the README shows what compiles.
@Suite struct LibraryExampleTests {
  @Test func fusesInFiveLines() async throws {
    let folder = try TemporaryFolder()
    let (base, retrieval, similarity) = (
      Fixtures.path("family/base"), Fixtures.path("family/retrieval"), Fixtures.path("family/similarity")
    )

    let recipe = Recipe(base: base, models: [retrieval, similarity])
    let plan = try FusionPlan(recipe)
    let result = try await plan.run(to: folder("fused"))
    #expect(result.weightShares.count == 2)
    #expect(abs(result.weightShares.reduce(0, +) - 1) < 1e-12)
    #expect(try await Verification(of: folder("fused")).run(rerun: false).tensorCount == 40)
  }

  static func document(_ name: String) throws -> String {
    try String(
      contentsOf: Fixtures.root.deletingLastPathComponent().appendingPathComponent(name), encoding: .utf8)
  }

  /// The method of one's own that docs/methods.md shows is the one that the tests compile and use.
  @Test func theDocumentedMethodIsTheCompiledOne() throws {
    let source = try Self.document("Tests/EmbedFuseTests/LargestMove.swift")
    let start = try #require(source.range(of: "/// Takes over"))
    #expect(
      try Self.document("docs/methods.md").contains(
        source[start.lowerBound...].trimmingCharacters(in: .newlines)))
  }

  /// Every method stands in the table of docs/methods.md.
  @Test func everyMethodIsDocumented() throws {
    let text = try Self.document("docs/methods.md")
    for type in FusionMethods.all { #expect(text.contains("| `\(type.description.name)`")) }
    #expect(try Self.document("README.md").contains("\(FusionMethods.all.count) in all"))
  }

  /// The recipes of docs/recipes.md are recipes.
  @Test func theDocumentedRecipesCanBeRead() throws {
    let blocks = try Self.document("docs/recipes.md").components(separatedBy: "```yaml\n").dropFirst()
      .compactMap { $0.components(separatedBy: "```").first }
    #expect(blocks.count == 5)
    for block in blocks {
      // One shows rules alone.
      let text = block.hasPrefix("parameters") ? "method: ties\nbase: b\nmodels: [a]\n\(block)" : block
      #expect(throws: Never.self) { try RecipeFile(text: text, path: "recipes.md") }
    }
  }

  @Test func readmeShowsTheSameCalls() throws {
    let readme = try String(
      contentsOf: Fixtures.root.deletingLastPathComponent().appendingPathComponent("README.md"),
      encoding: .utf8)
    for line in [
      "let recipe = Recipe(base: ", "let plan = try FusionPlan(recipe)", "try await plan.run(to: \"fused\")",
      "result.weightShares",
    ] {
      #expect(readme.contains(line))
    }
  }
}
