import Foundation
import TestSupport
import Testing

@testable import EmbedFuse

/// Outputs made in parts have the bytes of one run.
@Suite struct PartTests {
  /// Methods with their settings: without stages, with stages over rows, tensors, layers and the model, and random ones.
  static let methods = [
    "delta-guided granularity=element", "delta-guided granularity=row", "delta-guided granularity=tensor",
    "delta-guided granularity=layer", "delta-guided granularity=model", "delta-guided lambda=auto",
    "delta-guided balance=model magnitude=relative", "soup", "ties density=0.3", "dare-ties density=0.5",
    "della density=0.5", "sce", "breadcrumbs", "pcb", "widen", "lines", "model-stock", "karcher",
    "emr-unified",
  ]

  private static func method(_ text: String, seed: UInt64 = 7) throws -> MethodSettings {
    let words = text.split(separator: " ").map(String.init)
    var settings: [String: TensorValue] = [:]
    for word in words.dropFirst() {
      let halves = word.split(separator: "=").map(String.init)
      settings[halves[0]] = TensorValue(halves[1])
    }
    return try MethodSettings(try MethodSettings.method(named: words[0]), settings, seed: seed)
  }

  @Test(arguments: PartTests.methods) func partsTogetherAreOneRun(_ name: String) async throws {
    let fixture = try PartFixture()
    let method = try Self.method(name)
    try await fixture.plan(method).run(to: fixture.folder("one"), options: PartFixture.options())
    for part in [2, 3, 1] { try await fixture.make(part, of: 3, try fixture.plan(method)) }
    let result = try await fixture.finalize()
    #expect(fixture.contents("out") == fixture.contents("one"))
    #expect(result.fusedTensors == 39 && result.weightShares.count == 2)
    #expect(fixture.folder.names == ["base", "one", "out", "retrieval", "similarity"])
  }

  @Test(arguments: 1...8) func anyNumberOfPartsWillDo(_ count: Int) async throws {
    let fixture = try PartFixture()
    let one = try await fixture.plan(dtype: .bf16).run(
      to: fixture.folder("one"), options: PartFixture.options { $0.maximumShardBytes = 2500 })
    var loads: [Int] = []
    for part in 1...count {
      let result = try await fixture.make(part, of: count, try fixture.plan(dtype: .bf16)) {
        $0.maximumShardBytes = 2500
      }
      loads.append(result.byteCount)
      #expect(result.shards.all == 6)
      #expect(result.notes.contains { $0.contains("has nothing to do") } == (result.shards.made == 0))
    }
    // Balanced: no part has more than another by more than the largest shard.
    #expect(loads.max()! - loads.min()! <= 2500 && loads.reduce(0, +) == one.bytesWritten, "\(loads)")
    try await fixture.finalize()
    #expect(fixture.contents("out") == fixture.contents("one"))
  }

  @Test func modulesInFoldersOfTheirOwnAreShardsToo() async throws {
    let fixture = try PartFixture()
    let dense = Fixtures.path("samples/st/with_dense")
    let plan = try FusionPlan(Recipe(models: [dense, dense], method: try .init(named: "soup")))
    let options = PartFixture.options { $0.maximumShardBytes = 100_000 }
    try await plan.run(to: fixture.folder("one"), options: options)
    for part in 1...2 { try await fixture.make(part, of: 2, plan) { $0.maximumShardBytes = 100_000 } }
    try await fixture.finalize()
    let (one, out) = (fixture.contents("one"), fixture.contents("out"))
    #expect(one == out && one.keys.count { $0.hasSuffix(".safetensors") } > 1, "\(one.keys.sorted())")
  }

  @Test func stepsAndRulesComeBackFromAPartsRecord() async throws {
    let fixture = try PartFixture()
    var recipe = Recipe(base: fixture.folder("base"), models: ["half", fixture.folder("similarity")])
    recipe.steps = [
      .init(
        name: "half",
        recipe: Recipe(
          base: fixture.folder("base"), models: [fixture.folder("retrieval")],
          method: try Self.method("dare-linear density=0.50", seed: 3)))
    ]
    recipe.weights = [
      TensorValue(rules: [
        .init(.contains("attention"), points: ["0.250", "1"]), .init(nil, points: ["1.0"]),
      ]), TensorValue("2"),
    ]
    let plan = try FusionPlan(recipe)
    try await plan.run(to: fixture.folder("one"), options: PartFixture.options())
    for part in 1...2 { try await fixture.make(part, of: 2, plan) }
    try await fixture.finalize()
    #expect(fixture.contents("out") == fixture.contents("one"))
  }

  @Test func aPartThatIsThereIsKept() async throws {
    let fixture = try PartFixture()
    #expect(try await !fixture.make(1, of: 2).wasThere)
    let before = fixture.contents("out.parts")
    #expect(try await fixture.make(1, of: 2).wasThere)
    #expect(fixture.contents("out.parts") == before)
  }

  /// A run that is killed once its part has its name leaves a folder beside it, which no later run of that part removes.
  @Test func whatAPartsRunLeftGoesWithTheParts() async throws {
    let fixture = try PartFixture()
    for part in 1...2 { try await fixture.make(part, of: 2) }
    let dead = Process()
    dead.executableURL = URL(fileURLWithPath: "/bin/true")
    try dead.run()
    dead.waitUntilExit()
    let left = "out.parts/.part-00001-of-00002.embedfuse-\(dead.processIdentifier)-89abcdef.tmp"
    try FileManager.default.createDirectory(
      atPath: fixture.folder(left + "/finished"), withIntermediateDirectories: true)
    try Data().write(to: URL(fileURLWithPath: fixture.folder(left + "/lock")))
    try await fixture.finalize()
    #expect(!fixture.folder.names.contains("out.parts"))
  }

  @Test func aDamagedPartIsMadeAgain() async throws {
    let fixture = try PartFixture()
    try await fixture.make(1, of: 2)
    let before = fixture.contents("out.parts")
    let shard = try #require(before.keys.sorted().last { $0.hasSuffix(".safetensors") })
    try fixture.flip("out.parts/\(shard)", fromEnd: 3)
    #expect(try await !fixture.make(1, of: 2).wasThere)
    #expect(fixture.contents("out.parts") == before)
  }

  @Test func severalPartsAndOneTwiceAtTheSameTime() async throws {
    let fixture = try PartFixture()
    try await fixture.plan().run(to: fixture.folder("one"), options: PartFixture.options())
    try await withThrowingTaskGroup(of: Void.self) { group in
      for part in [1, 2, 3, 2, 2, 3] { group.addTask { try await fixture.make(part, of: 3) } }
      try await group.waitForAll()
    }
    try await fixture.finalize()
    #expect(fixture.contents("out") == fixture.contents("one"))
  }

  @Test func anExistingOutputIsReplacedOnlyIfAsked() async throws {
    let fixture = try PartFixture()
    for part in 1...2 { try await fixture.make(part, of: 2) }
    let other = try fixture.plan(try .init(named: "soup"))
    try await other.run(to: fixture.folder("out"), options: PartFixture.options())
    let refused = await embedFuseError { try await fixture.finalize() }
    #expect(refused?.code == .cannotCreate && refused?.problem == "the output exists already")
    let result = try await fixture.finalize { $0.overwrite = true }
    #expect(result.manifest.json["recipe"]?["method"]?.stringValue == "delta-guided")
    #expect(!fixture.folder.names.contains("out.parts"))
  }
}
