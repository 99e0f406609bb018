import Checkpoints
import Fusion
import TensorCore

/// The buffers with which one worker reads blocks of the inputs and takes the methods over them.
struct BlockWorker: Sendable {
  /// One runner for each variant.
  var runners: [BlockRunner]
  /// The stored bytes of each source of the block at hand; only the first elements may be in use.
  var bytes: [[UInt8]] = []
  /// The output bytes of the block at hand, for each variant; only the first elements may be in use.
  var outputs: [[UInt8]]

  init(variants: [FusionEngine.Variant]) {
    runners = variants.map { BlockRunner($0.method, nonFinite: $0.nonFinite) }
    outputs = variants.map { _ in [] }
  }

  /// Reads a range of every source.
  mutating func read(_ range: Range<Int>, of sources: [StoredTensor]) throws(EmbedFuseError) {
    while bytes.count < sources.count { bytes.append([]) }
    for (j, source) in sources.enumerated() {
      let size = source.info.elementType.byteCount(ofElements: range.count)
      if bytes[j].count < size { bytes[j] = Array(repeating: 0, count: size) }
      var span = bytes[j].mutableSpan
      try source.storage.read(range, into: &span)
    }
  }

  /// Reads some ranges of every source, one after the other.
  mutating func read(_ ranges: [Range<Int>], of sources: [StoredTensor]) throws(EmbedFuseError) {
    while bytes.count < sources.count { bytes.append([]) }
    let count = ranges.reduce(0) { $0 + $1.count }
    var piece: [UInt8] = []
    for (j, source) in sources.enumerated() {
      let type = source.info.elementType
      let size = type.byteCount(ofElements: count)
      if bytes[j].count < size { bytes[j] = Array(repeating: 0, count: size) }
      var offset = 0
      for range in ranges {
        let length = type.byteCount(ofElements: range.count)
        if piece.count != length { piece = Array(repeating: 0, count: length) }
        var span = piece.mutableSpan
        try source.storage.read(range, into: &span)
        bytes[j].replaceSubrange(offset..<offset + length, with: piece)
        offset += length
      }
    }
  }

  /// The digests of the first elements, as many as were read, of every source.
  func digests(over count: Int, of sources: [StoredTensor]) -> [ContentDigest] {
    sources.enumerated().map { j, source in
      let bytes = bytes[j]
      return ContentDigest.of(
        bytes.span.extracting(0..<source.info.elementType.byteCount(ofElements: count)))
    }
  }

  /// The bytes of a variant's sources, in its order.
  func bytes(of planned: PlannedTensor, among engine: FusionEngine, at tensor: Int) -> [[UInt8]] {
    engine.variants.count == 1 ? bytes : engine.places(of: planned, at: tensor).map { bytes[$0] }
  }
}

/// Keeps the buffers of workers from one pass to the next.
final class WorkerShelf: Sendable {
  private let workers = Locked<[BlockWorker]>([])

  /// A worker that was put back, or nil if there is none.
  func take() -> BlockWorker? { workers.withLock { $0.popLast() } }

  /// Puts a worker back.
  func put(_ worker: BlockWorker) { workers.withLock { $0.append(worker) } }
}
