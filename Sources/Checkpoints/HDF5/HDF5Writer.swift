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
  private let parts = Locked<[Int: ChunkAssembly]>([:])
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
        "\(base.recordedPath.printable) has no tensor of the name, element type and shape of one to be written that has \(ChunkLayout.smallestBytes) bytes or more",
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
      let tensor = firstChunks.lastIndex(atMost: number)
      try file.write(chunk, number: number - firstChunks[tensor], of: tensor)
      chunks.put(chunk)
    }
  }

  /// The elements of one chunk, where chunks can be runs of the tensor's `BlockGrid`; otherwise about as many.
  package func runLength(of tensor: Int) -> Int { layouts[tensor].runLength }

  /// Compresses the chunks that `bytes` completes and stores them, or leaves that to the worker that stores what comes before.
  package func write(_ bytes: Span<UInt8>, of tensor: Int, at range: Range<Int>) throws(EmbedFuseError) {
    guard let delta = deltas[tensor] else { return try store(bytes, of: tensor, at: range) }
    var buffers = try buffers.take()
    defer { self.buffers.put(buffers) }
    try delta.encode(bytes, at: range, into: &buffers.differences, buffer: &buffers.base)
    try store(buffers.differences.span.extracting(0..<bytes.count), of: tensor, at: range)
  }

  /// Stores bytes as they are to stand in the file: some blocks of a run, or a run that is cut for a writer of longer ones.
  private func store(_ bytes: Span<UInt8>, of tensor: Int, at range: Range<Int>) throws(EmbedFuseError) {
    let layout = layouts[tensor]
    let byteRange = ChunkLayout.byteRange(of: range, in: tensors[tensor])
    precondition(bytes.count == byteRange.count && byteRange.upperBound <= tensors[tensor].byteCount)
    guard !byteRange.isEmpty else { return }
    // All bytes are put in place before a complete chunk waits for its turn, so that no chunk waits for another
    // that needs some of them.
    var complete: [(number: Int, chunk: StoredChunk)] = []
    for number in layout.index(ofByte: byteRange.lowerBound)...layout.index(ofByte: byteRange.upperBound - 1)
    {
      let target = layout.byteRange(of: number)
      let shared = byteRange.clamped(to: target)
      let part = bytes.extracting(
        (shared.lowerBound - byteRange.lowerBound)..<(shared.upperBound - byteRange.lowerBound))
      let key = firstChunks[tensor] + number
      if layout.chunkDimensions == nil {
        let chunk = try chunks.take()
        chunk.set([UInt8](copying: part), count: part.count, mask: 0)
        complete.append((key, chunk))
        continue
      }
      let assembly = try shared == target ? begin(number, of: tensor) : assembly(number, of: tensor)
      guard assembly.place(part, at: shared.lowerBound - target.lowerBound) else { continue }
      if shared != target { parts.withLock { _ = $0.removeValue(forKey: key) } }
      let (chunk, encoder) = try assembly.finish()
      encoders(of: tensor).put(encoder)
      complete.append((key, chunk))
    }
    for (number, chunk) in complete { try order.submit(chunk, at: number) }
  }

  /// A chunk of which some bytes have come, or none yet.
  private func assembly(_ number: Int, of tensor: Int) throws(EmbedFuseError) -> ChunkAssembly {
    try parts.withLock { parts throws(EmbedFuseError) in
      let key = firstChunks[tensor] + number
      if let known = parts[key] { return known }
      let new = try begin(number, of: tensor)
      parts[key] = new
      return new
    }
  }

  private func begin(_ number: Int, of tensor: Int) throws(EmbedFuseError) -> ChunkAssembly {
    let layout = layouts[tensor]
    return try ChunkAssembly(
      chunks.take(), with: encoders(of: tensor).take(), byteCount: layout.byteRange(of: number).count,
      layout: layout)
  }

  private func encoders(of tensor: Int) -> FreeList<ChunkEncoder> {
    deltas[tensor] == nil ? encoders : deltaCompressors
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
}

/// What a worker needs to make differences.
private struct DeltaBuffers: Sendable {
  var differences: [UInt8] = []
  /// A block of the base.
  var base: [UInt8] = []
}

extension [UInt8] {
  /// The bytes of a span.
  init(copying span: Span<UInt8>) {
    self = unsafe span.withUnsafeBytes { unsafe Array($0) }
  }
}

extension [Int] {
  /// In ascending numbers, the last index of a number that is at most `value`.
  func lastIndex(atMost value: Int) -> Int {
    var (low, high) = (0, count)
    while low < high {
      let middle = (low + high) / 2
      if self[middle] <= value { low = middle + 1 } else { high = middle }
    }
    return low - 1
  }
}
