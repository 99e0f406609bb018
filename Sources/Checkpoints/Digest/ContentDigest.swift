import CXXHash
import TensorCore

/// The XXH3-128 digest of some bytes: for telling contents apart and finding damage, not for proving who made
/// them (XXH3 is no cryptographic hash).
public struct ContentDigest: Sendable, Hashable {
  /// The upper 64 bits.
  public let high: UInt64
  /// The lower 64 bits.
  public let low: UInt64

  /// A digest of these halves.
  public init(high: UInt64, low: UInt64) {
    self.high = high
    self.low = low
  }

  /// What stands for a digest that isn't known yet.
  public static let zero = ContentDigest(high: 0, low: 0)

  /// The digest of bytes.
  public static func of(_ bytes: Span<UInt8>) -> ContentDigest {
    let hash = unsafe bytes.withUnsafeBufferPointer { unsafe cxxhash_digest($0.baseAddress, $0.count) }
    return ContentDigest(high: hash.high64, low: hash.low64)
  }

  /// The digest of bytes.
  public static func of(_ bytes: [UInt8]) -> ContentDigest { of(bytes.span) }

  /// The digest of a file's bytes, which are read 1 MiB at a time.
  ///
  /// - Throws: `EmbedFuseError`: missing input or input/output if the file can't be read.
  public static func ofFile(at path: String) throws(EmbedFuseError) -> ContentDigest {
    let file = try InputFile(path)
    var stream = try DigestStream(of: path)
    try file.forEachPiece(of: 0..<file.byteCount) { piece, _ in stream.update(piece) }
    return stream.digest
  }

  /// Appends the 16 bytes of the digest, most significant first.
  func append(to bytes: inout [UInt8]) {
    for half in [high, low] {
      for place in 0..<8 { bytes.append(UInt8(truncatingIfNeeded: half >> (56 - 8 * place))) }
    }
  }

  /// Reads what `append(to:)` gives.
  init(_ bytes: ArraySlice<UInt8>) {
    let half = { (bytes: ArraySlice<UInt8>) in bytes.reduce(0 as UInt64) { $0 << 8 | UInt64($1) } }
    self.init(high: half(bytes.prefix(8)), low: half(bytes.dropFirst(8).prefix(8)))
  }

  /// The digit of `description` at a place.
  private func digit(at place: Int) -> UInt8 {
    let value = UInt8(truncatingIfNeeded: (place < 16 ? high : low) >> (60 - 4 * (place & 15))) & 0xF
    return value < 10 ? UInt8(ascii: "0") + value : UInt8(ascii: "a") + value - 10
  }
}

extension ContentDigest: CustomStringConvertible {
  /// 32 lower-case hexadecimal digits, as `xxh128sum` prints them.
  public var description: String {
    unsafe String(unsafeUninitializedCapacity: 32) { text in
      for place in 0..<32 { unsafe text[place] = digit(at: place) }
      return 32
    }
  }

  /// Reads what `description` gives, and nothing else.
  public init?(_ text: String) {
    let isHexadecimal = text.utf8.allSatisfy { (0x30...0x39).contains($0) || (0x61...0x66).contains($0) }
    guard text.utf8.count == 32, isHexadecimal, let high = UInt64(text.prefix(16), radix: 16),
      let low = UInt64(text.suffix(16), radix: 16)
    else { return nil }
    self.init(high: high, low: low)
  }
}

/// Puts together the digest of a tensor from those of its blocks, which may be taken in any order and by anyone.
///
/// It is the digest of the text `TYPE SHAPE` with a line break (for example `F32 [2, 3]`), followed by the digest
/// of each block of the tensor's `BlockGrid`, in order, most significant byte first. So it depends on the tensor's
/// type, shape and bytes alone, not on the file format or on who read it.
public struct TensorDigestBuilder: Sendable {
  private let info: TensorInfo
  private var blocks: [ContentDigest?]

  /// A builder for a tensor, no block of which is known.
  public init(_ info: TensorInfo) {
    self.info = info
    blocks = Array(repeating: nil, count: BlockGrid(info).count)
  }

  /// Takes in the digest of a block.
  public mutating func set(_ digest: ContentDigest, ofBlock block: Int) {
    blocks[block] = digest
  }

  /// The tensor's digest; every block must have been set.
  public func finish() -> ContentDigest {
    var bytes = Array("\(info.elementType) \(info.shape)\n".utf8)
    for block in blocks {
      guard let block else { preconditionFailure("a block of \(info.name) has no digest") }
      block.append(to: &bytes)
    }
    return .of(bytes)
  }
}

extension ContentDigest {
  /// The digest of a whole checkpoint: of the lines `NAME DIGEST`, sorted by the bytes of the names. It doesn't
  /// depend on the order of tensors, on shards or on the file format.
  public static func of(tensors: [(name: String, digest: ContentDigest)]) -> ContentDigest {
    // Strings of ASCII are in the order of their bytes, and quick to compare.
    let isPlain = tensors.allSatisfy { tensor in
      var name = tensor.name.utf8Span
      return name.checkForASCII()
    }
    let sorted = tensors.sorted {
      isPlain ? $0.name < $1.name : $0.name.utf8.lexicographicallyPrecedes($1.name.utf8)
    }
    var text: [UInt8] = []
    text.reserveCapacity(sorted.reduce(0) { $0 + $1.name.utf8.count + 34 })
    for (name, digest) in sorted {
      text += name.utf8
      text.append(UInt8(ascii: " "))
      text += digest.description.utf8
      text.append(UInt8(ascii: "\n"))
    }
    return .of(text)
  }
}
