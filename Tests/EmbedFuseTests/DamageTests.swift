import Checkpoints
import EmbedFuse
import Foundation
import TestSupport
import Testing

/// One flipped bit anywhere in an output is found by `verify`.
@Suite struct DamageTests {
  /// An output of some tensors, small and large enough for compression, with the files of a model.
  private static func output(_ name: String, in folder: TemporaryFolder) async throws -> String {
    let shapes: [(String, [UInt])] = [
      ("embeddings.weight", [96, 64]), ("encoder.layer.0.dense.weight", [40, 24]),
      ("encoder.layer.0.dense.bias", [24]),
    ]
    let files = try PropertyTests.family(folder, shapes: shapes)
    for file in files {
      let model = String(file.dropLast(".safetensors".count))
      try FileManager.default.createDirectory(atPath: model, withIntermediateDirectories: false)
      try FileManager.default.moveItem(atPath: file, toPath: model + "/model.safetensors")
      try #"{"model_type": "bert"}"#.write(toFile: model + "/config.json", atomically: true, encoding: .utf8)
    }
    let models = files.map { String($0.dropLast(".safetensors".count)) }
    let path = folder(name)
    try await FusionPlan(Recipe(base: models[0], models: Array(models.dropFirst()))).run(
      to: path, options: OutputOptions(synchronize: false, relativeTo: name == "delta.h5" ? models[0] : nil))
    return path
  }

  /// True if an output is taken for intact.
  private static func isIntact(_ path: String) async -> Bool {
    do {
      _ = try await Verification(of: path).run(threads: 1)
      return true
    } catch {
      return false
    }
  }

  /// Flips bits of a file, one at a time, and returns those at which the output was taken for intact.
  private static func unnoticed(_ bits: [Int], of file: String, in output: String) async throws
    -> [Int]
  {
    let whole = try Data(contentsOf: URL(fileURLWithPath: file))
    let handle = try FileHandle(forUpdating: URL(fileURLWithPath: file))
    defer { try? handle.close() }
    var unnoticed: [Int] = []
    for bit in bits {
      try handle.seek(toOffset: UInt64(bit / 8))
      try handle.write(contentsOf: [whole[bit / 8] ^ (1 << UInt8(bit % 8))])
      if await isIntact(output) { unnoticed.append(bit) }
      try handle.seek(toOffset: UInt64(bit / 8))
      try handle.write(contentsOf: [whole[bit / 8]])
    }
    #expect(await isIntact(output))
    return unnoticed
  }

  /// Every bit of the manifest itself, wherever it stands.
  @Test func everyBitOfAManifestCounts() async throws {
    let folder = try TemporaryFolder()
    let output = try await Self.output("fused", in: folder)
    let bytes = try Data(contentsOf: URL(fileURLWithPath: output + "/embedfuse.json"))
    #expect(try FusionManifest(Array(bytes), path: "embedfuse.json").json["manifest"]?.intValue == 2)
    var unnoticed: [Int] = []
    for bit in 0..<bytes.count * 8 {
      var damaged = Array(bytes)
      damaged[bit / 8] ^= 1 << UInt8(bit % 8)
      if (try? FusionManifest(damaged, path: "embedfuse.json")) != nil { unnoticed.append(bit) }
    }
    #expect(unnoticed.isEmpty)
    // A change that leaves it well-formed is told apart from damage by nobody, but refused.
    let edited = String(decoding: bytes, as: UTF8.self).replacing("\"power\": 1", with: "\"power\": 2")
    let error = #expect(throws: EmbedFuseError.self) {
      try FusionManifest(Array(edited.utf8), path: "embedfuse.json")
    }
    #expect(error?.description.contains("damaged or was edited") == true)
  }

  /// A few bits of every region of the file, and random ones: header, manifest in it, and data.
  @Test func everyRegionOfASafetensorsFileCounts() async throws {
    let folder = try TemporaryFolder()
    let output = try await Self.output("fused.safetensors", in: folder)
    let size = try Data(contentsOf: URL(fileURLWithPath: output)).count
    var generator = SeededGenerator(seed: 5)
    let bits =
      stride(from: 0, to: size * 8, by: 397).map { $0 }
      + (0..<200).map { _ in
        Int.random(in: 0..<size * 8, using: &generator)
      }
    #expect(try await Self.unnoticed(bits, of: output, in: output) == [])
  }

  @Test func everyFileOfADirectoryCounts() async throws {
    let folder = try TemporaryFolder()
    let output = try await Self.output("fused", in: folder)
    var generator = SeededGenerator(seed: 6)
    for name in try FileManager.default.subpathsOfDirectory(atPath: output) {
      let size = try Data(contentsOf: URL(fileURLWithPath: "\(output)/\(name)")).count
      let bits = (0..<60).map { _ in Int.random(in: 0..<size * 8, using: &generator) }
      #expect(try await Self.unnoticed(bits, of: "\(output)/\(name)", in: output) == [], "\(name)")
    }
  }

  /// What stands in each of several weight files, and of an index besides the places of tensors.
  @Test func textsOfEveryWeightFileCount() async throws {
    let folder = try TemporaryFolder()
    let model = Fixtures.path("samples/st/with_dense")
    var options = OutputOptions(synchronize: false)
    options.maximumShardBytes = 1 << 20
    let output = folder("fused")
    try await FusionPlan(Recipe(models: [model, model], method: .soup())).run(to: output, options: options)
    let names = try FileManager.default.subpathsOfDirectory(atPath: output)
    let files = names.filter { $0.hasSuffix(".safetensors") || $0.hasSuffix(".index.json") }
    #expect(files.contains("2_Dense/model.safetensors") && files.contains("model.safetensors.index.json"))
    #expect(files.count > 3)
    for name in files {
      let bytes = try Data(contentsOf: URL(fileURLWithPath: "\(output)/\(name)"))
      let isIndex = name.hasSuffix(".json")
      let start = try #require(bytes.firstRange(of: Data((isIndex ? "{" : "\"__metadata__").utf8)))
      let end = try #require(bytes[start.lowerBound...].firstIndex(of: UInt8(ascii: "}")))
      let bits = stride(from: start.lowerBound * 8, to: (end + 1) * 8, by: 3).map { $0 }
      #expect(try await Self.unnoticed(bits, of: "\(output)/\(name)", in: output) == [], "\(name)")
    }
  }

  /// Random bits anywhere and near the beginning, in gaps and lists of free space too, and of the seal at the end.
  @Test(arguments: ["fused.h5", "delta.h5"])
  func everyRegionOfAnHDF5FileCounts(name: String) async throws {
    let folder = try TemporaryFolder()
    let output = try await Self.output(name, in: folder)
    let size = try Data(contentsOf: URL(fileURLWithPath: output)).count
    var generator = SeededGenerator(seed: 7)
    let bits =
      (0..<60).map { _ in Int.random(in: 0..<size * 8, using: &generator) }
      + (0..<60).map { _ in Int.random(in: 0..<4096 * 8, using: &generator) }
      + stride(from: size - 120, to: size, by: 3).map { $0 * 8 + Int.random(in: 0..<8, using: &generator) }
    #expect(try await Self.unnoticed(bits, of: output, in: output) == [])
  }

  /// What another program has written anew, or to, has lost its seal.
  @Test func anHDF5FileWithoutItsSealIsRefused() async throws {
    let folder = try TemporaryFolder()
    let output = try await Self.output("fused.h5", in: folder)
    let handle = try FileHandle(forUpdating: URL(fileURLWithPath: output))
    try handle.truncate(atOffset: try handle.seekToEnd() - 40)
    try handle.close()
    let error = await #expect(throws: EmbedFuseError.self) { try await Verification(of: output).run() }
    #expect(error?.code == .badData)
    #expect(error?.description.contains("the digests of its bytes are missing at its end") == true)
  }
}
