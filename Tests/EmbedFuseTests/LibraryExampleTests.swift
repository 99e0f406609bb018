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
