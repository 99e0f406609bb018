import TensorCore

extension ModelSource {
  /// Opens an HDF5 checkpoint. Where a model's configuration travels inside, it is read like that of a directory:
  /// tensors named after a module's folder belong to that module.
  static func openHDF5(_ path: String, options: OpeningOptions) throws(EmbedFuseError) -> ModelSource {
    let reader = try HDF5Reader(path, options: options)
    let checkpoint = try reader.checkpoint()
    try checkNames(
      of: checkpoint.tensors.map { Tensor(module: "", stored: $0) }, aliases: checkpoint.aliases, path: path)
    var companions: [CompanionFile] = []
    var ownFiles: [CompanionFile] = []
    var modules: [SentenceModule] = []
    for (name, bytes) in try WordPieceList.restoring(try reader.files(), path: path) {
      if name == "modules.json" {
        modules = try SentenceModule.parse(
          try JSON.parse(bytes.span, duplicateKeys: .lastWins, path: FilePath.join(path, name)), path: path)
      }
      let file = CompanionFile(relativePath: name, diskPath: nil, embedded: bytes)
      if CompanionFiles.isCompanion(name) {
        companions.append(file)
      } else {
        ownFiles.append(file)
      }
    }
    let folders = modules.dropFirst().map(\.path).filter { !$0.isEmpty }
    var tensors: [Tensor] = []
    for stored in checkpoint.tensors {
      let folder = folders.first { stored.info.name.utf8.starts(with: ($0 + "/").utf8) } ?? ""
      let name =
        folder.isEmpty
        ? stored.info.name : String(Substring(stored.info.name.utf8.dropFirst(folder.utf8.count + 1)))
      guard
        let info = TensorInfo(name: name, elementType: stored.info.elementType, shape: stored.info.shape)
      else { continue }
      let local = StoredTensor(info: info, storage: stored.storage, path: stored.path)
      tensors.append(Tensor(module: folder, stored: local))
    }
    // The transformer's tensors first, then those of the other modules in their order.
    let places = [""] + folders
    tensors = places.flatMap { place in tensors.filter { $0.module == place } }
    return ModelSource(
      path: path, format: .hdf5, tensors: tensors, aliases: checkpoint.aliases, modules: modules,
      transformerFolder: modules.first?.path ?? "", companions: companions,
      ownFiles: ownFiles, weightFiles: checkpoint.files,
      notes: checkpoint.notes, metadata: checkpoint.metadata, relativeTo: reader.relativeTo,
      naming: checkpoint.naming)
  }
}
