import Checkpoints
import TensorCore

/// An output being written: its weights, the files that travel with them, and the manifest.
struct FusionOutput: Sendable {
  /// What is being written into.
  private enum Target: Sendable {
    case directory(ModelDirectoryWriter)
    case safetensors(SafetensorsWriter)
    case hdf5(HDF5Writer)
    case numpy(NumPyArchiveWriter)
    case gguf(GGUFWriter, GGUFMetadata)
  }

  private let target: Target
  private let contents: OutputContents
  private let publication: Publication
  /// The bytes that were reserved for the manifest where it is a text in a header.
  private let manifestRoom: Int

  /// Takes the tensors' bytes.
  var writer: any CheckpointWriter {
    switch target {
    case .directory(let writer): writer
    case .safetensors(let writer): writer
    case .hdf5(let writer): writer
    case .numpy(let writer): writer
    case .gguf(let writer, _): writer
    }
  }

  /// Starts an output of the kind that the publication's path asks for.
  ///
  /// `manifest` may have digests that are yet unknown: safetensors and GGUF files reserve room for it in their headers.
  /// With `quantizes` a GGUF file stores matrices in Q8_0. Of a directory only `shards` are made, if they are given.
  init(
    _ contents: OutputContents, publication: Publication, options: OutputOptions, deltaBase: DeltaBase?,
    workers: Int, manifest: OutputManifest?, quantizes: Bool = false, shards: [Int]? = nil
  ) throws(EmbedFuseError) {
    self.publication = publication
    self.contents = contents
    let kind = OutputKind(path: publication.path)
    let text = kind == .safetensors || kind == .gguf ? manifest?.text : nil
    manifestRoom = text?.utf8.count ?? 0
    let path = publication.stagingPath
    switch kind {
    case .directory:
      target = .directory(
        try ModelDirectoryWriter(
          in: path, try ShardLayout(contents.placements(), maximumShardBytes: options.shardBytes),
          making: shards, isFlushed: options.synchronize))
    case .safetensors:
      target = .safetensors(
        try SafetensorsWriter(
          creating: path, tensors: contents.tensors, metadata: Self.metadata(contents, text),
          isFlushed: options.synchronize))
    case .hdf5:
      let writer = try HDF5Writer(
        creating: path, tensors: contents.tensors,
        compression: options.compressionLevel.map { .level($0) } ?? .weights, heldBack: 4 * workers,
        relativeTo: deltaBase)
      writer.setMetadata(contents.metadata)
      target = .hdf5(writer)
    case .numpy:
      target = .numpy(try NumPyArchiveWriter(creating: path, tensors: contents.tensors))
    case .gguf:
      var pairs = try contents.keyValuePairs()
      pairs["embedfuse"] = text
      let writer = try GGUFWriter(
        creating: path, tensors: contents.tensors, metadata: pairs, quantizes: quantizes)
      target = .gguf(writer, pairs)
    }
  }

  /// The metadata of a safetensors file, the manifest last.
  private static func metadata(
    _ contents: OutputContents, _ manifest: String?
  ) -> [(key: String, value: String)] {
    contents.metadata + (manifest.map { [("embedfuse", $0)] } ?? [])
  }

  /// Completes one shard of a directory, while others are still written.
  func finish(shard: Int) throws(EmbedFuseError) {
    if case .directory(let writer) = target { try writer.finish(shard: shard) }
  }

  /// Completes the output with its other files and the manifest.
  func finish(
    files: [(path: String, bytes: [UInt8])], manifest: OutputManifest?
  ) throws(EmbedFuseError) {
    var own: [(path: String, bytes: [UInt8])] { manifest.map { [("embedfuse.json", $0.file)] } ?? [] }
    switch target {
    case .directory(let writer):
      try writer.finish()
      try writer.layout.writeIndexes(in: publication.stagingPath)
      for (path, bytes) in files + own {
        try OutputFile.makeDirectories(FilePath.folder(of: publication.path(for: path)))
        try OutputFile.write(bytes, to: publication.path(for: path))
      }
    case .safetensors(let writer):
      try writer.setMetadata(Self.metadata(contents, manifest?.text(filling: manifestRoom)))
      try writer.finish()
    case .hdf5(let writer):
      // A file that can be made again is made again if the manifest lists it.
      let kept = Set(WordPieceList.withoutDerived(files).map(\.path))
      let listed = manifest?.listedFiles ?? []
      for (path, bytes) in files + own where kept.contains(path) || !listed.contains(path) {
        try writer.add(file: path, bytes: bytes)
      }
      try writer.finish()
    case .numpy(let writer):
      for (path, bytes) in own { writer.add(file: path, bytes: bytes) }
      try writer.finish()
    case .gguf(let writer, var pairs):
      pairs["embedfuse"] = manifest?.text(filling: manifestRoom)
      try writer.setMetadata(pairs)
      try writer.finish()
    }
  }
}
