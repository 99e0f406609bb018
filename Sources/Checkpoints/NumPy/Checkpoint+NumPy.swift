import TensorCore

extension Checkpoint {
  /// Opens a `.npy` file: one tensor, named as the file without its ending.
  ///
  /// - Throws: `EmbedFuseError`: missing input if it isn't there; bad data for what the format forbids, for pickled
  ///   objects and for types that checkpoints don't have.
  public static func openNPY(
    at path: String, options: OpeningOptions = OpeningOptions()
  ) throws(EmbedFuseError) -> Checkpoint {
    let file = try InputFile(path)
    let name = String(FilePath.name(of: path).dropLast(".npy".count))
    let header = try NumPyHeader(
      NumPyHeader.Place(path: path, name: name), byteCount: file.byteCount,
      exactType: options.readsVoidPairsAsBFloat16 ? .bf16 : nil
    ) { range throws(EmbedFuseError) in
      try file.bytes(range)
    }
    let values = file.storage(from: header.dataOffset, elementType: header.elementType)
    return Checkpoint(
      path: path, format: .numpy, tensors: [try header.tensor(named: name, values: values, path: path)],
      files: [(path, file.byteCount)])
  }
}

extension Checkpoint {
  /// Opens a `.npz` file: a tensor for each array, under its key. Arrays may be stored or deflated.
  ///
  /// Other entries are not arrays to NumPy either, and left out with a note, except for the manifest of embedfuse.
  ///
  /// - Throws: `EmbedFuseError`: missing input if it isn't there; bad data for what the formats forbid, listing every
  ///   array that a checkpoint can't hold.
  public static func openNPZ(
    at path: String, options: OpeningOptions = OpeningOptions()
  ) throws(EmbedFuseError) -> Checkpoint {
    let file = try InputFile(path)
    let archive = try ZipArchive(file)
    try EmbedFuseError.checkComposition(of: archive.entries.lazy.map(\.name), path: path)
    var tensors: [(offset: Int, tensor: StoredTensor)] = []
    var metadata: [String: String] = [:]
    var ignored: [String] = []
    var failures: [EmbedFuseError] = []
    for entry in archive.entries {
      if entry.name.hasSuffix(".npy") {
        do throws(EmbedFuseError) {
          tensors.append((entry.dataOffset, try tensor(entry, of: archive, options: options)))
        } catch {
          failures.append(error)
        }
      } else if entry.name == CompanionFiles.manifest {
        let bytes = try archive.contents(of: entry, limit: 256 << 20)
        metadata["embedfuse"] = String(decoding: bytes, as: UTF8.self)
      } else if !entry.name.hasSuffix("/") {
        ignored.append(entry.name)
      }
    }
    guard failures.isEmpty || options.describing else {
      throw EmbedFuseError(listing: failures, path: path)
    }
    guard !tensors.isEmpty || !failures.isEmpty || archive.entries.isEmpty else {
      throw EmbedFuseError(
        .badData, "is a zip archive without NumPy arrays (entries that end in .npy)", path: path,
        remedy: "name a file that numpy.savez has written")
    }
    return Checkpoint(
      path: path, format: .numpy, tensors: tensors.sorted { $0.offset < $1.offset }.map(\.tensor),
      metadata: metadata, files: [(path, file.byteCount)],
      notes: (ignored.isEmpty
        ? [] : ["\(path.printable): entries that are no arrays are ignored: \(ignored.printableList)"])
        + failures.map {
          "\(path.printable): an array that can't be read: \(($0.tensor ?? "").printable) \($0.problem)"
        })
  }

  /// The tensor that an entry holds.
  private static func tensor(
    _ entry: ZipEntry, of archive: ZipArchive, options: OpeningOptions
  ) throws(EmbedFuseError) -> StoredTensor {
    let name = String(entry.name.dropLast(".npy".count))
    let path = archive.file.path
    let source = archive.source(of: entry)
    let header = try NumPyHeader(
      NumPyHeader.Place(path: path, name: name), byteCount: entry.byteCount,
      exactType: ElementType(name: entry.comment) ?? (options.readsVoidPairsAsBFloat16 ? .bf16 : nil)
    ) { range throws(EmbedFuseError) in
      try source.bytes(range)
    }
    let values = archive.storage(of: entry, from: header.dataOffset, elementType: header.elementType)
    return try header.tensor(named: name, values: values, path: path)
  }
}

extension EmbedFuseError {
  /// One error for several of one file.
  fileprivate init(listing failures: [EmbedFuseError], path: String) {
    self = failures[0]
    guard failures.count > 1 else { return }
    let lines = failures.map { "\(($0.tensor ?? "").printable): \($0.problem)" }
    self.init(
      failures[0].code, "\(failures.count) arrays can't be read:" + lines.messageLines, path: path,
      remedy: failures[0].remedy)
  }
}

extension NumPyHeader {
  /// The tensor whose elements stand in `values` as the header says.
  func tensor(
    named name: String, values: any TensorStorage, path: String
  ) throws(EmbedFuseError) -> StoredTensor {
    guard let info = TensorInfo(name: name, elementType: elementType, shape: shape) else {
      throw Place(path: path, name: name).reject("has elements that don't end at a byte")
    }
    var storage = values
    if isBigEndian { storage = ByteSwappedStorage(stored: storage, type: elementType) }
    if isFortranOrder, shape.rank > 1, shape.elementCount > 0 {
      storage = FortranStorage(storage, shape: shape, type: elementType)
    }
    return StoredTensor(info: info, storage: storage, path: path)
  }
}
