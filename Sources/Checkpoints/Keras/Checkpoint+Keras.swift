import TensorCore

extension Checkpoint {
  /// Bytes of an index of shards at most.
  private static let indexByteLimit = 64 << 20

  /// Opens the index of weights that Keras 3 has saved in shards: `model.weights.json`.
  ///
  /// - Throws: `EmbedFuseError`: missing input if a file isn't there; bad data for what breaks the format, a shard that
  ///   stands elsewhere, and for shards that don't hold what the index says.
  static func openKerasShards(
    at path: String, options: OpeningOptions
  ) throws(EmbedFuseError) -> Checkpoint {
    let index = try KerasShardIndex(at: path, byteLimit: indexByteLimit)
    var tensors: [StoredTensor] = []
    var metadata: [String: String] = [:]
    var files: [(path: String, byteCount: Int)] = [(path, index.byteCount)]
    var notes: [String] = []
    var names: [String: [String]] = [:]
    for shard in index.shards {
      let reader = try HDF5Reader(try ShardIndex.path(ofShard: shard, besides: path), options: options)
      // A shard may hold nothing but the optimizer's state.
      if let weights = try reader.kerasWeights(), weights.weights.isEmpty { continue }
      let checkpoint = try reader.checkpoint()
      names[shard] = checkpoint.tensors.map(\.info.name)
      tensors += checkpoint.tensors
      metadata.merge(checkpoint.metadata) { first, _ in first }
      files += checkpoint.files
      notes += checkpoint.notes
    }
    try EmbedFuseError.checkComposition(of: tensors.map(\.info.name), path: path)
    try index.check(names)
    return Checkpoint(
      path: path, format: .hdf5, tensors: tensors, metadata: metadata, files: files, notes: notes,
      naming: .kerasVariables)
  }

  /// Opens a model that Keras 3 has saved whole: a zip archive with its weights as an HDF5 file.
  ///
  /// - Throws: `EmbedFuseError`: missing input if it isn't there; bad data for what is no such archive, or is damaged.
  static func openKerasArchive(
    at path: String, options: OpeningOptions
  ) throws(EmbedFuseError) -> Checkpoint {
    let input = try InputFile(path)
    let archive = try ZipArchive(input)
    guard let entry = archive["model.weights.h5"] else {
      throw EmbedFuseError(
        .badData, "holds no model.weights.h5, as the archives of Keras 3 do", path: path,
        remedy: "save the model's weights with model.save_weights('NAME.weights.h5')")
    }
    guard entry.method == .stored else {
      throw EmbedFuseError(
        .badData, "its model.weights.h5 is compressed, so that it can't be read where it stands", path: path,
        remedy: "unpack the archive and name model.weights.h5")
    }
    let part = entry.dataOffset..<entry.dataOffset + entry.byteCount
    return try HDF5Reader(HDF5File(part, of: input, path: path), options: options).checkpoint()
  }
}
