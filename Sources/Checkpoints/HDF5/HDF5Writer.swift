import CHDF5
import TensorCore

/// Writes a compressed checkpoint: an HDF5 file with one dataset per tensor under the tensor's own name.
///
/// Chunks of about 1 MiB are shuffled and compressed by the workers that bring them, outside of the HDF5 library,
/// and stored in the tensors' order; the file's bytes depend on the tensors alone. They are plain HDF5 with the
/// registered Zstandard filter 32015, which h5py with hdf5plugin reads.
package final class HDF5Writer: CheckpointWriter {
  /// The tensors being written, in the order of the file.
  package let tensors: [TensorInfo]
  private let path: String
  private let layouts: [ChunkLayout]
  /// The number of each tensor's first chunk among the chunks of all tensors, and the number of all.
  private let firstChunks: [Int]
  private let encoders: FreeList<ChunkEncoder>
  /// For tensors that are stored as differences: what makes them, and the compression of their chunks.
  private let deltas: [DeltaEncoder?]
  private let deltaCompressors: FreeList<ChunkEncoder>
  private let chunks: FreeList<StoredChunk>
  private let buffers = FreeList<DeltaBuffers> { DeltaBuffers() }
  private let parts = Locked<[Int: PartialChunk]>([:])
  private let file: HDF5TensorFile
  private let order: OrderedCommit<StoredChunk>

  /// Creates the file.
  ///
  /// - Parameters:
  ///   - path: where; nothing may stand there.
  ///   - tensors: what will be written, in this order; no two may have the same name.
  ///   - metadata: texts attached to the whole checkpoint.
  ///   - compression: how chunks are compressed.
  ///   - heldBack: how many chunks at most wait in memory for an earlier one.
  ///   - base: the checkpoint to whose tensors of the same name, type and shape the differences are stored; nil to
  ///     store values.
  package init(
    creating path: String, tensors: [TensorInfo],
    metadata: KeyValuePairs<String, String> = ["format": "pt"],
    compression: ChunkCompression = .weights, heldBack: Int = 16,
    relativeTo base: DeltaBase? = nil
  ) throws(EmbedFuseError) {
    let names = try HDF5Name.distinctPaths(of: tensors.map(\.name), in: path)
    self.path = path
    self.tensors = tensors
    layouts = tensors.map(ChunkLayout.init)
    deltas = tensors.map { info in base?.tensor(for: info).map { DeltaEncoder($0) } }
    if let base, deltas.allSatisfy({ $0 == nil }) {
      throw EmbedFuseError(
        .usage,
        "\(base.recordedPath.printable) has no tensor of the name, element type and shape of one to be written",
        remedy: "store it relative to the checkpoint that it was made from, in the same element type")
    }
    firstChunks = layouts.reduce(into: [0]) { $0.append($0.last! + $1.count) }
    let capacity = layouts.lazy.map(\.chunkByteCount).max() ?? 0
    chunks = FreeList { StoredChunk(capacity: capacity) }
    encoders = FreeList { () throws(EmbedFuseError) in try ChunkEncoder(compression, capacity: capacity) }
    // An impossible level is found before a file appears.
    encoders.put(try encoders.take())
    deltaCompressors = FreeList { () throws(EmbedFuseError) in
      try ChunkEncoder(compression == .weights ? .differences : compression, capacity: capacity)
    }
    let file = try HDF5TensorFile(
      path: path, names: names, tensors: tensors, layouts: layouts, metadata: metadata,
      compression: compression, base: base, deltas: deltas)
    self.file = file
    order = OrderedCommit(limit: heldBack) { [firstChunks, chunks] number, chunk throws(EmbedFuseError) in
      let tensor = firstChunks.lastIndex(below: number)
      try file.write(chunk, number: number - firstChunks[tensor], of: tensor)
      chunks.put(chunk)
    }
  }

  /// The elements of one chunk, where chunks can be runs of the tensor's `BlockGrid`; otherwise about as many.
  package func runLength(of tensor: Int) -> Int { layouts[tensor].runLength }

  /// Compresses what `bytes` completes and stores it, or leaves it to the worker that stores what comes before.
  package func write(_ bytes: Span<UInt8>, of tensor: Int, at range: Range<Int>) throws(EmbedFuseError) {
    guard let delta = deltas[tensor] else { return try store(bytes, of: tensor, at: range) }
    var buffers = try buffers.take()
    defer { self.buffers.put(buffers) }
    try delta.encode(bytes, at: range, into: &buffers.differences, buffer: &buffers.base)
    try store(buffers.differences.span.extracting(0..<bytes.count), of: tensor, at: range)
  }

  /// Stores the bytes of a run as they are to stand in the file.
  private func store(_ bytes: Span<UInt8>, of tensor: Int, at range: Range<Int>) throws(EmbedFuseError) {
    let layout = layouts[tensor]
    let byteRange = ChunkLayout.byteRange(of: range, in: tensors[tensor])
    precondition(bytes.count == byteRange.count && byteRange.upperBound <= tensors[tensor].byteCount)
    guard !byteRange.isEmpty else { return }
    let first = layout.index(ofByte: byteRange.lowerBound)
    // Whoever writes several files at once cuts runs as fits the longest.
    if layout.byteRange(of: first) == byteRange { return try commit(bytes, number: first, of: tensor) }
    // All parts are put in place before a complete chunk waits for its turn, so that no chunk waits for another
    // that needs a part of this run.
    var complete: [(number: Int, bytes: [UInt8])] = []
    for number in first...layout.index(ofByte: byteRange.upperBound - 1) {
      let target = layout.byteRange(of: number)
      let shared = byteRange.clamped(to: target)
      let source = bytes.extracting(
        (shared.lowerBound - byteRange.lowerBound)..<(shared.upperBound - byteRange.lowerBound))
      let key = firstChunks[tensor] + number
      let whole = parts.withLock { parts -> [UInt8]? in
        var part = parts.removeValue(forKey: key) ?? PartialChunk(byteCount: target.count)
        part.place(source, at: shared.lowerBound - target.lowerBound)
        if part.missing == 0 { return part.bytes }
        parts[key] = part
        return nil
      }
      if let whole { complete.append((number, whole)) }
    }
    for chunk in complete { try commit(chunk.bytes.span, number: chunk.number, of: tensor) }
  }

  /// Replaces the texts attached to the checkpoint, until `finish` stores them.
  package func setMetadata(_ metadata: [(key: String, value: String)]) {
    file.setMetadata(metadata.reduce(into: [:]) { $0[$1.key] = $1.value })
  }

  /// Adds a file that travels with the tensors, for example a tokenizer, under a path relative to the model.
  ///
  /// It is compressed at once and stored by `finish`, after the tensors, in the order of the paths.
  package func add(file name: String, bytes: [UInt8]) throws(EmbedFuseError) {
    try file.add(file: name, bytes: bytes)
  }

  /// Lets workers that wait for an earlier run fail.
  package func abandon() {
    order.abandon(EmbedFuseError(.internalError, "the writing was given up", path: path))
  }

  /// Stores the files that were added, and closes the file. Whoever publishes it flushes it to disk.
  package func finish() throws(EmbedFuseError) {
    guard order.committed == firstChunks.last else {
      throw EmbedFuseError(
        .internalError, "\(order.committed) chunks were written of \(firstChunks.last!)", path: path)
    }
    try file.finish()
  }

  /// Encodes the values of one chunk and stores them when it is their turn.
  private func commit(_ bytes: Span<UInt8>, number: Int, of tensor: Int) throws(EmbedFuseError) {
    let layout = layouts[tensor]
    let chunk = try chunks.take()
    if layout.chunkDimensions == nil {
      chunk.set(bytes, byteCount: bytes.count, mask: 0)
    } else {
      let encoders = deltas[tensor] == nil ? encoders : deltaCompressors
      let encoder = try encoders.take()
      defer { encoders.put(encoder) }
      try encoder.encode(bytes, width: layout.width, byteCount: layout.chunkByteCount, into: chunk)
      chunk.takeDigest()
    }
    try order.submit(chunk, at: firstChunks[tensor] + number)
  }
}

/// What a worker needs to make differences.
private struct DeltaBuffers: Sendable {
  var differences: [UInt8] = []
  /// A block of the base.
  var base: [UInt8] = []
}

/// A chunk of which some bytes have arrived; the rest are zeros.
private struct PartialChunk: Sendable {
  var bytes: [UInt8]
  var missing: Int

  init(byteCount: Int) {
    bytes = [UInt8](repeating: 0, count: byteCount)
    missing = byteCount
  }

  mutating func place(_ source: Span<UInt8>, at offset: Int) {
    unsafe bytes.withUnsafeMutableBytes { target in
      unsafe source.withUnsafeBytes { part in
        unsafe UnsafeMutableRawBufferPointer(rebasing: target[offset..<offset + part.count])
          .copyMemory(from: part)
      }
    }
    missing -= source.count
  }
}

extension [UInt8] {
  /// The bytes of a span.
  init(copying span: Span<UInt8>) {
    self = unsafe span.withUnsafeBytes { unsafe Array($0) }
  }
}

extension [Int] {
  /// In ascending numbers, the last index of a number that is at most `value`.
  func lastIndex(below value: Int) -> Int {
    var (low, high) = (0, count)
    while low < high {
      let middle = (low + high) / 2
      if self[middle] <= value { low = middle + 1 } else { high = middle }
    }
    return low - 1
  }
}
