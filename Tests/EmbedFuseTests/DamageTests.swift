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

  /// All that stands in the file's datasets, which is all but what HDF5 itself keeps: tensors, files, manifest.
  @Test(arguments: ["fused.h5", "delta.h5"])
  func theDataOfAnHDF5FileCounts(name: String) async throws {
    let folder = try TemporaryFolder()
    let output = try await Self.output(name, in: folder)
    let bytes = Array(try Data(contentsOf: URL(fileURLWithPath: output)))
    var regions: [(what: String, bytes: Range<Int>)] = []
    // Zstandard frames, which hold tensors and larger files, begin with their magic number. What stands between one and the
    // next isn't only the frame, but its first part is.
    let magic: [UInt8] = [0x28, 0xB5, 0x2F, 0xFD]
    let frames = bytes.indices.dropLast(64).filter { bytes[$0..<$0 + 4].elementsEqual(magic) }
    #expect(frames.count >= 3)
    for (frame, next) in zip(frames, frames.dropFirst() + [bytes.count]) {
      regions.append(("a frame", frame..<frame + min(800, max(32, (next - frame) / 2))))
    }
    let small = try #require(bytes.firstRange(of: Array("\"model_type\"".utf8)))
    regions.append(("a small file", small))
    var generator = SeededGenerator(seed: 7)
    for region in regions {
      let bits = (0..<40).map { _ in
        region.bytes.lowerBound * 8 + Int.random(in: 0..<region.bytes.count * 8, using: &generator)
      }
      let unnoticed = try await Self.unnoticed(bits, of: output, in: output)
      #expect(try unnoticed.filter { try !Self.holdsTheSame(output, with: $0) } == [], "\(region.what)")
    }
  }

  /// True if the files in a compressed checkpoint are the same with a bit of it flipped: there are many ways to say in a
  /// frame that text stands elsewhere already. The tensors are the same if their digests are.
  private static func holdsTheSame(_ path: String, with bit: Int) throws -> Bool {
    let files = { (path: String) in
      let source = try ModelSource.open(path)
      return try (source.companions + source.ownFiles).map {
        [UInt8]($0.relativePath.utf8) + (try $0.bytes())
      }
    }
    var bytes = try Data(contentsOf: URL(fileURLWithPath: path))
    bytes[bit / 8] ^= 1 << UInt8(bit % 8)
    let other = path + ".flipped.h5"
    defer { try? FileManager.default.removeItem(atPath: other) }
    try bytes.write(to: URL(fileURLWithPath: other))
    let before = try files(path)
    return try before.count > 1 && files(other) == before
  }
}

extension Array where Element == UInt8 {
  /// Where some bytes stand first.
  fileprivate func firstRange(of pattern: [UInt8]) -> Range<Int>? {
    Data(self).range(of: Data(pattern))
  }
}
