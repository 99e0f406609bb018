import TensorCore

/// What a file says of a tensor that it stores as differences: the type of the values, and what the base's tensor held.
struct DeltaRecord: Sendable, Hashable {
  /// The version of the form that this describes.
  static let version = "1"

  /// The safetensors name of the values' type.
  var elementType: String
  /// The digest of the base's tensor.
  var digest: String
  /// The digests of the blocks of the base's tensor, in the order of its `BlockGrid`: upper and lower half of each.
  var blocks: [UInt64]

  /// What the file says of the base as a whole.
  static func texts(base path: String, digest: ContentDigest) -> [String: String] {
    ["version": version, "base": path, "base_digest": digest.description]
  }

  /// The record of a file, unchecked.
  init(elementType: String, digest: String, blocks: [UInt64]) {
    self.elementType = elementType
    self.digest = digest
    self.blocks = blocks
  }

  /// The record for a base's tensor whose blocks have these digests.
  init(of info: TensorInfo, blocks: [ContentDigest]) {
    var builder = TensorDigestBuilder(info)
    for (index, block) in blocks.enumerated() { builder.set(block, ofBlock: index) }
    elementType = info.elementType.name
    digest = builder.finish().description
    self.blocks = blocks.flatMap { [$0.high, $0.low] }
  }

  /// The digests of the blocks; nil if they aren't those of a tensor of this description, or contradict the tensor's.
  func blockDigests(of info: TensorInfo) -> [ContentDigest]? {
    guard blocks.count == 2 * BlockGrid(info).count else { return nil }
    let digests = stride(from: 0, to: blocks.count, by: 2).map {
      ContentDigest(high: blocks[$0], low: blocks[$0 + 1])
    }
    return DeltaRecord(of: info, blocks: digests).digest == digest ? digests : nil
  }
}
