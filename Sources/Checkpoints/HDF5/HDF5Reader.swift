import CHDF5
import TensorCore

/// Reads HDF5 files of datasets: our own compressed checkpoints, and what h5py writes.
public struct HDF5Reader: Sendable {
  /// Bytes of decoded chunks that are kept for one file.
  private static let cacheBytes = 16 << 20
  /// Bytes of a file that travels with the tensors at most.
  private static let fileByteLimit = 256 << 20

  private let file: HDF5File
  private let directory: HDF5Directory
  private let options: OpeningOptions
  private let cache = ChunkCache(limit: Self.cacheBytes)
  private let decoders = FreeList { () throws(EmbedFuseError) in try ChunkDecoder() }

  /// Opens a file and reads what it holds, but no values.
  ///
  /// - Throws: bad data for what isn't HDF5 or is damaged.
  public init(_ path: String, options: OpeningOptions = OpeningOptions()) throws(EmbedFuseError) {
    self.options = options
    file = try HDF5File(path)
    directory = try HDF5Directory(of: file)
  }

  /// The path, as the file records it, of the checkpoint to which its tensors are stored; nil if they are complete.
  public var relativeTo: String? {
    directory.datasets.contains { $0.delta != nil } ? directory.delta?["base"] : nil
  }

  /// The tensors, in the order of their values in the file, those without values last.
  ///
  /// - Throws: also, where tensors are stored as differences, missing input if there is no base, and bad data if it is
  ///   another one; but whether its values are the same is found when they are read.
  public func checkpoint() throws(EmbedFuseError) -> Checkpoint {
    var found: [(position: Int, tensor: StoredTensor)] = []
    var names: [Int: String] = [:]
    let source = try deltaSource()
    var deltas = 0
    for (number, dataset) in directory.datasets.enumerated() where dataset.components[0] != HDF5Name.files {
      var tensor = try tensor(dataset, number: number)
      if dataset.delta != nil, let source {
        tensor = StoredTensor(
          info: tensor.info, storage: source.storage(of: deltas, differences: tensor.storage),
          path: tensor.path)
        deltas += 1
      }
      names[number] = tensor.info.name
      found.append((dataset.position ?? .max, tensor))
    }
    found.sort {
      $0.position != $1.position
        ? $0.position < $1.position
        : $0.tensor.info.name.utf8.lexicographicallyPrecedes($1.tensor.info.name.utf8)
    }
    var aliases: [String: String] = [:]
    for (components, dataset) in directory.aliases {
      if let name = names[dataset] { aliases[components.joined(separator: "/")] = name }
    }
    // What other formats say in metadata stays there when it is converted.
    aliases.merge(Checkpoint.aliases(directory.metadata, of: Array(names.values))) { linked, _ in linked }
    return Checkpoint(
      path: file.path, format: .hdf5, tensors: found.map(\.tensor), metadata: directory.metadata,
      aliases: aliases, files: [(file.path, file.input.byteCount)],
      notes: source.map { source in
        [
          "\(file.path.printable): \(deltas) of \(found.count) tensors are stored as differences to \(source.recordedPath.printable) (digest \(source.digest))"
        ]
      } ?? [])
  }

  /// What tensors are stored relative to; nil if none is.
  private func deltaSource() throws(EmbedFuseError) -> DeltaSource? {
    var tensors: [DeltaSource.Tensor] = []
    var digests: [(name: String, digest: ContentDigest)] = []
    for dataset in directory.datasets {
      guard let delta = dataset.delta else { continue }
      let info = try dataset.tensorInfo(in: file.path)
      guard let digest = ContentDigest(delta.digest), let blocks = delta.blockDigests(of: info) else {
        throw EmbedFuseError(
          .badData, "the digests of its base contradict each other", path: file.path, tensor: info.name,
          remedy: "the file has changed since it was written; restore it from a copy")
      }
      tensors.append(DeltaSource.Tensor(info: info, blocks: blocks))
      digests.append((info.name, digest))
    }
    guard !tensors.isEmpty else { return nil }
    let version = directory.delta?["version"]
    guard version == DeltaRecord.version else {
      throw EmbedFuseError(
        .badData,
        "its differences are of version \(version?.printable ?? "?"), expected \(DeltaRecord.version)",
        path: file.path, remedy: "read it with the version of embedfuse that wrote it")
    }
    let whole = ContentDigest.of(tensors: digests)
    guard let path = directory.delta?["base"], directory.delta?["base_digest"] == whole.description else {
      throw EmbedFuseError(
        .badData, "the digest of its base is missing, or contradicts those of the base's tensors",
        path: file.path, remedy: "the file has changed since it was written; restore it from a copy")
    }
    return try DeltaSource(
      of: file.path, recordedPath: path, tensors: tensors, digest: whole, options: options)
  }

  /// The files that travel with the tensors, by paths relative to the model that stay within it.
  ///
  /// - Throws: bad data for names that lead elsewhere, and for files of more than 256 MiB.
  public func files() throws(EmbedFuseError) -> [(path: String, bytes: [UInt8])] {
    var result: [(path: String, bytes: [UInt8])] = []
    for (number, dataset) in directory.datasets.enumerated() where dataset.components[0] == HDF5Name.files {
      let components = dataset.components.dropFirst().map(HDF5Name.decoded)
      let path = components.joined(separator: "/")
      guard components.allSatisfy(FilePath.isPlainName) else {
        throw EmbedFuseError(
          .badData, "the name of the file \(dataset.path) leads out of its folder", path: file.path)
      }
      guard dataset.type.elementType == .u8, dataset.dimensions.count == 1 else {
        throw EmbedFuseError(.badData, "the file \(dataset.path) is not a row of bytes", path: file.path)
      }
      let stored = try tensor(dataset, number: number)
      guard stored.info.byteCount <= Self.fileByteLimit else {
        throw EmbedFuseError(
          .badData,
          "the file \(dataset.path) has \(stored.info.byteCount) bytes, more than \(Self.fileByteLimit)",
          path: file.path)
      }
      var bytes = [UInt8](repeating: 0, count: stored.info.byteCount)
      var span = bytes.mutableSpan
      try stored.storage.read(0..<span.count, into: &span)
      result.append((path, bytes))
    }
    return result
  }

  /// The tensor that a dataset holds.
  private func tensor(_ dataset: HDF5Dataset, number: Int) throws(EmbedFuseError) -> StoredTensor {
    let info = try dataset.tensorInfo(in: file.path)
    return StoredTensor(
      info: info, storage: try storage(dataset, of: info, number: number), path: file.path)
  }

  private func storage(
    _ dataset: HDF5Dataset, of info: TensorInfo, number: Int
  ) throws(EmbedFuseError) -> any TensorStorage {
    if info.byteCount == 0 { return MemoryStorage(values: [], type: info.elementType) }
    switch dataset.layout {
    case .contiguous(let offset):
      guard let offset else {
        throw EmbedFuseError(
          .badData, "its values were never written", path: file.path, tensor: info.name)
      }
      let range = try file.check(
        offset: UInt64(offset), byteCount: UInt64(info.byteCount), of: "its data", in: info.name)
      return FileRegion(file: file.input, offset: range.lowerBound, elementType: info.elementType)
    case .chunked(let extents, let chunks):
      return try ChunkedStorage(
        dataset, extents: extents, chunks: chunks, type: info.elementType, number: number, in: file,
        cache: cache,
        decoders: decoders)
    case .compact:
      return MemoryStorage(values: try wholeValues(dataset, info), type: info.elementType)
    }
  }

  /// The values of a dataset that keeps them in its header, so less than 64 KiB.
  private func wholeValues(_ dataset: HDF5Dataset, _ info: TensorInfo) throws(EmbedFuseError) -> [UInt8] {
    guard info.byteCount < 1 << 16 else {
      throw EmbedFuseError(
        .badData, "a header can't hold its \(info.byteCount) bytes", path: file.path, tensor: info.name)
    }
    return try HDF5Library.locked { () throws(EmbedFuseError) in
      var values = [UInt8](repeating: 0, count: info.byteCount)
      let id = unsafe H5Dopen2(file.id, dataset.path, 0)
      defer { H5Dclose(id) }
      try HDF5Library.check(
        unsafe ef_h5_read(id, 0, nil, nil, nil, &values), .badData, "it can't be read", path: file.path,
        tensor: info.name)
      return values
    }
  }
}

extension Checkpoint {
  /// Opens an HDF5 file of datasets.
  ///
  /// - Throws: `EmbedFuseError`: missing input if it isn't there; bad data for what isn't HDF5, is damaged or leads
  ///   to other files, and for element types that checkpoints don't have.
  public static func openHDF5(at path: String) throws(EmbedFuseError) -> Checkpoint {
    try HDF5Reader(path).checkpoint()
  }
}
