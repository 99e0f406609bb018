import EmbedFuse
import Foundation
import Kernels
import TestSupport
import Testing

@Suite struct ConversionTests {
  private let folder: TemporaryFolder
  private let options = OutputOptions(synchronize: false, threads: 2)
  private let family = Fixtures.path("family")

  init() throws { folder = try TemporaryFolder() }

  private func fuse(to path: String) async throws {
    let recipe = Recipe(base: "\(family)/base", models: ["\(family)/retrieval", "\(family)/similarity"])
    try await FusionPlan(recipe).run(to: path, options: options)
  }

  /// The bytes of all files below a folder, by their paths.
  private func tree(_ path: String) throws -> [String: Data] {
    try FileManager.default.subpathsOfDirectory(atPath: path).reduce(into: [:]) { files, name in
      let url = URL(fileURLWithPath: "\(path)/\(name)")
      guard try url.resourceValues(forKeys: [.isRegularFileKey]).isRegularFile == true else { return }
      files[name] = try Data(contentsOf: url)
    }
  }

  @Test func aFusionInOneFileComesBackAsTheDirectory() async throws {
    try await fuse(to: folder("fused"))
    try await fuse(to: folder("fused.h5"))
    try await Conversion(of: folder("fused.h5")).run(to: folder("restored"), options: options)
    let expected = try tree(folder("fused"))
    #expect(expected.keys.contains("embedfuse.json"))
    #expect(expected.keys.contains("README.md"))
    #expect(expected.keys.contains("1_Pooling/config.json"))
    #expect(try tree(folder("restored")) == expected)
    try await Conversion(of: folder("restored")).run(to: folder("again.h5"), options: options)
    #expect(
      FileManager.default.contentsEqual(atPath: folder("again.h5"), andPath: folder("fused.h5")))
  }

  @Test(arguments: ["samples/st/with_dense", "family/base"])
  func aModelInOneFileComesBackAsTheDirectory(fixture: String) async throws {
    try await Conversion(of: Fixtures.path(fixture)).run(to: folder("model.h5"), options: options)
    try await Conversion(of: folder("model.h5")).run(to: folder("model"), options: options)
    var (restored, expected) = (try tree(folder("model")), try tree(Fixtures.path(fixture)))
    // sentence-transformers leaves the word on the format out of a module's weights.
    if let weights = restored.removeValue(forKey: "2_Dense/model.safetensors") {
      #expect(weights.count > expected.removeValue(forKey: "2_Dense/model.safetensors")?.count ?? .max)
      let (values, others) = (
        try TensorValues(folder("model")).tensors, try TensorValues(Fixtures.path(fixture)).tensors
      )
      #expect(values.mapValues(\.bytes) == others.mapValues(\.bytes))
    }
    #expect(restored == expected)
  }

  @Test(arguments: ["safetensors", "npz", "gguf", "h5"])
  func whatAManifestSaysHoldsInEveryFormat(ending: String) async throws {
    try await fuse(to: folder("fused"))
    let path = folder("fused.\(ending)")
    try await Conversion(of: folder("fused")).run(to: path, options: options)
    let report = try await Verification(of: path).run()
    #expect(report.tensorCount == 40)
    #expect(report.fileCount == (ending == "h5" ? 9 : 0))
    // The fusion itself writes the same file.
    try await fuse(to: folder("other.\(ending)"))
    #expect(FileManager.default.contentsEqual(atPath: folder("other.\(ending)"), andPath: path))
  }

  @Test(arguments: [ElementType.bf16, .f16, .f64, .f8E4M3])
  func anotherElementTypeRoundsOnce(type: ElementType) async throws {
    try await fuse(to: folder("fused"))
    let result = try await Conversion(of: folder("fused"), elementType: type).run(
      to: folder("cast"), options: options)
    #expect(result.castTensors == 39)
    #expect(result.notes.contains { $0.contains("the manifest (embedfuse.json) is left out") })
    let (before, after) = (try TensorValues(folder("fused")), try TensorValues(folder("cast")))
    #expect(before.names == after.names)
    for name in before.names {
      guard before.tensors[name]?.info.elementType == .f32 else {
        // position_ids stays what it is.
        #expect(after.tensors[name]?.bytes == before.tensors[name]?.bytes)
        continue
      }
      let expected = before.doubles(name).flatMap { value in
        let bits = ScalarReference.narrowed(value, to: type)
        return (0..<type.byteWidth!).map { UInt8(truncatingIfNeeded: bits >> UInt64(8 * $0)) }
      }
      #expect(after.tensors[name]?.info.elementType == type)
      #expect(after.tensors[name]?.bytes == expected, "\(name)")
    }
    #expect(!FileManager.default.fileExists(atPath: folder("cast/embedfuse.json")))
    let config = try String(contentsOfFile: folder("cast/config.json"), encoding: .utf8)
    let names: [ElementType: String] = [.bf16: "bfloat16", .f16: "float16", .f64: "float64"]
    if let name = names[type] { #expect(config.contains("\"\(name)\"")) }
  }

  @Test func tiedTensorsKeepTheirRemark() async throws {
    let tied = folder("tied.safetensors")
    try SafetensorsBuilder.write(
      [("a", .f32, [1], [0, 0, 128, 63])], to: tied, metadata: ["format": "pt", "b": "a", "note": "x"])
    try await Conversion(of: tied).run(to: folder("tied.h5"), options: options)
    #expect(try ModelSource.open(folder("tied.h5")).aliases == ["b": "a"])
    try await Conversion(of: folder("tied.h5")).run(to: folder("again.safetensors"), options: options)
    let again = try ModelSource.open(folder("again.safetensors"))
    #expect(again.aliases == ["b": "a"])
    #expect(again.metadata == ["format": "pt", "b": "a", "note": "x"])
    let result = try await Conversion(of: tied).run(to: folder("tied.npz"), options: options)
    #expect(result.notes.contains { $0.contains("1 tied tensors are stored once") && $0.hasSuffix(": b") })
  }

  @Test func aGGUFFileKeepsItsPairs() async throws {
    let source = Fixtures.path("samples/gguf/t.gguf")
    try await Conversion(of: source).run(to: folder("t.gguf"), options: options)
    var expected = try ModelSource.open(source).metadata
    expected["general.file_type"] = "0"
    #expect(try ModelSource.open(folder("t.gguf")).metadata == expected)
    try await Conversion(of: source).run(to: folder("t.safetensors"), options: options)
    #expect(try ModelSource.open(folder("t.safetensors")).metadata == ["format": "pt"])
  }

  @Test func namesTooLongForLlamaAreTold() async throws {
    let name = String(repeating: "x", count: 64)
    let path = folder("long.safetensors")
    try SafetensorsBuilder.write([(name, .f32, [1], [0, 0, 128, 63])], to: path)
    let result = try await Conversion(of: path).run(to: folder("long.gguf"), options: options)
    #expect(result.notes.contains { $0.contains("no file with names of 64 bytes") })
  }

  /// Quantised values are within half a step of the original, and a quantised file stays what it is.
  @Test func quantisedMatricesAreNear() async throws {
    let path = folder("x.safetensors")
    var generator = SeededGenerator(seed: 8)
    let values = (0..<64 * 96).map { _ in Float.random(in: -1...1, using: &generator) }
    let bytes = values.flatMap { value in
      (0..<4).map { UInt8(truncatingIfNeeded: value.bitPattern >> (8 * $0)) }
    }
    try SafetensorsBuilder.write([("w", .f32, [64, 96], bytes)], to: path)
    let result = try await Conversion(of: path, quantizes: true).run(to: folder("x.gguf"), options: options)
    #expect(result.castTensors == 0)
    let read = try TensorValues(folder("x.gguf")).doubles("w")
    #expect(zip(read, values).allSatisfy { abs($0 - Double($1)) <= 0.57 / 127 })
    #expect(zip(read, values).contains { $0 != Double($1) })
    try await Conversion(of: folder("x.gguf"), quantizes: true).run(to: folder("y.gguf"), options: options)
    #expect(try TensorValues(folder("y.gguf")).doubles("w") == read)
  }

  @Test func quantisingIsForGGUFOnly() async throws {
    let error = await #expect(throws: EmbedFuseError.self) {
      try await Conversion(of: "\(family)/base", quantizes: true).run(to: folder("x.npz"), options: options)
    }
    #expect(error?.code == .usage)
  }

  @Test func anInputIsNeverReplaced() async throws {
    try await Conversion(of: "\(family)/base").run(to: folder("model"), options: options)
    let before = try tree(folder("model"))
    var force = options
    force.overwrite = true
    for target in ["model", "model/model.safetensors"] {
      let error = await #expect(throws: EmbedFuseError.self) {
        try await Conversion(of: folder("model")).run(to: folder(target), options: force)
      }
      #expect(error?.code == .cannotCreate)
    }
    #expect(try tree(folder("model")) == before)
  }

  @Test func whatIsThereIsReplacedOnRequestOnly() async throws {
    let target = folder("model.npz")
    try Data([1]).write(to: URL(fileURLWithPath: target))
    await #expect(throws: EmbedFuseError.self) {
      try await Conversion(of: "\(family)/base").run(to: target, options: options)
    }
    #expect(try Data(contentsOf: URL(fileURLWithPath: target)) == Data([1]))
    var force = options
    force.overwrite = true
    try await Conversion(of: "\(family)/base").run(to: target, options: force)
    #expect(try ModelSource.open(target).tensors.count == 40)
  }

  @Test func tooLittleMemoryIsRefused() async throws {
    var small = options
    small.memory = 1 << 20
    let error = await #expect(throws: EmbedFuseError.self) {
      try await Conversion(of: "\(family)/base").run(to: folder("x.h5"), options: small)
    }
    #expect(error?.code == .usage)
    #expect(folder.names == [])
  }

  @Test func bytesDoNotDependOnThreadsOrMemory() async throws {
    for ending in ["h5", "npz", "gguf", "safetensors"] {
      for (name, threads) in [("one", 1), ("many", 7)] {
        try await Conversion(of: "\(family)/base").run(
          to: folder("\(name).\(ending)"),
          options: OutputOptions(synchronize: false, memory: threads << 26, threads: threads))
      }
      #expect(
        FileManager.default.contentsEqual(
          atPath: folder("one.\(ending)"), andPath: folder("many.\(ending)")))
    }
  }

  /// What other things take of the memory counts, and the error says how much is enough.
  @Test func memoryThatOthersTakeCounts() async throws {
    let folder = try TemporaryFolder()
    let conversion = try Conversion(of: Fixtures.path("samples/hdf5/filters.h5"))
    var options = OutputOptions(synchronize: false, memory: 64 << 20)
    options.reservedMemory = 60 << 20
    let error = await #expect(throws: EmbedFuseError.self) {
      try await conversion.run(to: folder("out.h5"), options: options)
    }
    #expect(error?.code == .usage && folder.names.isEmpty)
    let needed = try #require(error?.remedy?.split(separator: " ").last?.dropLast())
    options.memory = try #require(Int(needed)) << 20
    try await conversion.run(to: folder("out.h5"), options: options)
    #expect(folder.names == ["out.h5"])
  }
}
