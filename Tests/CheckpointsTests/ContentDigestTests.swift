import Foundation
import TensorCore
import TestSupport
import Testing

@testable import Checkpoints

/// The expected digests are those of the Python package xxhash 4.1.0, put together by hand from the definitions.
@Suite struct ContentDigestTests {
  private static func sequence(_ count: Int) -> [UInt8] {
    (0..<count).map { UInt8(truncatingIfNeeded: $0 * 7 + 3) }
  }

  private static let known = [
    // Each way that XXH3 treats a length, with its first and last.
    (0, "99aa06d3014798d86001c324468d497f"), (1, "22bbb76b211a39ba13e608bc156defed"),
    (3, "ce31763cbf8245a5a9088dda485b481c"), (4, "47197970590746b1788a609154b0fe20"),
    (8, "e3bc8a5f461715553cd024e3d63a1588"), (9, "c72c88247a9a56d7eafab1c7f123109f"),
    (16, "ce0b9647ab24f88460d75c5e47d40a24"), (17, "bfd327edcc2fbd12eeed7654312a26d7"),
    (128, "1b1962a096bac78bc580008b6c92ac53"), (129, "293e4968c4619023bd91ce7ace4d385b"),
    (240, "ad46c1021b076bc704e0b5f034bee80b"), (241, "ac6c3492c3d6b45d8beadd3a8874fe17"),
    (1000, "6bcc7eff62da44c26c4f14bd97bd9e82"), (65536, "6a2504ac37f3b3b35d03b43b14c75500"),
    (300_000, "579ebd3b372c78218ea7f53679b9303f"),
  ]

  @Test(arguments: known) func bytesHaveTheKnownDigest(count: Int, digest: String) {
    #expect(ContentDigest.of(Self.sequence(count)).description == digest)
  }

  @Test func readsItsOwnDescriptionAndNothingElse() {
    let digest = ContentDigest.of([1])
    #expect(ContentDigest(digest.description) == digest)
    let zeros = String(repeating: "0", count: 15)
    for text in [
      "", "00", "+\(zeros)+\(zeros)", "-\(zeros)0\(zeros)", "A\(zeros)0\(zeros)", "g\(zeros)0\(zeros)",
    ] {
      #expect(ContentDigest(text) == nil, "\(text)")
    }
  }

  @Test(arguments: [0, 1, 1 << 20, (1 << 20) + 1, 3_000_000])
  func aFileHasTheDigestOfItsBytes(count: Int) throws {
    let folder = try TemporaryFolder()
    let bytes = Self.sequence(count)
    try Data(bytes).write(to: URL(fileURLWithPath: folder("file")))
    #expect(try ContentDigest.ofFile(at: folder("file")) == .of(bytes))
  }

  /// A tensor's digest, its blocks taken in this order.
  private static func digest(
    _ type: ElementType, _ dimensions: [UInt], _ bytes: [UInt8], order: ([Int]) -> [Int] = { $0 }
  ) throws -> ContentDigest {
    let shape = try #require(Shape(dimensions))
    let info = try #require(TensorInfo(name: "w", elementType: type, shape: shape))
    let grid = BlockGrid(info)
    var builder = TensorDigestBuilder(info)
    for block in order(Array(0..<grid.count)) {
      let start = type.byteCount(ofElements: grid[block].lowerBound)
      let end = type.byteCount(ofElements: grid[block].upperBound)
      builder.set(.of(Array(bytes[start..<end])), ofBlock: block)
    }
    return builder.finish()
  }

  @Test func tensorsHaveTheDigestThatIsDocumented() throws {
    #expect(
      try Self.digest(.f32, [3, 30_000], Self.sequence(360_000)).description
        == "f2cf848cd69e2f3634c186c36434072f")
    #expect(try Self.digest(.u8, [], [5]).description == "944b7cab5cd50a8513f38d766b5ab46e")
    #expect(try Self.digest(.f16, [0, 4], []).description == "78e74af42da61a7e6590ac5f1972d2da")
    #expect(
      try Self.digest(.u8, [2, 70_000], Self.sequence(140_000)).description
        == "7d4037951b84eda130e393c46b53d291")
  }

  @Test func aTensorsDigestDoesNotDependOnTheOrderInWhichBlocksAreTaken() throws {
    let bytes = Self.sequence(400_000)
    let expected = try Self.digest(.u8, [4, 100_000], bytes)
    #expect(try Self.digest(.u8, [4, 100_000], bytes) { $0.reversed() } == expected)
    #expect(try Self.digest(.u8, [4, 100_000], bytes) { $0.shuffled() } == expected)
  }

  @Test func aTensorsDigestTellsTypeShapeAndValues() throws {
    var bytes = Self.sequence(24)
    var digests = [
      try Self.digest(.f32, [2, 3], bytes), try Self.digest(.f32, [3, 2], bytes),
      try Self.digest(.f32, [6], bytes), try Self.digest(.i32, [6], bytes),
    ]
    bytes[23] ^= 1
    digests.append(try Self.digest(.f32, [2, 3], bytes))
    #expect(Set(digests).count == digests.count)
  }

  @Test func aCheckpointHasTheDigestThatIsDocumentedInAnyOrder() throws {
    let tensors = [
      (name: "b.weight", digest: try Self.digest(.f32, [3, 30_000], Self.sequence(360_000))),
      (name: "a.weight", digest: try Self.digest(.u8, [], [5])),
      (name: "é", digest: try Self.digest(.f16, [0, 4], [])),
    ]
    #expect(ContentDigest.of(tensors: tensors).description == "e42c40c1b06c07782e514045d7f69a5a")
    #expect(ContentDigest.of(tensors: tensors.reversed()) == ContentDigest.of(tensors: tensors))
  }
}
