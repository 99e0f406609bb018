import TensorCore

extension Checkpoint {
  /// Opens a file that `torch.save` wrote, or the shards that an index file (`*.bin.index.json`) names.
  ///
  /// The pickle within is read as inert records; nothing is executed. Of a training checkpoint the state dict is
  /// found, or `options.stateDictKey` names it; a lone tensor is named as the file without its ending. Tensors that are the same view of the same storage are stored once
  /// and named by `aliases`.
  ///
  /// - Throws: `EmbedFuseError`: missing input for files that aren't there; bad data for files that break the format,
  ///   for what is no state dict, and for tensors of kinds that can't be read.
  public static func openPyTorch(
    at path: String, options: OpeningOptions = OpeningOptions()
  ) throws(EmbedFuseError) -> Checkpoint {
    path.hasSuffix(".json")
      ? try openPyTorchShards(index: path, options: options) : try openPyTorchFile(path, options: options)
  }

  private static func openPyTorchFile(
    _ path: String, options: OpeningOptions
  ) throws(EmbedFuseError) -> Checkpoint {
    let file = try TorchFile(at: path, isStrict: options.strictPickle)
    let fileName = FilePath.name(of: path)
    let stem = fileName.lastIndex(of: ".").map { String(fileName[..<$0]) } ?? fileName
    let dictionary: StateDict
    do throws(PickleError) {
      dictionary = try StateDict.find(in: file.pickle, key: options.stateDictKey, loneName: stem)
    } catch {
      throw error.located(path: path, start: file.pickleOffset)
    }
    try EmbedFuseError.checkComposition(of: dictionary.entries.lazy.map(\.name), path: path)
    let contents = try TorchContents(of: file, dictionary, describing: options.describing)
    return Checkpoint(
      path: path, format: .pytorch, tensors: contents.tensors, aliases: contents.aliases,
      files: [(path, file.file.byteCount)], notes: contents.notes)
  }

  private static func openPyTorchShards(
    index path: String, options: OpeningOptions
  ) throws(EmbedFuseError) -> Checkpoint {
    let index = try ShardIndex(at: path)
    let shards = try index.open { path throws(EmbedFuseError) in
      try openPyTorchFile(path, options: options)
    }
    try index.check(against: shards.map { $0.tensors.map(\.info.name) + $0.aliases.keys })
    return Checkpoint(
      path: path, format: .pytorch, tensors: shards.flatMap(\.tensors),
      aliases: shards.reduce(into: [:]) { $0.merge($1.aliases) { first, _ in first } },
      files: [(path, index.byteCount)] + shards.flatMap(\.files), notes: shards.flatMap(\.notes))
  }
}

/// What a state dict holds, tensor by tensor.
private struct TorchContents {
  /// The tensors, in the order of their values in the file.
  private(set) var tensors: [StoredTensor] = []
  /// The names of views that are stored under another name.
  private(set) var aliases: [String: String] = [:]
  /// What was chosen, and what was ignored.
  private(set) var notes: [String] = []

  /// Bytes of all tensors at most, as a multiple of what the storages hold, and on top of it: views may repeat
  /// elements (stride 0) or overlap, but a small file must not stand for terabytes.
  private static let repetitionLimit = 4
  private static let repetitionAllowance = 64 << 20

  /// - Parameter describing: true to tell of tensors that can't be read instead of refusing the file.
  init(of torch: TorchFile, _ dictionary: StateDict, describing: Bool) throws(EmbedFuseError) {
    let path = torch.file.path
    guard !dictionary.entries.isEmpty else {
      throw EmbedFuseError(
        .badData, "holds no tensors", path: path, remedy: "save it with torch.save(model.state_dict(), PATH)")
    }
    var found: [(place: Int, tensor: StoredTensor)] = []
    var names: [TorchTensor: String] = [:]
    var stored: [ExactString: Int] = [:]
    var byteCount = 0
    var unreadable: [String] = []
    for entry in dictionary.entries {
      do throws(PickleError) {
        switch try torch.pickle.tensor(entry.value) {
        case .other: throw PickleError(problem: "is no tensor that can be read")
        case .unreadable(let reason) where describing: unreadable.append("\(entry.name) \(reason)")
        case .unreadable(let reason): throw PickleError(problem: reason)
        case .tensor(let tensor):
          if tensor.count > 0, let name = names[tensor] {
            aliases[entry.name] = name
            continue
          }
          names[tensor] = entry.name
          let opened = try torch.open(tensor, name: entry.name)
          stored[ExactString(tensor.storage.key)] = try tensor.storage.storedByteCount()
          let (sum, overflow) = byteCount.addingReportingOverflow(opened.info.byteCount)
          byteCount = overflow ? .max : sum
          found.append((torch.place(of: tensor), opened))
        }
      } catch {
        throw error.located(path: path, tensor: entry.name)
      }
    }
    let storedByteCount = stored.values.reduce(0) { $0 &+ $1 }
    guard
      byteCount / Self.repetitionLimit <= storedByteCount + Self.repetitionAllowance / Self.repetitionLimit
    else {
      throw EmbedFuseError(
        .badData, "its tensors have \(byteCount) bytes, but only \(storedByteCount) are stored", path: path,
        remedy: "expanded tensors repeat their values: save them with .contiguous()")
    }
    guard !unreadable.isEmpty || found.contains(where: { $0.tensor.info.byteCount > 0 }) else {
      throw EmbedFuseError(
        .badData, "all its \(found.count) tensors are empty", path: path,
        remedy: "a DeepSpeed ZeRO-3 checkpoint keeps only placeholders here: run its zero_to_fp32.py first")
    }
    tensors = found.sorted { $0.place < $1.place }.map(\.tensor)
    notes = Self.notes(of: torch, dictionary)
    if !unreadable.isEmpty {
      notes.append("\(path.printable): tensors that can't be read: \(unreadable.printableList)")
    }
  }

  private static func notes(of torch: TorchFile, _ dictionary: StateDict) -> [String] {
    let path = torch.file.path.printable
    var notes: [String] = []
    if !dictionary.keys.isEmpty {
      notes.append(
        "\(path): reads the state dict under '\(dictionary.keys.joined(separator: ".").printable)'")
    }
    if !dictionary.others.isEmpty {
      notes.append("\(path): ignores what are no tensors: \(dictionary.others.printableList)")
    }
    var names: Set<String> = []
    for (index, node) in torch.pickle.nodes.enumerated() where node.kind == .global {
      let name = torch.pickle.globalName(.node(index)) ?? "a name that is no text"
      if !TorchGlobals.isOrdinary(name) { names.insert(name) }
    }
    if !names.isEmpty {
      notes.append("\(path): names, which are read as inert records: \(names.sorted().printableList)")
    }
    return notes
  }
}

extension TorchFile {
  /// The tensor with the way to its values.
  fileprivate func open(_ tensor: TorchTensor, name: String) throws(PickleError) -> StoredTensor {
    guard let shape = tensor.shape,
      let info = TensorInfo(name: name, elementType: tensor.elementType, shape: shape)
    else { throw PickleError(problem: "has the extents \(tensor.extents), \(Shape.excess)") }
    let source = try storages.bytes(of: tensor.storage)
    let start = place(of: tensor, in: 0)
    var storage: any TensorStorage
    if !tensor.isContiguous {
      storage = StridedStorage(
        source: source, offset: start, extents: tensor.extents, strides: tensor.strides,
        width: tensor.unitWidth)
    } else {
      storage = source.storage(from: start, elementType: tensor.elementType)
    }
    if isBigEndian, tensor.unitWidth > 1 {
      storage = ByteSwappedStorage(stored: storage, type: tensor.elementType)
    }
    return StoredTensor(info: info, storage: storage, path: file.path)
  }

  /// Where a tensor's first element stands, counted from where its storage starts in the file, or from `start`.
  fileprivate func place(of tensor: TorchTensor, in start: Int? = nil) -> Int {
    let width = tensor.storage.isUntyped ? 1 : tensor.storage.byteWidth ?? 1
    return (start ?? storages.offset(of: tensor.storage)) + tensor.storage.start * width
      + tensor.offset * tensor.unitWidth
  }
}
