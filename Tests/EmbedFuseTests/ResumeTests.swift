import Checkpoints
import Foundation
import TestSupport
import Testing

@testable import EmbedFuse

/// Interrupted fusions that are continued.
///
/// A run that died at a chosen shard has made the shards before it and left them. One that fails does so by a NaN that is
/// put into an input, which is another input then.
@Suite struct ResumeTests {
  /// The family, with a fault that can be put into any shard.
  struct Fixture {
    let family: PartFixture

    init() async throws {
      family = try PartFixture()
      try setTime()
      try await family.plan().run(to: family.folder("one"), options: PartFixture.options())
    }

    private var input: String { family.folder("similarity/model.safetensors") }

    /// A time of change that Foundation can set exactly.
    private func setTime() throws {
      try FileManager.default.setAttributes(
        [.modificationDate: Date(timeIntervalSince1970: 1_700_000_000)], ofItemAtPath: input)
    }

    /// Runs `body` while the first fused tensor of a shard has a NaN in one input.
    func withFault(inShard shard: Int, _ body: () async throws -> Void) async throws {
      let healthy = try Data(contentsOf: URL(fileURLWithPath: input))
      let fusion = try ShardedFusion(try family.plan(), options: PartFixture.options(), files: [])
      let name = try #require(fusion.layout.tensors(ofShard: shard).first { $0.elementType == .f32 }).name
      let dataStart = 8 + (0..<8).reduce(0) { $0 + Int(healthy[$1]) << (8 * $1) }
      let header = try JSON.parse(Array(healthy[8..<dataStart]).span, path: input)
      let offset = try #require(header[name]?["data_offsets"]?.arrayValue?.first?.intValue)
      var data = healthy
      data.replaceSubrange(dataStart + offset..<dataStart + offset + 4, with: [0, 0, 0xC0, 0x7F])
      try data.write(to: URL(fileURLWithPath: input))
      try setTime()
      try await body()
      try healthy.write(to: URL(fileURLWithPath: input))
      try setTime()
    }

    /// Leaves what a run leaves that dies in a shard: the shards before it. Inputs are as they were.
    func die(inShard shard: Int, part: OutputPart? = nil, _ plan: FusionPlan? = nil) async throws {
      let plan = try plan ?? family.plan()
      let options = PartFixture.options {
        $0.resumes = true
        $0.overwrite = part != nil
      }
      var some = try ShardedFusion(plan, options: options, files: try plan.companionFiles(), part: part)
      some.shards.removeAll { $0 >= shard }
      guard !some.shards.isEmpty else { return }
      let path = part.map { PartsFolder(for: family.folder("out")).path(of: $0) } ?? family.folder("out")
      try FileManager.default.createDirectory(
        atPath: FilePath.folder(of: path), withIntermediateDirectories: true)
      var notes: [String] = []
      let publication = try some.publication(at: path, options: options, notes: &notes)
      _ = try await plan.make(
        some, in: publication, options: options, progress: FusionProgress(), notes: &notes)
      publication.keep()
    }

    /// A run that fails in a shard, over an input that has a NaN there for as long, and its time of change before and
    /// after.
    func fail(inShard shard: Int) async throws {
      try await withFault(inShard: shard) {
        let error = await embedFuseError { try await run() }
        #expect(
          error?.code == .badData && error?.problem.contains("NaN") == true, "\(String(describing: error))")
      }
    }

    /// A run that continues.
    @discardableResult func run(
      _ plan: FusionPlan? = nil, resumes: Bool = true, progress: FusionProgress = FusionProgress()
    ) async throws -> FusionResult {
      let plan = try plan ?? family.plan()
      return try await plan.run(
        to: family.folder("out"), options: PartFixture.options { $0.resumes = resumes }, progress: progress)
    }

    /// What dead runs have left.
    var leftovers: [String] { family.folder.names.filter { $0.hasSuffix(".tmp") } }
  }

  @Test(arguments: 0..<6) func aRunThatDiedInAShardIsContinued(_ shard: Int) async throws {
    let fixture = try await Fixture()
    try await fixture.die(inShard: shard)
    // Where nothing was finished nothing is left.
    #expect(fixture.leftovers.count == (shard > 0 ? 1 : 0) && !fixture.family.folder.names.contains("out"))
    let (whole, rest) = (FusionProgress(), FusionProgress())
    try await fixture.family.plan().run(
      to: fixture.family.folder("whole"), options: PartFixture.options(), progress: whole)
    let result = try await fixture.run(progress: rest)
    #expect(fixture.family.contents("out") == fixture.family.contents("one"))
    #expect(
      result.notes.contains("continued: \(shard) of 6 shards were finished and are intact") == (shard > 0),
      "\(result.notes)")
    #expect((rest.completedBytes < whole.completedBytes) == (shard > 0) && fixture.leftovers.isEmpty)
    #expect(rest.completedBytes == rest.totalBytes)
  }

  @Test func aRunThatDiesAgainAndAgainGetsThere() async throws {
    let fixture = try await Fixture()
    for shard in 1..<6 { try await fixture.die(inShard: shard) }
    #expect(fixture.leftovers.count == 1)
    let result = try await fixture.run()
    #expect(result.notes.contains { $0.hasPrefix("continued: 5 of 6") })
    #expect(fixture.family.contents("out") == fixture.family.contents("one"))
  }

  @Test(arguments: ["delta-guided", "sce", "dare-ties"])
  func otherMethodsAreContinuedToo(_ name: String) async throws {
    let fixture = try await Fixture()
    let method = try MethodSettings(try MethodSettings.method(named: name), [:], seed: 5)
    let plan = try fixture.family.plan(method)
    try await plan.run(to: fixture.family.folder("other"), options: PartFixture.options())
    try await fixture.die(inShard: 2, plan)
    let result = try await fixture.run(plan)
    #expect(result.notes.contains { $0.hasPrefix("continued: 2 of 6") }, "\(result.notes)")
    #expect(fixture.family.contents("out") == fixture.family.contents("other"))
  }

  @Test func stagesOverTheModelAreRunAgain() async throws {
    let fixture = try await Fixture()
    let plan = try fixture.family.plan(.deltaGuided(DeltaGuided(granularity: .model, lambda: .auto)))
    try await plan.run(to: fixture.family.folder("other"), options: PartFixture.options())
    try await fixture.die(inShard: 2, plan)
    let result = try await fixture.run(plan)
    #expect(result.notes.contains { $0.hasPrefix("continued: 2 of 6") }, "\(result.notes)")
    #expect(fixture.family.contents("out") == fixture.family.contents("other"))
  }

  @Test func withoutResumeLeftoversAreRemoved() async throws {
    let fixture = try await Fixture()
    try await fixture.die(inShard: 4)
    let result = try await fixture.run(resumes: false)
    #expect(fixture.leftovers.isEmpty && !result.notes.contains { $0.hasPrefix("continued") })
    #expect(fixture.family.contents("out") == fixture.family.contents("one"))
  }

  @Test func withoutResumeAFailedRunLeavesNothing() async throws {
    let fixture = try await Fixture()
    try await fixture.withFault(inShard: 4) {
      #expect(await embedFuseError { try await fixture.run(resumes: false) }?.code == .badData)
    }
    #expect(fixture.leftovers.isEmpty)
  }

  @Test(arguments: [true, false]) func aDamagedShardIsMadeAgain(_ cuts: Bool) async throws {
    let fixture = try await Fixture()
    try await fixture.die(inShard: 4)
    let shard = "\(fixture.leftovers[0])/new/model-00002-of-00006.safetensors"
    if cuts {
      let handle = try FileHandle(forWritingTo: URL(fileURLWithPath: fixture.family.folder(shard)))
      try handle.truncate(atOffset: 100)
      try handle.close()
    } else {
      try fixture.family.flip(shard, fromEnd: 10)
    }
    let result = try await fixture.run()
    #expect(
      result.notes.contains(
        "model-00002-of-00006.safetensors of the interrupted run is damaged and made again"))
    #expect(result.notes.contains("continued: 3 of 6 shards were finished and are intact"), "\(result.notes)")
    #expect(fixture.family.contents("out") == fixture.family.contents("one"))
  }

  @Test(arguments: [
    "", "{\"path\":", "[]", "{\"path\":\"model-00001-of-00006.safetensors\",\"tensors\":[{}]}",
  ])
  func aShardWithoutAWholeRecordIsMadeAgain(_ record: String) async throws {
    let fixture = try await Fixture()
    try await fixture.die(inShard: 3)
    let path = fixture.family.folder("\(fixture.leftovers[0])/finished/shard-1.json")
    try Data(record.utf8).write(to: URL(fileURLWithPath: path))
    let result = try await fixture.run()
    #expect(result.notes.contains("continued: 2 of 6 shards were finished and are intact"), "\(result.notes)")
    #expect(fixture.family.contents("out") == fixture.family.contents("one"))
  }

  @Test func anotherRecipeStartsAnew() async throws {
    let fixture = try await Fixture()
    try await fixture.die(inShard: 4)
    let plan = try fixture.family.plan(.deltaGuided(DeltaGuided(power: 2)))
    try await plan.run(to: fixture.family.folder("other"), options: PartFixture.options())
    let result = try await fixture.run(plan)
    #expect(
      result.notes.contains("started anew: the interrupted run differs in the recipe's parameters"),
      "\(result.notes)")
    #expect(fixture.family.contents("out") == fixture.family.contents("other"))
  }

  @Test func anotherInputStartsAnew() async throws {
    let fixture = try await Fixture()
    try await fixture.die(inShard: 4)
    try fixture.family.flip("retrieval/model.safetensors", fromEnd: 5, changesTime: true)
    try await fixture.run(resumes: false)
    let whole = fixture.family.contents("out")
    try fixture.family.flip("retrieval/model.safetensors", fromEnd: 5, changesTime: true)
    try FileManager.default.removeItem(atPath: fixture.family.folder("out"))
    try await fixture.die(inShard: 4)
    try fixture.family.flip("retrieval/model.safetensors", fromEnd: 5, changesTime: true)
    let result = try await fixture.run()
    #expect(
      result.notes.contains { $0.contains("the input retrieval (model.safetensors)") }, "\(result.notes)")
    #expect(fixture.family.contents("out") == whole)
  }

  /// Same size, same time of change, other values: written in place, or another file moved there. What the dead run has
  /// finished must not be mixed with what comes of the new state.
  @Test(arguments: [true, false])
  func anInputThatOnlyLooksTheSameStartsAnew(_ isWrittenInPlace: Bool) async throws {
    let fixture = try await Fixture()
    let (folder, name) = (fixture.family.folder, "similarity/model.safetensors")
    try await fixture.die(inShard: 4)
    if isWrittenInPlace {
      try fixture.family.flip(name, fromEnd: 5)
    } else {
      try FileManager.default.copyItem(atPath: folder(name), toPath: folder("copy"))
      try fixture.family.flip("copy", fromEnd: 5)
      try FileManager.default.setAttributes(
        [.modificationDate: Date(timeIntervalSince1970: 1_700_000_000)], ofItemAtPath: folder("copy"))
      try FileManager.default.removeItem(atPath: folder(name))
      try FileManager.default.moveItem(atPath: folder("copy"), toPath: folder(name))
    }
    try await fixture.family.plan().run(to: folder("other"), options: PartFixture.options())
    let result = try await fixture.run()
    #expect(
      result.notes.contains(
        "started anew: the interrupted run differs in the input similarity (replaced, copied or written to)"),
      "\(result.notes)")
    #expect(fixture.family.contents("out") == fixture.family.contents("other"))
    #expect(fixture.leftovers.isEmpty)
  }

  /// With `--resume` a run that fails leaves what it has finished.
  @Test func aFailedRunLeavesItsShards() async throws {
    let fixture = try await Fixture()
    try await fixture.fail(inShard: 3)
    #expect(fixture.leftovers.count == 1)
    let kept = fixture.family.folder("\(fixture.leftovers[0])/finished")
    #expect(
      try FileManager.default.contentsOfDirectory(atPath: kept).sorted() == [
        "fusion.json", "shard-1.json", "shard-2.json", "shard-3.json",
      ])
    // The input without the NaN is another.
    let result = try await fixture.run()
    #expect(result.notes.contains { $0.contains("started anew") } && fixture.leftovers.isEmpty)
    #expect(fixture.family.contents("out") == fixture.family.contents("one"))
  }

  /// Of runs that race for a name one gets it; the others leave nothing, since nothing is left to be continued.
  @Test func runsThatLoseARaceLeaveNothing() async throws {
    let fixture = try await Fixture()
    let codes = await withTaskGroup(of: EmbedFuseError.Code?.self) { group in
      for _ in 0..<6 { group.addTask { await embedFuseError { try await fixture.run() }?.code } }
      return await group.reduce(into: []) { $0.append($1) }
    }
    #expect(codes.count { $0 == nil } == 1 && codes.count { $0 == .cannotCreate } == 5, "\(codes)")
    #expect(fixture.leftovers.isEmpty, "\(fixture.leftovers)")
    #expect(fixture.family.contents("out") == fixture.family.contents("one"))
  }

  @Test func aPartIsContinuedToo() async throws {
    let fixture = try await Fixture()
    let part = try OutputPart(2, of: 2)
    let fusion = try ShardedFusion(
      try fixture.family.plan(), options: PartFixture.options(), files: [], part: part)
    try await fixture.die(inShard: fusion.shards.last!, part: part)
    let result = try await fixture.family.make(2, of: 2) { $0.resumes = true }
    #expect(
      result.notes.contains(
        "continued: \(fusion.shards.count - 1) of \(fusion.shards.count) shards were finished and are intact"),
      "\(result.notes)")
    try await fixture.family.make(1, of: 2)
    try await fixture.family.finalize()
    #expect(fixture.family.contents("out") == fixture.family.contents("one"))
  }

  @Test(arguments: ["out.safetensors", "out.h5"]) func oneFileCantBeContinued(_ name: String) async throws {
    let fixture = try PartFixture()
    let plan = try fixture.plan()
    let error = await embedFuseError {
      try await plan.run(to: fixture.folder(name), options: PartFixture.options { $0.resumes = true })
    }
    #expect(error?.code == .usage && error?.problem.contains("can't be continued") == true)
  }

  @Test func severalOutputsCantBeContinued() async throws {
    let fixture = try PartFixture()
    let recipe = try fixture.plan().recipe
    let error = await embedFuseError {
      _ = try await FusionPlan.run(
        try FusionPlan.plans(for: [recipe, recipe]), to: [fixture.folder("a"), fixture.folder("b")],
        options: PartFixture.options { $0.resumes = true })
    }
    #expect(error?.code == .usage && error?.problem.contains("only a single output") == true)
  }
}
