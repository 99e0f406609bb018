import Kernels
import TensorCore

/// The checkpoint to which another is stored: `HDF5Writer` then writes the differences to its tensors.
package struct DeltaBase: Sendable {
  /// The path that readers will look for: as given, or of an absolute one the last component.
  package let recordedPath: String
  private let tensors: [String: StoredTensor]

  /// Opens the checkpoint at `path`.
  ///
  /// - Throws: `EmbedFuseError` as `ModelSource.open` has it; usage for a checkpoint that is itself stored relative to
  ///   another, since two files could then be lost with one.
  package init(at path: String) throws(EmbedFuseError) {
    let source = try ModelSource.open(path, options: OpeningOptions(describing: true))
    guard source.relativeTo == nil else {
      throw EmbedFuseError(
        .usage, "is itself stored relative to another checkpoint, so nothing is stored relative to it",
        path: path, remedy: "name the checkpoint that it is relative to, or any other that is complete")
    }
    recordedPath = FilePath.portable(path)
    tensors = Dictionary(source.tensors.map { ($0.name, $0.stored) }) { first, _ in first }
  }

  /// The tensor to which one of this description is stored: of the same name, type and shape. Nil if there is none, or
  /// if it holds no floating-point numbers or is too small for compression.
  func tensor(for info: TensorInfo) -> StoredTensor? {
    guard info.elementType.isFusable, info.byteCount >= ChunkLayout.smallestBytes,
      let tensor = tensors[info.name], tensor.info.elementType == info.elementType,
      tensor.info.shape == info.shape
    else { return nil }
    return tensor
  }
}

/// Makes the differences of one tensor to its base, run by run, and the digests of the base's blocks as they come by.
final class DeltaEncoder: Sendable {
  private let base: StoredTensor
  private let grid: BlockGrid
  private let digests: Locked<[ContentDigest?]>

  init(_ base: StoredTensor) {
    self.base = base
    grid = BlockGrid(base.info)
    digests = Locked(Array(repeating: nil, count: grid.count))
  }

  /// Writes the differences of a run, which are whole blocks, into the front of `target`; `buffer` is for the base.
  func encode(
    _ values: Span<UInt8>, at run: Range<Int>, into target: inout [UInt8], buffer: inout [UInt8]
  ) throws(EmbedFuseError) {
    let type = base.info.elementType
    if target.count < values.count { target = Array(repeating: 0, count: values.count) }
    var block = grid.index(containing: run.lowerBound)
    while block < grid.count, grid[block].lowerBound < run.upperBound {
      let range = grid[block]
      let size = type.byteCount(ofElements: range.count)
      let digest = try base.digest(ofBlock: range, reading: &buffer)
      digests.withLock { $0[block] = digest }
      let offset = type.byteCount(ofElements: range.lowerBound - run.lowerBound)
      var span = target.mutableSpan
      Differences.encode(
        values.extracting(offset..<offset + size), relativeTo: buffer.span.extracting(0..<size),
        width: type.bitWidth / 8, into: &span, at: offset)
      block += 1
    }
  }

  /// What a reader needs to know of the base, once every run has been encoded.
  func finish() -> DeltaRecord {
    DeltaRecord(of: base.info, blocks: digests.withLock { $0.compactMap { $0 } })
  }
}

extension StoredTensor {
  /// The digest of a block, whose bytes stand at the front of `buffer` afterwards.
  package func digest(
    ofBlock range: Range<Int>, reading buffer: inout [UInt8]
  ) throws(EmbedFuseError) -> ContentDigest {
    let size = info.elementType.byteCount(ofElements: range.count)
    if buffer.count < size { buffer = Array(repeating: 0, count: size) }
    var span = buffer.mutableSpan
    try storage.read(range, into: &span)
    return ContentDigest.of(buffer.span.extracting(0..<size))
  }
}
