import CHDF5
import TensorCore

/// The file behind an `HDF5Writer`: its datasets, which are created one after the other as their chunks arrive.
final class HDF5TensorFile: Sendable {
  /// Files are compressed in chunks of at most this size.
  private static let fileChunk = 8 << 20
  /// The level at which they are compressed. The levels that make a tokenizer a tenth smaller take a third of a second for
  /// it, as long as fusing a model of half a gigabyte.
  private static let fileLevel = 8

  private struct State: ~Copyable {
    var builder: HDF5FileBuilder
    var metadata: [String: String]
    /// The tensors whose datasets exist, and the last of them, while it is open.
    var created = 0
    var open: hid_t?
    /// The digests of the base's tensors, as far as their datasets are complete.
    var baseDigests: [(name: String, digest: ContentDigest)] = []
    var files: [String: PackedFile] = [:]
    /// The chunks of tensors, whose digests their workers have taken.
    var sealed: [FileSeal.Piece] = []
  }

  private struct PackedFile: Sendable {
    var byteCount: Int
    var chunk: Int?
    var level: Int
    var chunks: [StoredChunk]
  }

  private let names: [[String]]
  private let tensors: [TensorInfo]
  private let layouts: [ChunkLayout]
  private let compression: ChunkCompression
  private let base: DeltaBase?
  private let deltas: [DeltaEncoder?]
  private let path: String
  private let state: Locked<State>

  init(
    path: String, names: [[String]], tensors: [TensorInfo], layouts: [ChunkLayout],
    metadata: KeyValuePairs<String, String>, compression: ChunkCompression, base: DeltaBase?,
    deltas: [DeltaEncoder?]
  ) throws(EmbedFuseError) {
    self.path = path
    self.names = names
    self.tensors = tensors
    self.layouts = layouts
    self.compression = compression
    self.base = base
    self.deltas = deltas
    state = Locked(State(builder: try HDF5FileBuilder(path: path), metadata: Self.dictionary(metadata)))
  }

  /// Stores chunk `number` of a tensor; chunks come in order.
  func write(_ chunk: StoredChunk, number: Int, of tensor: Int) throws(EmbedFuseError) {
    try state.withLock { state throws(EmbedFuseError) in
      try createDatasets(through: tensor, &state)
      guard let dataset = state.open, state.created == tensor + 1 else {
        preconditionFailure("a chunk of \(tensors[tensor].name) comes after those of the tensors behind it")
      }
      let (layout, name) = (layouts[tensor], tensors[tensor].name)
      if layout.chunkDimensions == nil {
        try state.builder.write(chunk.bytes, to: dataset, of: name)
      } else {
        let range = try state.builder.write(
          chunk, to: dataset, at: layout.corner(of: number), of: name)
        state.sealed.append(FileSeal.Piece(range: range, digest: chunk.digest))
      }
    }
  }

  /// Replaces the texts that `finish` will attach.
  func setMetadata(_ metadata: [String: String]) {
    state.withLock { $0.metadata = metadata }
  }

  private static func dictionary(_ pairs: KeyValuePairs<String, String>) -> [String: String] {
    Dictionary(pairs.map { ($0.key, $0.value) }) { $1 }
  }

  /// Compresses a file that `finish` will store.
  func add(file name: String, bytes: [UInt8]) throws(EmbedFuseError) {
    let components = name.split(separator: "/", omittingEmptySubsequences: false)
    guard !components.contains(where: { $0.isEmpty || $0 == "." || $0 == ".." || $0.contains("\0") }) else {
      throw EmbedFuseError(
        .usage, "a file named “\(name.printable)” can't travel in a checkpoint", path: path)
    }
    var packed = PackedFile(byteCount: bytes.count, chunk: nil, level: 0, chunks: [])
    if bytes.count < ChunkLayout.smallestBytes {
      packed.chunks = [StoredChunk(bytes: bytes, mask: 0)]
    } else {
      let size = min(bytes.count, Self.fileChunk)
      packed.chunk = size
      packed.level = Self.fileLevel
      let encoder = try ChunkEncoder(.level(packed.level))
      for start in stride(from: 0, to: bytes.count, by: size) {
        let part = Array(bytes[start..<min(start + size, bytes.count)])
        let chunk = part + [UInt8](repeating: 0, count: size - part.count)
        let frame = try encoder.encode(chunk.span, width: 1)
        packed.chunks.append(StoredChunk(bytes: frame ?? chunk, mask: frame == nil ? 1 : 0))
      }
    }
    try state.withLock { state throws(EmbedFuseError) in
      guard state.files.updateValue(packed, forKey: name) == nil else {
        throw EmbedFuseError(.internalError, "the file \(name) was added twice", path: path)
      }
    }
  }

  /// Creates what has no values, stores the files, completes the whole and seals it.
  func finish() throws(EmbedFuseError) {
    try state.withLock { state throws(EmbedFuseError) in
      try createDatasets(through: tensors.count - 1, &state)
      try closeDataset(&state)
      try state.builder.attach(state.metadata, toGroup: HDF5Name.metadata)
      if let base {
        try state.builder.attach(
          DeltaRecord.texts(base: base.recordedPath, digest: .of(tensors: state.baseDigests)),
          toGroup: HDF5Name.delta)
      }
      let files = state.files.sorted { $0.key.utf8.lexicographicallyPrecedes($1.key.utf8) }
      for (name, file) in files { try store(file, named: name, &state) }
      try state.builder.close()
      try FileSeal.append(to: path, pieces: state.sealed)
    }
  }

  /// Creates the datasets up to that of `tensor`, which stays open.
  private func createDatasets(through tensor: Int, _ state: inout State) throws(EmbedFuseError) {
    while state.created <= tensor {
      try closeDataset(&state)
      let next = state.created
      state.open = try state.builder.createDataset(
        names[next], for: tensors[next], layout: layouts[next], compression: compression,
        isDelta: deltas[next] != nil)
      state.created += 1
    }
  }

  private func closeDataset(_ state: inout State) throws(EmbedFuseError) {
    guard let dataset = state.open else { return }
    state.open = nil
    let name = tensors[state.created - 1].name
    if let record = deltas[state.created - 1]?.finish() {
      try state.builder.attach(record, to: dataset, of: name)
      if let digest = ContentDigest(record.digest) { state.baseDigests.append((name, digest)) }
    }
    try state.builder.close(dataset, of: name)
  }

  private func store(_ file: PackedFile, named name: String, _ state: inout State) throws(EmbedFuseError) {
    let components = [HDF5Name.files] + HDF5Name.components(of: name)
    let dataset = try state.builder.createBytes(
      components, count: file.byteCount, chunk: file.chunk, level: file.level)
    for (index, chunk) in file.chunks.enumerated() {
      if let size = file.chunk {
        try state.builder.write(chunk, to: dataset, at: [UInt64(index * size)], of: name)
      } else {
        try state.builder.write(chunk.bytes, to: dataset, of: name)
      }
    }
    try state.builder.close(dataset, of: name)
  }
}
