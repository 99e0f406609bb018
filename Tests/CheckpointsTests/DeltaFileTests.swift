import Foundation
import TensorCore
import TestSupport
import Testing

@testable import Checkpoints

/// Checkpoints that are stored as differences to another: what comes back, and from which base.
@Suite struct DeltaFileTests {
  private let folder: TemporaryFolder

  init() throws { folder = try TemporaryFolder() }

  /// The same tensors after some training: low bits differ, every third 16-byte stretch is as it was.
  static func tuned(_ sample: HDF5Sample, seed: UInt64 = 5) -> HDF5Sample {
    var generator = SeededGenerator(seed: seed)
    var tuned = sample
    for (tensor, info) in sample.tensors.enumerated() {
      guard let width = info.elementType.byteWidth else { continue }
      var bytes = tuned.values[tensor]
      var index = 0
      while index < bytes.count {
        if index / 16 % 3 != 0 { bytes[index] ^= UInt8(truncatingIfNeeded: generator.next()) & 7 }
        index += width
      }
      tuned.values[tensor] = bytes
    }
    return tuned
  }

  /// Writes `base.h5`, and `values` relative to it.
  private func write(_ values: HDF5Sample, relativeTo base: HDF5Sample, as name: String = "delta.h5") throws
    -> String
  {
    try base.write(to: folder("base.h5"))
    let path = folder(name)
    try values.write(to: path, relativeTo: try DeltaBase(at: folder("base.h5")))
    return path
  }

  @Test func everyTypeAndShapeComesBack() throws {
    let values = Self.tuned(.everything)
    let path = try write(values, relativeTo: .everything)
    let read = try HDF5Sample(reading: path)
    let expected = Dictionary(uniqueKeysWithValues: zip(values.tensors, values.values))
    #expect(read.tensors.count == values.tensors.count)
    for (info, bytes) in zip(read.tensors, read.values) {
      #expect(expected[info] == bytes, "\(info)")
    }
  }

  @Test func theSameBytesWithAnyNumberOfWorkers() throws {
    let values = Self.tuned(.everything)
    _ = try write(values, relativeTo: .everything)
    let files = try [1, 4].map { threads in
      let path = folder("\(threads).h5")
      try values.write(to: path, threads: threads, relativeTo: try DeltaBase(at: folder("base.h5")))
      return try Data(contentsOf: URL(fileURLWithPath: path))
    }
    #expect(files[0] == files[1])
  }

  /// All patterns of 16 bits over another order of them: NaN payloads, -0, subnormals and infinities among both.
  @Test(arguments: [ElementType.f16, .bf16]) func everyPatternOf16BitsComesBack(type: ElementType) throws {
    var base = HDF5Sample()
    base.add("w", type, [256, 256])
    var values = base
    for index in 0..<65_536 {
      let other = index &* 40_503 & 0xFFFF
      (values.values[0][2 * index], values.values[0][2 * index + 1]) = (
        UInt8(index & 0xFF), UInt8(index >> 8)
      )
      (base.values[0][2 * index], base.values[0][2 * index + 1]) = (UInt8(other & 0xFF), UInt8(other >> 8))
    }
    #expect(try HDF5Sample(reading: try write(values, relativeTo: base)).values == values.values)
  }

  @Test(arguments: [ElementType.f32, .f64]) func randomPatternsComeBack(type: ElementType) throws {
    var (base, values) = (HDF5Sample(), HDF5Sample())
    base.add("w", type, [300, 700], random: true)
    values.add("v", type, [1], random: true)
    values.add("w", type, [300, 700], random: true)
    #expect(base.values[0] != values.values[1])
    let read = try HDF5Sample(reading: try write(values, relativeTo: base))
    #expect(read.tensors == values.tensors && read.values == values.values)
  }

  @Test func smallChangesTakeLittleRoom() throws {
    var base = HDF5Sample()
    base.add("w", .f32, [600, 1024])
    let path = try write(Self.tuned(base), relativeTo: base)
    let size = { try #require(FileManager.default.contents(atPath: $0)).count }
    #expect(try size(path) * 4 < size(folder("base.h5")))
  }

  /// To readers that know nothing of differences they are integers, never weights.
  @Test func differencesAreUnsignedIntegers() throws {
    let path = try write(Self.tuned(.everything), relativeTo: .everything)
    let datasets = try HDF5Directory(of: HDF5File(path)).datasets
    let byName = Dictionary(uniqueKeysWithValues: datasets.map { ($0.path, $0) })
    for (name, type) in [("f32", ElementType.u32), ("bf16", .u16), ("f8_e4m3", .u8), ("f64", .u64)] {
      let dataset = try #require(byName["types.\(name)"])
      #expect(dataset.type.elementType == type && dataset.dtype == nil)
      #expect(dataset.delta?.elementType.lowercased() == name)
    }
    // Integers and what is too small for compression are stored as they are.
    for name in ["types.i32", "types.u8", "types.c64", "types.f4", "small.f32", "scalar", "empty"] {
      #expect(byName[name]?.delta == nil && byName[name]?.dtype != nil, "\(name)")
    }
  }

  @Test func tensorsThatTheBaseHasNotAreStoredAsTheyAre() throws {
    var (base, values) = (HDF5Sample(), HDF5Sample())
    base.add("w", .f32, [40, 64])
    base.add("shape", .f32, [40, 64])
    base.add("type", .f32, [40, 64])
    values.add("w", .f32, [40, 64])
    values.add("shape", .f32, [64, 40])
    values.add("type", .bf16, [40, 64])
    values.add("name", .f32, [40, 64])
    let path = try write(values, relativeTo: base)
    let datasets = try HDF5Directory(of: HDF5File(path)).datasets
    #expect(datasets.filter { $0.delta != nil }.map(\.path) == ["w"])
    #expect(try HDF5Sample(reading: path).values == values.values)
    let notes = try ModelSource.open(path).notes
    #expect(notes.count == 1 && notes[0].contains("1 of 4 tensors are stored as differences to base.h5"))
  }

  @Test func describingNeedsNoBase() throws {
    let path = try write(Self.tuned(.everything), relativeTo: .everything)
    try FileManager.default.removeItem(atPath: folder("base.h5"))
    let source = try ModelSource.open(path, options: OpeningOptions(describing: true))
    #expect(source.relativeTo == "base.h5")
    #expect(Set(source.tensors.map(\.stored.info)) == Set(HDF5Sample.everything.tensors))
  }
}

/// Bases that are missing, others or deltas themselves.
@Suite struct DeltaBaseTests {
  private let folder: TemporaryFolder
  private let base: HDF5Sample
  private let values: HDF5Sample

  init() throws {
    folder = try TemporaryFolder()
    var base = HDF5Sample()
    base.add("a", .f32, [600, 512])
    base.add("b", .f32, [600, 512])
    base.add("c", .bf16, [300, 512])
    self.base = base
    values = DeltaFileTests.tuned(base)
    try base.write(to: folder("base.h5"))
    try values.write(to: folder("delta.h5"), relativeTo: try DeltaBase(at: folder("base.h5")))
  }

  private func options(_ base: String) -> OpeningOptions {
    var options = OpeningOptions()
    options.deltaBase = folder(base)
    return options
  }

  /// Opens the file over another base and reads one of its tensors.
  private func error(over name: String, reading tensor: String = "a") -> EmbedFuseError? {
    #expect(throws: EmbedFuseError.self) {
      let source = try ModelSource.open(folder("delta.h5"), options: options(name))
      _ = try source.tensors.first { $0.name == tensor }?.stored.values()
    }
  }

  @Test func aNamedBaseIsTaken() throws {
    try FileManager.default.moveItem(atPath: folder("base.h5"), toPath: folder("elsewhere.h5"))
    let source = try ModelSource.open(folder("delta.h5"), options: options("elsewhere.h5"))
    #expect(try source.tensors.map { try $0.stored.values() } == values.values)
  }

  @Test func aBaseOfAnotherFormatIsTheSameBase() throws {
    let path = folder("base.safetensors")
    try SafetensorsBuilder.write(
      zip(base.tensors, base.values).map { info, bytes in
        (info.name, info.elementType, info.shape.dimensions, bytes)
      }, to: path)
    let source = try ModelSource.open(folder("delta.h5"), options: options("base.safetensors"))
    #expect(try source.tensors.map { try $0.stored.values() } == values.values)
  }

  @Test func aMissingBaseIsNamed() throws {
    try FileManager.default.removeItem(atPath: folder("base.h5"))
    let error = #expect(throws: EmbedFuseError.self) { try ModelSource.open(folder("delta.h5")) }
    #expect(error?.code == .missingInput)
    #expect(error?.problem.contains("differences to base.h5") == true)
    #expect(error?.remedy?.contains("--delta-base") == true)
  }

  @Test func aBaseWithoutATensorIsRefused() throws {
    var other = HDF5Sample()
    other.add("a", .f32, [600, 512])
    other.add("c", .bf16, [300, 512])
    try other.write(to: folder("other.h5"))
    let error = error(over: "other.h5")
    #expect(error?.code == .badData && error?.tensor == "b")
    #expect(error?.remedy?.contains("--delta-base") == true)
  }

  @Test(arguments: [(ElementType.f32, [512, 600] as [UInt]), (.u32, [600, 512]), (.f64, [600, 512])])
  func aBaseOfOtherShapesOrTypesIsRefused(type: ElementType, shape: [UInt]) throws {
    var other = HDF5Sample()
    other.add("a", .f32, [600, 512])
    other.add("b", type, shape)
    other.add("c", .bf16, [300, 512])
    try other.write(to: folder("other.h5"))
    #expect(error(over: "other.h5")?.tensor == "b")
  }

  /// The last element of `b` differs: whoever reads it, or anything else that differs, is told of `b` first.
  @Test func otherValuesAreFoundAndTheFirstTensorNamed() throws {
    var other = base
    other.values[1][other.values[1].count - 1] ^= 1
    other.values[2][0] ^= 1
    try other.write(to: folder("other.h5"))
    for tensor in ["b", "c"] {
      let error = error(over: "other.h5", reading: tensor)
      #expect(error?.code == .badData && error?.tensor == "b", "\(tensor)")
      #expect(error?.problem.contains("other.h5") == true)
    }
    // What is the same gives the same.
    let source = try ModelSource.open(folder("delta.h5"), options: options("other.h5"))
    #expect(try source.tensors.first { $0.name == "a" }?.stored.values() == values.values[0])
  }

  @Test func nothingIsStoredRelativeToDifferences() throws {
    let error = #expect(throws: EmbedFuseError.self) { try DeltaBase(at: folder("delta.h5")) }
    #expect(error?.code == .usage && error?.path == folder("delta.h5"))
  }

  @Test func differencesAreNoBase() throws {
    try FileManager.default.copyItem(atPath: folder("delta.h5"), toPath: folder("copy.h5"))
    #expect(error(over: "copy.h5")?.problem.contains("itself stored relative to another") == true)
  }

  @Test func aBaseWithNothingInCommonIsRefusedBeforeAFileAppears() throws {
    var other = HDF5Sample()
    other.add("x", .f32, [600, 512])
    other.add("a", .f16, [600, 512])
    let error = #expect(throws: EmbedFuseError.self) {
      try other.write(to: folder("new.h5"), relativeTo: try DeltaBase(at: folder("base.h5")))
    }
    #expect(error?.code == .usage)
    #expect(!FileManager.default.fileExists(atPath: folder("new.h5")))
  }
}

/// Files whose description of the base is wrong, though HDF5 finds nothing wrong with them.
@Suite struct DeltaRecordTests {
  private let folder: TemporaryFolder
  private let info: TensorInfo
  private let sample: HDF5Sample

  init() throws {
    folder = try TemporaryFolder()
    var sample = HDF5Sample()
    sample.add("w", .f32, [16, 16])
    self.sample = sample
    info = sample.tensors[0]
    try sample.write(to: folder("base.h5"))
  }

  /// Writes a file without differences, changed before it is closed, and says how reading it fails.
  private func error(
    in components: [String] = ["w"], _ change: (inout DeltaRecord, inout [String: String]) -> Void
  ) throws -> EmbedFuseError? {
    var record = DeltaRecord(of: info, blocks: [ContentDigest.of(sample.values[0])])
    var texts = DeltaRecord.texts(
      base: "base.h5", digest: .of(tensors: [("w", try #require(ContentDigest(record.digest)))]))
    change(&record, &texts)
    let path = folder("delta.h5")
    let layout = ChunkLayout(info)
    var builder = try HDF5FileBuilder(path: path)
    let dataset = try builder.createDataset(
      components, for: info, layout: layout, compression: .differences, isDelta: true)
    let zeros = StoredChunk(bytes: [UInt8](repeating: 0, count: info.byteCount), mask: 3)
    try builder.write(zeros, to: dataset, at: [0, 0], of: "w")
    try builder.attach(record, to: dataset, of: "w")
    try builder.close(dataset, of: "w")
    try builder.attach(texts, toGroup: HDF5Name.delta)
    try builder.close()
    do {
      let values = try HDF5Sample(reading: path).values
      #expect(values == sample.values)
      return nil
    } catch { return error as? EmbedFuseError }
  }

  @Test func aRightOneIsRead() throws {
    let error = try error { _, _ in }
    #expect(error == nil)
  }

  @Test func aDigestOfTheTensorThatIsNotThatOfItsBlocksIsRefused() throws {
    let error = try error { record, _ in record.digest = ContentDigest.of([1]).description }
    #expect(error?.code == .badData && error?.tensor == "w")
  }

  @Test func aDigestOfABlockThatIsNotInTheTensorsIsRefused() throws {
    let error = try error { record, _ in record.blocks[1] ^= 1 }
    #expect(error?.problem.contains("contradict each other") == true)
  }

  @Test(arguments: [0, 1, 4]) func anotherNumberOfBlocksIsRefused(count: Int) throws {
    let error = try error { record, _ in record.blocks = Array(repeating: 7, count: count) }
    #expect(error?.code == .badData && error?.tensor == "w")
  }

  @Test func aDigestOfTheWholeThatIsNotThatOfTheTensorsIsRefused() throws {
    let error = try error { _, texts in texts["base_digest"] = ContentDigest.of([1]).description }
    #expect(error?.problem.contains("contradicts") == true)
  }

  /// Digests that agree with each other, but are of another base.
  @Test func digestsOfAnotherBaseAreRefusedWhenItIsRead() throws {
    let error = try error { record, texts in
      record = DeltaRecord(of: info, blocks: [ContentDigest.of([1])])
      texts = DeltaRecord.texts(
        base: "base.h5", digest: .of(tensors: [("w", ContentDigest(record.digest)!)]))
    }
    #expect(error?.problem.contains("other values") == true && error?.tensor == "w")
  }

  @Test(arguments: ["U32", "F16", "F64", "f32", "C64", ""])
  func aTypeOfOtherValuesIsRefused(type: String) throws {
    let error = try error { record, _ in record.elementType = type }
    #expect(error?.code == .badData && error?.tensor == "w")
  }

  @Test func aFileStoredAsDifferencesIsRefused() throws {
    let error = try error(in: [HDF5Name.files, "config.json"]) { _, _ in }
    #expect(error?.problem.contains("__files__/config.json is stored as differences") == true)
  }

  /// A tensor may be called as Keras calls its variables.
  @Test func namesAsOfKerasAreStillDifferences() throws {
    let error = try error(in: ["layers", "dense", "vars", "0"]) { _, texts in
      texts["version"] = "2"
    }
    #expect(error?.problem.contains("version 2, expected 1") == true)
  }

  @Test func anotherVersionIsRefused() throws {
    let error = try error { _, texts in texts["version"] = "2" }
    #expect(error?.problem.contains("version 2, expected 1") == true)
  }

  @Test func differencesWithoutABaseAreRefused() throws {
    let error = try error { _, texts in texts = [:] }
    #expect(error?.code == .badData)
  }

  @Test(arguments: ["", "/etc/passwd"]) func aBaseThatIsNotBesideIsRefused(path: String) throws {
    let error = try error { _, texts in texts["base"] = path }
    #expect(error?.problem.contains("not a relative one") == true)
  }
}
