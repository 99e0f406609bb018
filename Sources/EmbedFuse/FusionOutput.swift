import Checkpoints
import TensorCore

/// An output being written: its weights, the files that travel with them, and the manifest.
struct FusionOutput: Sendable {
  /// What is being written into.
  private enum Target: Sendable {
    case directory(ModelDirectoryWriter)
    case safetensors(SafetensorsWriter)
    case hdf5(HDF5Writer)
  }

  private let target: Target
  private let publication: Publication

  /// Takes the tensors' bytes.
  var writer: any CheckpointWriter {
    switch target {
    case .directory(let writer): writer
    case .safetensors(let writer): writer
    case .hdf5(let writer): writer
    }
  }

  /// Starts an output for a plan.
  ///
  /// `manifest` is the manifest with digests yet unknown: a safetensors file reserves room for it in its header.
  init(
    _ plan: FusionPlan, publication: Publication, options: OutputOptions, deltaBase: DeltaBase?,
    workers: Int, manifest: FusionManifest
  ) throws(EmbedFuseError) {
    self.publication = publication
    let infos = plan.tensors.map(\.info)
    switch OutputKind(path: publication.path) {
    case .directory:
      var placements: [ModelDirectoryWriter.Placement] = []
      for (info, module) in zip(infos, plan.modules) {
        let name = module.isEmpty ? info.name : String(info.name.dropFirst(module.count + 1))
        guard let local = TensorInfo(name: name, elementType: info.elementType, shape: info.shape) else {
          continue
        }
        placements.append(
          ModelDirectoryWriter.Placement(
            folder: module.isEmpty ? plan.reference.transformerFolder : module, info: local))
      }
      target = .directory(
        try ModelDirectoryWriter(
          in: publication.stagingPath, placements: placements, maximumShardBytes: options.maximumShardBytes))
    case .safetensors:
      target = .safetensors(
        try SafetensorsWriter(
          creating: publication.stagingPath, tensors: infos,
          metadata: ["format": "pt", "embedfuse": manifest.json.compactText]))
    case .hdf5:
      target = .hdf5(
        try HDF5Writer(
          creating: publication.stagingPath, tensors: infos, metadata: ["format": "pt"],
          compression: options.compressionLevel.map { .level($0) } ?? .weights, heldBack: 2 * workers,
          relativeTo: deltaBase))
    }
  }

  /// Completes the output with its other files and the manifest.
  func finish(files: [(path: String, bytes: [UInt8])], manifest: FusionManifest) throws(EmbedFuseError) {
    switch target {
    case .directory(let writer):
      try writer.finish()
      let own = [("embedfuse.json", Array(manifest.json.prettyText.utf8))]
      for (path, bytes) in files + own {
        try OutputFile.makeDirectories(FilePath.folder(of: publication.path(for: path)))
        try OutputFile.write(bytes, to: publication.path(for: path))
      }
    case .safetensors(let writer):
      try writer.setMetadata(["format": "pt", "embedfuse": manifest.json.compactText])
      try writer.finish()
    case .hdf5(let writer):
      for (path, bytes) in WordPieceList.withoutDerived(files) { try writer.add(file: path, bytes: bytes) }
      try writer.add(file: "embedfuse.json", bytes: Array(manifest.json.prettyText.utf8))
      try writer.finish()
    }
  }
}
