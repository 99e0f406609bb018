import TensorCore

extension Checkpoint {
  /// Opens a safetensors file, or the shards that an index file (`*.safetensors.index.json`) names.
  ///
  /// - Throws: `EmbedFuseError`: missing input for files that aren't there, bad data for what the format forbids.
  public static func openSafetensors(at path: String) throws(EmbedFuseError) -> Checkpoint {
    path.hasSuffix(".json") ? try openSafetensorsShards(index: path) : try openSafetensorsFile(path)
  }

  private static func openSafetensorsFile(_ path: String) throws(EmbedFuseError) -> Checkpoint {
    let file = try InputFile(path)
    let header = try SafetensorsHeader(of: file)
    return Checkpoint(
      path: path, format: .safetensors,
      tensors: header.entries.map { entry in
        StoredTensor(
          info: entry.info,
          storage: file.storage(from: entry.offset, elementType: entry.info.elementType),
          path: path)
      }, metadata: header.metadata, aliases: aliases(header.metadata, of: header.entries.map(\.info.name)),
      files: [(path, file.byteCount)])
  }

  /// The pairs of metadata that name a tensor left out because it is tied to one that is stored.
  static func aliases(_ metadata: [String: String], of names: [String]) -> [String: String] {
    let ties = metadata.filter { $0.key != "format" }
    guard !ties.isEmpty else { return [:] }
    let stored = Set(names)
    return ties.filter { !stored.contains($0.key) && stored.contains($0.value) }
  }

  private static func openSafetensorsShards(index path: String) throws(EmbedFuseError) -> Checkpoint {
    let index = try ShardIndex(at: path)
    let shards = try index.open { path throws(EmbedFuseError) in try openSafetensorsFile(path) }
    try index.check(against: shards.map { $0.tensors.map(\.info.name) })
    let tensors = shards.flatMap(\.tensors)
    // What all shards say once; where they contradict each other the first has the word.
    let metadata = shards.reduce(into: [:]) { $0.merge($1.metadata) { first, _ in first } }
    let ties = index.metadata.merging(metadata) { first, _ in first }
    return Checkpoint(
      path: path, format: .safetensors, tensors: tensors, metadata: metadata,
      aliases: aliases(ties, of: tensors.map(\.info.name)),
      files: [(path, index.byteCount)] + shards.flatMap(\.files))
  }
}
