import TensorCore

/// Reads HDF5 files of datasets: our own compressed checkpoints, and what h5py and Keras write.
public struct HDF5Reader: Sendable {
  /// Bytes of a file that travels with the tensors at most, unless all is large itself: the manifest of a million tensors has
  /// more.
  private static let fileByteLimit = 256 << 20

  let file: HDF5File
  let directory: HDF5Directory
  let options: OpeningOptions
  private let shared: ChunkedStorage.Shared

  /// Opens a file and reads what it holds, but no values.
  ///
  /// - Throws: bad data for what isn't HDF5 or is damaged.
  public init(_ path: String, options: OpeningOptions = OpeningOptions()) throws(EmbedFuseError) {
    try self.init(HDF5File(path), options: options)
  }

  /// Reads what an open file holds, but no values.
  init(_ file: HDF5File, options: OpeningOptions) throws(EmbedFuseError) {
    self.file = file
    self.options = options
    directory = try HDF5Directory(of: file)
    try directory.checkUnwritten(in: file)
    file.input.releaseMappedPages()
    let memory = ChunkMemory(directory.datasets, most: options.cacheBytes)
    shared = ChunkedStorage.Shared(
      file: file, cache: ChunkCache(limit: memory.cacheBytes), memory: memory)
  }

  /// The tensors, in the order in which they were made, which is also that of their values.
  ///
  /// - Throws: also, where tensors are stored as differences, missing input if there is no base, and bad data if it is
  ///   another one; but whether its values are the same is found when they are read.
  public func checkpoint() throws(EmbedFuseError) -> Checkpoint {
    let source = try deltaSource()
    // Differences are in files of our own, whatever the tensors are called.
    if source == nil, let weights = try kerasWeights() { return try checkpoint(of: weights) }
    let numbers = directory.datasets.indices.filter {
      directory.datasets[$0].components[0] != HDF5Name.files
    }
    guard !numbers.isEmpty || directory.others.isEmpty else {
      throw EmbedFuseError(
        .badData, "holds no tensors, but \(directory.othersText)", path: file.path,
        remedy: "name the file that holds the weights")
    }
    var found: [(address: UInt64, tensor: StoredTensor)] = []
    var names: [Int: String] = [:]
    var deltas = 0
    for number in numbers {
      try EmbedFuseError.checkCancellation()
      var tensor = try tensor(number)
      if directory.datasets[number].delta != nil, let source {
        tensor = StoredTensor(
          info: tensor.info, storage: source.storage(of: deltas, differences: tensor.storage),
          path: tensor.path)
        deltas += 1
      }
      names[number] = tensor.info.name
      found.append((directory.headerAddresses[number], tensor))
    }
    found.sort { $0.address < $1.address }
    var aliases: [String: String] = [:]
    for (components, dataset) in directory.aliases {
      if let name = names[dataset] { aliases[components.joined(separator: "/")] = name }
    }
    // What other formats say in metadata stays there when it is converted.
    aliases.merge(Checkpoint.aliases(directory.metadata, of: Array(names.values))) { linked, _ in linked }
    return Checkpoint(
      path: file.path, format: .hdf5, tensors: found.map(\.tensor), metadata: directory.metadata,
      aliases: aliases, files: [(file.path, file.input.byteCount)],
      notes: notes
        + (source.map { source in
          [
            "\(file.path.printable): \(deltas) of \(found.count) tensors are stored as differences to \(source.recordedPath.printable) (digest \(source.digest))"
          ]
        } ?? []))
  }

  /// What should be told: what is no tensor.
  private var notes: [String] {
    directory.others.isEmpty
      ? [] : ["\(file.path.printable): what holds no tensor is left out: \(directory.othersText)"]
  }

  /// The files that travel with the tensors, by paths relative to the model that stay within it.
  ///
  /// - Throws: bad data for names that lead elsewhere, and for files of more than 256 MiB that
  ///   are more than four times as large as the whole.
  public func files() throws(EmbedFuseError) -> [(path: String, bytes: [UInt8])] {
    var result: [(path: String, bytes: [UInt8])] = []
    for (number, dataset) in directory.datasets.enumerated() where dataset.components[0] == HDF5Name.files {
      let components = dataset.components.dropFirst().map(HDF5Name.decoded)
      let path = components.joined(separator: "/")
      guard components.allSatisfy(FilePath.isPlainName) else {
        throw EmbedFuseError(
          .badData, "the name of the file \(dataset.path.printable) leads out of its folder", path: file.path)
      }
      guard dataset.type.elementType == .u8, dataset.dimensions.count == 1 else {
        throw EmbedFuseError(
          .badData, "the file \(dataset.path.printable) is not a row of bytes", path: file.path)
      }
      let stored = try tensor(number)
      let limit = max(Self.fileByteLimit, 4 * file.input.byteCount)
      guard stored.info.byteCount <= limit else {
        throw EmbedFuseError(
          .badData,
          "the file \(dataset.path.printable) has \(stored.info.byteCount) bytes, expected at most \(limit)",
          path: file.path)
      }
      var bytes = [UInt8](repeating: 0, count: stored.info.byteCount)
      var span = bytes.mutableSpan
      try stored.storage.read(0..<span.count, into: &span)
      result.append((path, bytes))
    }
    return result
  }
}

// MARK: - One tensor

extension HDF5Reader {
  /// The tensor that the dataset of a number holds, under `name` or its own.
  func tensor(_ number: Int, name: String? = nil) throws(EmbedFuseError) -> StoredTensor {
    let dataset = directory.datasets[number]
    var info = try dataset.tensorInfo(in: file.path)
    if let name, let renamed = TensorInfo(name: name, elementType: info.elementType, shape: info.shape) {
      info = renamed
    }
    if let filter = dataset.missingFilter {
      throw EmbedFuseError(
        .badData, "its chunks went through the filter \(filter.printable), which is not installed",
        path: file.path,
        tensor: dataset.path,
        remedy: "install HDF5's plugin for it and set HDF5_PLUGIN_PATH, or save the file with gzip")
    }
    var storage = try storage(dataset, of: info, number: number)
    if dataset.type.isBigEndian {
      storage = ByteSwappedStorage(stored: storage, type: info.elementType)
    }
    return StoredTensor(info: info, storage: storage, path: file.path)
  }

  private func storage(
    _ dataset: HDF5Dataset, of info: TensorInfo, number: Int
  ) throws(EmbedFuseError) -> any TensorStorage {
    if info.byteCount == 0 { return MemoryStorage(values: [], type: info.elementType) }
    switch dataset.layout {
    case .contiguous(let offset?):
      let range = try file.check(
        offset: UInt64(offset), byteCount: UInt64(info.byteCount), of: "its data", in: info.name)
      return file.input.storage(from: range.lowerBound, elementType: info.elementType)
    case .contiguous(nil):
      guard let element = dataset.fillValue else {
        throw EmbedFuseError(
          .badData, "its values were never written", path: file.path, tensor: info.name)
      }
      return ConstantStorage(element: element, type: info.elementType)
    case .chunked(let extents, let chunks):
      guard let grid = ChunkGrid(dimensions: dataset.dimensions, chunk: extents) else {
        throw EmbedFuseError(
          .badData, "chunks of \(extents) don't fit its extents \(dataset.dimensions)", path: file.path,
          tensor: info.name)
      }
      try ChunkMemory.check(grid, of: dataset, in: file)
      return try ChunkedStorage(
        dataset, grid: grid, chunks: chunks, type: info.elementType, number: number, shared: shared)
    case .compact(let values):
      return MemoryStorage(values: try wholeValues(values, info), type: info.elementType)
    }
  }

  /// The values of a dataset that keeps them in its header, so less than 64 KiB.
  private func wholeValues(
    _ values: HDF5Description.Outcome<[UInt8]>, _ info: TensorInfo
  ) throws(EmbedFuseError) -> [UInt8] {
    switch values {
    case .success(let values) where values.count == info.byteCount: return values
    case .success:
      throw EmbedFuseError(
        .badData, "a header can't hold its \(info.byteCount) bytes", path: file.path, tensor: info.name)
    case .failure(let failure):
      throw HDF5Library.error(.badData, "it can't be read", failure.text, path: file.path, tensor: info.name)
    }
  }
}

extension Checkpoint {
  /// Opens an HDF5 file of datasets, among them Keras's weights.
  ///
  /// - Throws: `EmbedFuseError`: missing input if it isn't there; bad data for what isn't HDF5, is damaged or leads
  ///   to other files, and for element types that checkpoints don't have.
  public static func openHDF5(at path: String) throws(EmbedFuseError) -> Checkpoint {
    try HDF5Reader(path).checkpoint()
  }
}
