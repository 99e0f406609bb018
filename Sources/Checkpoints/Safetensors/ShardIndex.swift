import TensorCore

/// The index of a checkpoint in shards: which file holds which tensor.
struct ShardIndex {
  /// The path of the index file.
  let path: String
  /// The size of the index file.
  let byteCount: Int
  /// The shards' file names, sorted by their bytes.
  let shards: [String]
  /// The file of each tensor.
  let weightMap: [String: String]
  /// The strings among the index's metadata, without numbers.
  let metadata: [String: String]
  /// The bytes of all tensors, as the index says; they are not relied on.
  let totalSize: Int?

  /// Reads an index and checks that it names plain files of its own folder.
  ///
  /// - Throws: `EmbedFuseError`: missing input if it isn't there; bad data for text that isn't JSON, a tensor
  ///   named twice, and a file name that is none.
  init(at path: String) throws(EmbedFuseError) {
    self.path = path
    let file = try InputFile(path)
    byteCount = file.byteCount
    let json = try file.withMappedBytes(0..<file.byteCount) { text throws(EmbedFuseError) in
      try JSON.parse(text, path: path)
    }
    guard let map = json["weight_map"]?.objectValue, !map.members.isEmpty else {
      throw EmbedFuseError(
        .badData, "has no weight_map from tensors to files", path: path,
        remedy: "download or copy the index again")
    }
    try EmbedFuseError.checkComposition(of: map.members.map(\.key), path: path)
    try EmbedFuseError.checkComposition(of: map.members.compactMap(\.value.stringValue), path: path)
    var weightMap: [String: String] = [:]
    for member in map.members {
      guard let name = member.value.stringValue, FilePath.isPlainName(name) else {
        throw EmbedFuseError(
          .badData,
          "weight_map puts it into \(member.value.excerpt), which is no plain file name",
          path: path, tensor: member.key, remedy: "shards must stand beside their index")
      }
      weightMap[member.key] = name
    }
    self.weightMap = weightMap
    shards = Set(weightMap.values).sorted { $0.utf8.lexicographicallyPrecedes($1.utf8) }
    metadata = (json["metadata"]?.objectValue?.members ?? []).reduce(into: [:]) {
      $0[$1.key] = $1.value.stringValue
    }
    totalSize = json["metadata"]?["total_size"]?.intValue
  }

  /// The path of a shard, links followed to see where it stands.
  ///
  /// - Throws: `EmbedFuseError`: bad data if the shard is a link that leaves the folder.
  func path(ofShard name: String) throws(EmbedFuseError) -> String {
    try Self.path(ofShard: name, besides: path)
  }

  /// The path of a shard that stands beside the index at a path.
  ///
  /// A link may lead to a file of the index's own folder. The Hugging Face cache, where `snapshots/REVISION` holds
  /// links into the `blobs` folder beside `snapshots`, is let through as well.
  ///
  /// - Throws: `EmbedFuseError`: bad data if the shard is a link that leaves the folder.
  static func path(ofShard name: String, besides index: String) throws(EmbedFuseError) -> String {
    let folder = FilePath.folder(of: index)
    let shard = FilePath.join(folder, name)
    guard let home = FilePath.resolved(folder), let target = FilePath.resolved(shard) else { return shard }
    let place = FilePath.folder(of: target)
    let revisions = FilePath.folder(of: home)
    let blobs = FilePath.join(FilePath.folder(of: revisions), "blobs")
    guard place == home || FilePath.name(of: revisions) == "snapshots" && place == blobs else {
      throw EmbedFuseError(
        .badData, "the shard is a link to \(target.printable), outside of the folder of its index",
        path: shard,
        remedy: "copy the file into the folder, or name the index that stands beside it")
    }
    return shard
  }

  /// Opens every shard, in the order of `shards`.
  ///
  /// - Throws: `EmbedFuseError`: missing input that lists the shards that can't be read; what `open` throws.
  func open(
    _ open: (_ path: String) throws(EmbedFuseError) -> Checkpoint
  ) throws(EmbedFuseError) -> [Checkpoint] {
    var checkpoints: [Checkpoint] = []
    var absent: [String] = []
    for name in shards {
      do {
        checkpoints.append(try open(try path(ofShard: name)))
      } catch let error where error.code == .missingInput {
        absent.append(name)
      }
    }
    guard absent.isEmpty else {
      throw EmbedFuseError(
        .missingInput, "\(absent.count) of its \(shards.count) shards can't be read: \(absent.printableList)",
        path: path, remedy: "download or copy the missing files into \(FilePath.folder(of: path).printable)")
    }
    return checkpoints
  }

  /// Checks that the shards, whose tensors are given in the order of `shards`, hold exactly what the index says.
  ///
  /// - Throws: `EmbedFuseError`: bad data, listing every tensor that is missing, misplaced, there twice or not
  ///   in the index.
  func check(against names: [[String]]) throws(EmbedFuseError) {
    try EmbedFuseError.checkComposition(of: Array(weightMap.keys) + names.joined(), path: path)
    var found: [String: String] = [:]
    var problems: [String] = []
    for (shard, names) in zip(shards, names) {
      for name in names {
        if let other = found.updateValue(shard, forKey: name) {
          problems.append("\(name.printable) stands in both \(other.printable) and \(shard.printable)")
        } else if weightMap[name] != shard {
          let place = weightMap[name].map { "puts it into \($0.printable)" } ?? "doesn't name it"
          problems.append("\(name.printable) stands in \(shard.printable), but the index \(place)")
        }
      }
    }
    for (name, shard) in weightMap.sorted(by: { $0.key < $1.key }) where found[name] == nil {
      problems.append("\(name.printable) should stand in \(shard.printable), but doesn't")
    }
    guard problems.isEmpty else {
      throw EmbedFuseError(
        .badData,
        "index and shards disagree:" + problems.messageLines, path: path,
        remedy: "index and shards are of different saves; download or copy all of them again")
    }
  }
}
