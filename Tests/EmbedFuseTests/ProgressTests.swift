import EmbedFuse
import Foundation
import TestSupport
import Testing

/// What is told of a run's progress.
@Suite struct ProgressTests {
  /// No more is read, in all passes, than was announced before: a line of progress never goes beyond 100 %. (It may be
  /// less: a search for ranks may need fewer passes than it could.)
  @Test(arguments: MethodPropertyTests.settings) func noMoreIsReadThanWasAnnounced(
    setting: MethodPropertyTests.Setting
  ) async throws {
    let folder = try TemporaryFolder()
    let recipe = try setting.recipe(try PropertyTests.family(folder))
    try await Self.expectWithin(recipe, folder("fused.safetensors"))
    try await Self.expectWithin(recipe, folder("fused"), maximumShardBytes: 20_000)
  }

  @Test(arguments: PropertyTests.every.indices) func noMoreIsReadByDeltaGuidedFusion(
    index: Int
  ) async throws {
    let folder = try TemporaryFolder()
    let paths = try PropertyTests.family(folder)
    let recipe = Recipe(
      base: paths[0], models: Array(paths[1...]), method: .deltaGuided(PropertyTests.every[index]))
    try await Self.expectWithin(recipe, folder("fused.safetensors"))
    try await Self.expectWithin(recipe, folder("fused"), maximumShardBytes: 20_000)
  }

  private static func expectWithin(
    _ recipe: Recipe, _ path: String, maximumShardBytes: Int? = nil
  ) async throws {
    let progress = FusionProgress()
    var options = OutputOptions(synchronize: false, threads: 2)
    if let maximumShardBytes { options.maximumShardBytes = maximumShardBytes }
    options.weightsReport = path + ".report.json"
    try await FusionPlan(recipe).run(to: path, options: options, progress: progress)
    #expect(progress.completedBytes > 0)
    #expect(progress.completedBytes <= progress.totalBytes, "\(path)")
  }
}
