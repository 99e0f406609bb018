import TensorCore

extension ModelSource {
  /// The fine-tune that an adapter of this model stands for: this model's tensors, those that the adapter changes
  /// merged as they are read. Merged weights are F32, of an F64 base F64; all others are this model's own.
  ///
  /// - Parameter path: the adapter's directory.
  /// - Throws: `EmbedFuseError`: missing input or bad data for an adapter that can't be read, can't be merged right,
  ///   or changes weights that this model doesn't have.
  public func applying(
    adapter path: String, options: OpeningOptions = OpeningOptions()
  ) throws(EmbedFuseError) -> ModelSource {
    let adapter = try Adapter(at: path, options: options)
    var merging = AdapterMerging(base: self, adapter: adapter)
    return try merging.source(options: options)
  }
}

/// An adapter being put together with its base.
private struct AdapterMerging {
  let base: ModelSource
  let adapter: Adapter
  private let cache = FactorCache()
  private var factors: [Int] = []

  init(base: ModelSource, adapter: Adapter) {
    self.base = base
    self.adapter = adapter
  }

  mutating func source(options: OpeningOptions) throws(EmbedFuseError) -> ModelSource {
    let transformer = base.tensors.filter { $0.module.isEmpty }
    let targets = adapter.updates.map { $0.module + ".weight" }
    let replaced = adapter.replacements.map(\.name).filter { !targets.contains($0) }
    let mapping = try NameMapping(
      base: transformer.map(\.name), input: targets + replaced, path: adapter.path)
    try checkTargets(targets, mapping: mapping)
    var updates: [String: LowRankUpdate] = [:]
    for (target, entry) in zip(targets, adapter.updates) { updates[target] = entry.update }
    let replacements = adapter.replacements.reduce(into: [String: StoredTensor]()) { $0[$1.name] = $1.stored }

    var tensors: [ModelSource.Tensor] = []
    for tensor in transformer {
      guard let name = mapping.inputNames[tensor.name] else {
        tensors.append(tensor)
        continue
      }
      var stored = tensor.stored
      if let replacement = replacements[name] { stored = try replacement.renamed(tensor.name) }
      if let update = updates[name] { stored = try merge(update, into: stored) }
      tensors.append(ModelSource.Tensor(module: "", stored: stored))
    }
    // What the base lacks altogether, such as a head, is there to be told.
    for name in mapping.extra {
      guard let stored = replacements[name] else { continue }
      tensors.append(ModelSource.Tensor(module: "", stored: try stored.renamed(name)))
    }
    let modules = try otherModules(options: options)
    tensors += modules.tensors
    return try source(tensors, files: adapter.checkpoint.files + modules.files + base.weightFiles)
  }

  /// Checks that the base has every weight that is updated.
  private func checkTargets(_ targets: [String], mapping: NameMapping) throws(EmbedFuseError) {
    let extra = Set(mapping.extra)
    let absent = targets.filter(extra.contains)
    guard !absent.isEmpty else { return }
    throw EmbedFuseError(
      .badData,
      "updates \(absent.count.counted("weight")) that \(base.path.printable) lacks: \(absent.prefix(5).map(\.printable).joined(separator: ", "))\(absent.count > 5 ? ", …" : "")",
      path: adapter.path,
      remedy: "it belongs to another base\(adapter.baseName.map { ": \($0.printable)" } ?? "")")
  }

  /// A weight with its update.
  private mutating func merge(
    _ update: LowRankUpdate, into weight: StoredTensor
  ) throws(EmbedFuseError) -> StoredTensor {
    let info = weight.info
    guard info.elementType.isFusable else {
      throw EmbedFuseError(
        .badData, "is \(info.elementType), so the adapter \(adapter.path.printable) can't be added to it",
        path: weight.path, tensor: info.name, remedy: "name the base as it was before it was quantised")
    }
    guard info.shape.dimensions == [UInt(update.rowCount), UInt(update.columnCount)] else {
      throw EmbedFuseError(
        .badData,
        "the update of \(info.name.printable) is for a weight of [\(update.rowCount), \(update.columnCount)], but that is \(info.shape) in \(base.path.printable)",
        path: adapter.path,
        remedy: "it belongs to another base\(adapter.baseName.map { ": \($0.printable)" } ?? "")")
    }
    let type: ElementType = info.elementType == .f64 ? .f64 : .f32
    guard let merged = TensorInfo(name: info.name, elementType: type, shape: info.shape) else {
      throw EmbedFuseError(
        .badData, "its size as \(type) does not end at a byte", path: weight.path, tensor: info.name,
        remedy: "the file is damaged: copy or download it again")
    }
    guard info.shape.elementCount > 0 else { return weight }
    let storage = LowRankStorage(
      base: weight, update: update, elementType: type, cache: cache, key: factors.count)
    factors.append(FactorCache.Factor.byteCount(update.rank * update.columnCount))
    return StoredTensor(info: merged, storage: storage, path: adapter.checkpoint.path)
  }

  /// The tensors of the modules behind the transformer: the adapter's own if it has any, else the base's.
  private func otherModules(
    options: OpeningOptions
  ) throws(EmbedFuseError) -> (tensors: [ModelSource.Tensor], files: [(path: String, byteCount: Int)]) {
    guard !adapter.modules.isEmpty else { return (base.tensors.filter { !$0.module.isEmpty }, []) }
    var tensors: [ModelSource.Tensor] = []
    var files: [(path: String, byteCount: Int)] = []
    for module in adapter.modules.dropFirst() {
      let found = try WeightFiles.find(in: FilePath.join(adapter.path, module.path), required: false)
      guard let found else { continue }
      let checkpoint = try Checkpoint.open(at: found.path, options: options)
      tensors += checkpoint.tensors.map { ModelSource.Tensor(module: module.path, stored: $0) }
      files += checkpoint.files
    }
    return (tensors, files)
  }

  private func source(
    _ tensors: [ModelSource.Tensor], files: [(path: String, byteCount: Int)]
  ) throws(EmbedFuseError) -> ModelSource {
    // The files beside the adapter count; what isn't there is as in the base.
    let own = try CompanionFiles.list(in: adapter.path)
    let names = Set(own.files.map(\.relativePath))
    let companions = (own.files + base.companions.filter { !names.contains($0.relativePath) })
      .sorted { $0.relativePath.utf8.lexicographicallyPrecedes($1.relativePath.utf8) }
    return ModelSource(
      path: adapter.path, format: adapter.checkpoint.format, tensors: tensors, aliases: base.aliases,
      modules: adapter.modules.isEmpty ? base.modules : adapter.modules,
      transformerFolder: adapter.modules.isEmpty ? base.transformerFolder : adapter.transformerFolder,
      companions: companions, ownFiles: [], weightFiles: files,
      notes: adapter.notes + baseNote + TrainingRun.finalModelNotes(adapter.path),
      metadata: [:], cacheBytes: FactorCache.byteCount(ofFactors: factors),
      lostCompanions: own.lost + base.lostCompanions)
  }

  /// What is to be told where the adapter knew its base by another name.
  private var baseNote: [String] {
    guard let name = adapter.baseName, !name.isEmpty,
      FilePath.name(of: name) != FilePath.name(of: base.path)
    else { return [] }
    return [
      "\(adapter.path.printable): was trained on a base named \(name.printable), and is applied to \(base.path.printable)"
    ]
  }
}

extension StoredTensor {
  /// The tensor under another name.
  fileprivate func renamed(_ name: String) throws(EmbedFuseError) -> StoredTensor {
    guard let info = TensorInfo(name: name, elementType: info.elementType, shape: info.shape) else {
      throw EmbedFuseError(
        .badData, "its size does not end at a byte", path: path, tensor: name,
        remedy: "the file is damaged: copy or download it again")
    }
    return StoredTensor(info: info, storage: storage, path: path)
  }
}
