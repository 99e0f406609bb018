import Foundation
import TestSupport
import Testing

@testable import EmbedFuse

/// Parts that are missing, damaged, or don't belong together.
@Suite struct PartRefusalTests {
  @Test func missingPartsAreNamed() async throws {
    let fixture = try PartFixture()
    for part in [2, 4] { try await fixture.make(part, of: 5) }
    let error = await embedFuseError { try await fixture.finalize() }
    #expect(
      error?.code == .missingInput && error?.problem == "3 of 5 parts are missing: 1/5, 3/5, 5/5", "\(error!)"
    )
    #expect(error?.remedy?.contains("--part 1/5") == true && !fixture.folder.names.contains("out"))
  }

  @Test func noPartsAtAll() async throws {
    let fixture = try PartFixture()
    let error = await embedFuseError { try await fixture.finalize() }
    #expect(error?.code == .missingInput && error?.problem.contains("there are no parts") == true)
  }

  @Test func aPartOfAnotherRecipeIsRefusedByName() async throws {
    let fixture = try PartFixture()
    try await fixture.make(1, of: 2)
    let other = try fixture.plan(.deltaGuided(DeltaGuided(power: 2)))
    let early = await embedFuseError { try await fixture.make(2, of: 2, other) }
    #expect(
      early?.code == .badData
        && early?.problem.contains("part 1/2 differs in the recipe's parameters") == true)
    try await fixture.make(2, of: 2, other) { $0.overwrite = true }
    let late = await embedFuseError { try await fixture.finalize() }
    #expect(late?.code == .badData && late?.problem.contains("differs in the recipe's parameters") == true)
    #expect(!fixture.folder.names.contains("out"))
  }

  @Test func aPartOfOtherInputsIsRefusedByName() async throws {
    let fixture = try PartFixture()
    try await fixture.make(1, of: 2)
    try fixture.flip("similarity/model.safetensors", changesTime: true)
    let early = await embedFuseError { try await fixture.make(2, of: 2) }
    #expect(early?.problem.contains("the input similarity (model.safetensors)") == true, "\(early!)")
    try await fixture.make(2, of: 2, nil) { $0.overwrite = true }
    let late = await embedFuseError { try await fixture.finalize() }
    #expect(late?.problem.contains("the input similarity (model.safetensors)") == true, "\(late!)")
  }

  @Test func anInputThatChangesAfterThePartsIsNoticed() async throws {
    let fixture = try PartFixture()
    for part in 1...2 { try await fixture.make(part, of: 2) }
    try fixture.flip("retrieval/model.safetensors", changesTime: true)
    let error = await embedFuseError { try await fixture.finalize() }
    #expect(
      error?.code == .badData && error?.problem.contains("the input retrieval (model.safetensors)") == true)
    #expect(!fixture.folder.names.contains("out") && fixture.folder.names.contains("out.parts"))
  }

  @Test(arguments: ["adapter_config.json", "adapter_model.safetensors", "base/model.safetensors"])
  func whatAnAdapterStandsForIsNoticed(_ changed: String) async throws {
    let fixture = try PartFixture()
    let folder = fixture.folder
    for name in ["base", "lora"] {
      try FileManager.default.copyItem(
        atPath: Fixtures.path("samples/peft/\(name)"), toPath: folder("peft-\(name)"))
    }
    // The fusion's own base is another copy, so that only the adapter's model changes.
    let recipe = Recipe(
      base: Fixtures.path("samples/peft/base"), models: [folder("peft-base+") + folder("peft-lora")])
    try await fixture.make(1, of: 2, try FusionPlan(recipe))
    let file = changed.hasPrefix("base/") ? "peft-\(changed)" : "peft-lora/\(changed)"
    let path = folder(file)
    try FileManager.default.setAttributes(
      [.modificationDate: Date(timeIntervalSince1970: 1)], ofItemAtPath: path)
    let error = await embedFuseError { try await fixture.make(2, of: 2, try FusionPlan(recipe)) }
    let name = try #require(changed.split(separator: "/").last)
    #expect(
      error?.code == .badData && error?.problem.contains("the input peft-lora (\(name))") == true,
      "\(String(describing: error))")
  }

  @Test func aTokenizerThatChangesIsNoticed() async throws {
    let fixture = try PartFixture()
    for part in 1...2 { try await fixture.make(part, of: 2) }
    try fixture.flip("base/vocab.txt", fromEnd: 2)
    let error = await embedFuseError { try await fixture.finalize() }
    #expect(error?.problem.contains("the file vocab.txt") == true, "\(error!)")
  }

  @Test func partsOfAnotherNumberAreRefused() async throws {
    let fixture = try PartFixture()
    try await fixture.make(1, of: 3)
    let error = await embedFuseError { try await fixture.make(1, of: 2) }
    #expect(error?.code == .badData && error?.problem.contains("part 1/3 is not one of 2") == true)
  }

  @Test func partsOfAnotherShardSizeAreRefused() async throws {
    let fixture = try PartFixture()
    try await fixture.make(1, of: 2)
    let error = await embedFuseError { try await fixture.make(2, of: 2, nil) { $0.maximumShardBytes = 9000 } }
    #expect(error?.problem.contains("the division into shards (--max-shard-size)") == true)
  }

  @Test(arguments: [true, false]) func aDamagedFileOfAPartIsNamed(_ cuts: Bool) async throws {
    let fixture = try PartFixture()
    for part in 1...2 { try await fixture.make(part, of: 2) }
    let name = "part-00002-of-00002/model-00002-of-00006.safetensors"
    if cuts {
      let handle = try FileHandle(forWritingTo: URL(fileURLWithPath: fixture.folder("out.parts/\(name)")))
      try handle.truncate(atOffset: 300)
      try handle.close()
    } else {
      try fixture.flip("out.parts/\(name)", fromEnd: 40)
    }
    let error = await embedFuseError { try await fixture.finalize() }
    #expect(
      error?.code == .badData
        && error?.problem.hasSuffix("\n  part 2/2: model-00002-of-00006.safetensors") == true)
    #expect(!fixture.folder.names.contains("out") && fixture.folder.names.contains("out.parts"))
    #expect(!fixture.folder.names.contains { $0.hasSuffix(".tmp") })
    // Sizes alone don't show a flipped bit; verify does.
    if cuts {
      #expect(await embedFuseError { try await fixture.finalize(verifies: false) }?.code == .badData)
    } else {
      try await fixture.finalize(verifies: false)
      let verification = try Verification(of: fixture.folder("out"))
      #expect(await embedFuseError { _ = try await verification.run() }?.code == .badData)
    }
  }

  @Test func aLinkInThePlaceOfAFileIsRefused() async throws {
    let fixture = try PartFixture()
    for part in 1...2 { try await fixture.make(part, of: 2) }
    let shard = fixture.folder("out.parts/part-00002-of-00002/model-00002-of-00006.safetensors")
    try FileManager.default.moveItem(atPath: shard, toPath: fixture.folder("elsewhere"))
    try FileManager.default.createSymbolicLink(
      atPath: shard, withDestinationPath: fixture.folder("elsewhere"))
    #expect(await embedFuseError { try await fixture.finalize() }?.code == .badData)
  }

  @Test(arguments: ["{", "{}", "[1]"]) func aRecordThatIsNoneIsRefused(_ text: String) async throws {
    let fixture = try PartFixture()
    for part in 1...2 { try await fixture.make(part, of: 2) }
    let record = fixture.folder("out.parts/part-00001-of-00002/embedfuse-part.json")
    try Data(text.utf8).write(to: URL(fileURLWithPath: record))
    let error = await embedFuseError { try await fixture.finalize() }
    #expect(error?.code == .badData && error?.path == record)
  }

  @Test func aPartUnderAnothersNameIsRefused() async throws {
    let fixture = try PartFixture()
    try await fixture.make(1, of: 2)
    let parts = fixture.folder("out.parts/")
    try FileManager.default.copyItem(
      atPath: parts + "part-00001-of-00002", toPath: parts + "part-00002-of-00002")
    let error = await embedFuseError { try await fixture.finalize() }
    #expect(error?.code == .badData && error?.problem == "says that it is part 1/2")
  }

  @Test(arguments: ["out.safetensors", "out.h5", "out.npz", "out.gguf"])
  func oneFileCantBeMadeInParts(_ name: String) async throws {
    let fixture = try PartFixture()
    let plan = try fixture.plan()
    let error = await embedFuseError {
      _ = try await plan.run(
        part: try OutputPart(1, of: 2), of: fixture.folder(name), options: PartFixture.options())
    }
    #expect(error?.code == .usage && error?.remedy?.contains("--max-shard-size") == true)
  }

  @Test func aPartWritesNoWeightsReport() async throws {
    let fixture = try PartFixture()
    let error = await embedFuseError {
      try await fixture.make(1, of: 2, nil) { $0.weightsReport = fixture.folder("report.json") }
    }
    #expect(error?.code == .usage && error?.problem.contains("weights report") == true)
  }

  @Test func aPartOfAnOutputThatExistsIsRefused() async throws {
    let fixture = try PartFixture()
    try await fixture.plan().run(to: fixture.folder("out"), options: PartFixture.options())
    #expect(await embedFuseError { try await fixture.make(1, of: 2) }?.code == .cannotCreate)
  }

  @Test func aPartOfAnInputIsRefused() async throws {
    let fixture = try PartFixture()
    let plan = try fixture.plan()
    let error = await embedFuseError {
      _ = try await plan.run(
        part: try OutputPart(1, of: 2), of: fixture.folder("base"),
        options: PartFixture.options { $0.overwrite = true })
    }
    #expect(error?.code == .cannotCreate && error?.problem.contains("is one of the inputs") == true)
  }
}
