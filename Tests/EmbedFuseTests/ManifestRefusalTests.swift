import Foundation
import TestSupport
import Testing

@testable import EmbedFuse

/// Manifests that are whole, but don't fit what they are held against.
@Suite struct ManifestRefusalTests {
  /// The manifest of a fusion with members of one of its objects changed, sealed again as another program might.
  private static func edited(
    _ manifest: FusionManifest, _ member: String, _ change: (inout JSON.Object) throws -> Void
  ) throws -> FusionManifest {
    var object = try #require(manifest.json.objectValue)
    var inner = try #require(object[member]?.objectValue)
    try change(&inner)
    object[member] = .object(inner)
    return try FusionManifest(
      Array(FusionManifest.sealed(object).compactText.utf8), path: "edited/embedfuse.json")
  }

  private static let options = OutputOptions(synchronize: false, threads: 2)

  /// Fuses a family, held to a manifest.
  private static func lockedError(
    _ plan: FusionPlan, to path: String, _ manifest: FusionManifest
  ) async -> EmbedFuseError? {
    await embedFuseError {
      try await FusionPlan.run([plan], to: [path], lockedTo: [manifest], options: options)
    }
  }

  /// The inputs are those of the manifest, but the output isn't, as if another version had computed it.
  @Test func anotherOutputOfTheSameInputsIsNotPublished() async throws {
    let fixture = try PartFixture()
    let made = try await fixture.plan().run(to: fixture.folder("out"), options: Self.options)
    let other = try Self.edited(made.manifest, "output") { output in
      var tensors = try #require(output["tensors"]?.objectValue)
      var tensor = try #require(tensors["pooler.dense.bias"]?.objectValue)
      tensor["digest"] = .string(String(repeating: "0", count: 32))
      tensors["pooler.dense.bias"] = .object(tensor)
      tensors["another"] = .object(tensor)
      output["tensors"] = .object(tensors)
    }
    let error = await Self.lockedError(try fixture.plan(), to: fixture.folder("again"), other)
    #expect(error?.code == .badData && error?.problem.contains("though the inputs are") == true)
    #expect(error?.problem.contains("the tensor pooler.dense.bias comes out differently") == true)
    #expect(error?.problem.contains("the tensor another doesn't come out") == true)
    #expect(error?.remedy?.contains("please report it") == true)
    #expect(!fixture.folder.names.contains { $0.contains("again") })

    var object = try #require(other.json.objectValue)
    object["embedfuse"] = "0.0.1"
    let older = try FusionManifest(
      Array(FusionManifest.sealed(object).compactText.utf8), path: "older/embedfuse.json")
    let refused = await Self.lockedError(try fixture.plan(), to: fixture.folder("again"), older)
    #expect(refused?.remedy?.contains("the manifest is of embedfuse 0.0.1") == true)
  }

  @Test func anotherNumberOfModelsIsNamed() async throws {
    let fixture = try PartFixture()
    let made = try await fixture.plan().run(to: fixture.folder("out"), options: Self.options)
    let plan = try FusionPlan(Recipe(base: fixture.folder("base"), models: [fixture.folder("retrieval")]))
    let error = await Self.lockedError(plan, to: fixture.folder("again"), made.manifest)
    #expect(error?.problem.contains("models: 1, but 2 in the manifest") == true, "\(error?.problem ?? "")")
  }

  @Test func aFileThatIsGoneIsNamed() async throws {
    let fixture = try PartFixture()
    let made = try await fixture.plan().run(to: fixture.folder("out"), options: Self.options)
    try FileManager.default.removeItem(atPath: fixture.folder("base/tokenizer_config.json"))
    let error = await Self.lockedError(try fixture.plan(), to: fixture.folder("again"), made.manifest)
    #expect(
      error?.problem.contains("base: the file tokenizer_config.json is missing") == true,
      "\(error?.problem ?? "")")
  }

  @Test func stepsAreComparedByNameAndSetting() async throws {
    let fixture = try PartFixture()
    func plan(_ name: String, density: String) throws -> FusionPlan {
      var recipe = Recipe(base: fixture.folder("base"), models: [name, fixture.folder("similarity")])
      let method = try MethodSettings(named: "ties", parameters: ["density": density])
      recipe.steps = [
        .init(
          name: name,
          recipe: Recipe(
            base: fixture.folder("base"), models: [fixture.folder("retrieval")], method: method))
      ]
      return try FusionPlan(recipe)
    }
    let made = try await plan("half", density: "0.5").run(to: fixture.folder("out"), options: Self.options)
    let renamed = await Self.lockedError(
      try plan("other", density: "0.5"), to: fixture.folder("again"), made.manifest)
    #expect(renamed?.problem.contains("the steps have other names") == true, "\(renamed?.problem ?? "")")
    let changed = await Self.lockedError(
      try plan("half", density: "0.25"), to: fixture.folder("again"), made.manifest)
    #expect(
      changed?.problem.contains("density of the step half: 0.25, but 0.5 in the manifest") == true,
      "\(changed?.problem ?? "")")
    let same = await Self.lockedError(
      try plan("half", density: "0.5"), to: fixture.folder("again"), made.manifest)
    #expect(same == nil && fixture.contents("again") == fixture.contents("out"))
  }

  @Test func aManifestThatContradictsItselfIsNoProof() async throws {
    let fixture = try PartFixture()
    let made = try await fixture.plan().run(to: fixture.folder("out"), options: Self.options)
    func verify(_ change: (inout JSON.Object) throws -> Void) async throws -> EmbedFuseError? {
      let other = try Self.edited(made.manifest, "output", change)
      try Data(other.json.prettyText.utf8).write(
        to: URL(fileURLWithPath: fixture.folder("out/embedfuse.json")))
      return await embedFuseError { _ = try await Verification(of: fixture.folder("out")).run(threads: 2) }
    }
    #expect(try await verify { _ in } == nil)
    let contradiction = try await verify { $0["digest"] = .string(String(repeating: "0", count: 32)) }
    #expect(contradiction?.problem.contains("the manifest contradicts itself") == true)
    let hollow = try await verify { $0["tensors"] = "none" }
    #expect(hollow?.code == .badData && hollow?.problem.contains("doesn't describe an output") == true)
  }
}
