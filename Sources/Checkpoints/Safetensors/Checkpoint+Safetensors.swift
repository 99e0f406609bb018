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
          storage: FileRegion(file: file, offset: entry.offset, elementType: entry.info.elementType),
          path: path)
      }, metadata: header.metadata, aliases: aliases(header.metadata, of: header.entries.map(\.info.name)),
      files: [(path, file.byteCount)])
  }

  /// The pairs of metadata that name a tensor left out because it is tied to one that is stored.
  private static func aliases(_ metadata: [String: String], of names: [String]) -> [String: String] {
    let stored = Set(names)
    return metadata.filter { !stored.contains($0.key) && stored.contains($0.value) }
  }

  private static func openSafetensorsShards(index path: String) throws(EmbedFuseError) -> Checkpoint {
    let index = try ShardIndex(at: path)
    let folder = FilePath.folder(of: path)
    var shards: [String: Checkpoint] = [:]
    var absent: [String] = []
    for name in index.shards {
      do {
        shards[name] = try openSafetensorsFile(FilePath.join(folder, name))
      } catch let error where error.code == .missingInput {
        absent.append(name)
      }
    }
    guard absent.isEmpty else {
      throw EmbedFuseError(
        .missingInput,
        "\(absent.count) of its \(index.shards.count) shards can't be read: \(absent.printableList)",
        path: path, remedy: "download or copy the missing files into \(folder.printable)")
    }
    try index.check(against: shards.mapValues { $0.tensors.map(\.info.name) })
    let tensors = index.shards.flatMap { shards[$0]!.tensors }
    return Checkpoint(
      path: path, format: .safetensors, tensors: tensors,
      metadata: shards[index.shards.first ?? ""]?.metadata ?? [:],
      aliases: aliases(index.metadata, of: tensors.map(\.info.name)),
      files: index.shards.flatMap { shards[$0]!.files })
  }
}

/// The index of a checkpoint in shards: which file holds which tensor.
struct ShardIndex {
  /// The path of the index file.
  let path: String
  /// The shards' file names, sorted.
  let shards: [String]
  /// The file of each tensor.
  let weightMap: [String: String]
  /// The strings among the index's metadata.
  let metadata: [String: String]

  /// Reads an index and checks that it names plain files of its own folder.
  init(at path: String) throws(EmbedFuseError) {
    self.path = path
    let file = try InputFile(path)
    let json = try file.withMappedBytes(0..<file.byteCount) { text throws(EmbedFuseError) in
      try JSON.parse(text, duplicateKeys: .rejectOutside("metadata"), path: path)
    }
    guard let map = json["weight_map"]?.objectValue, !map.members.isEmpty else {
      throw EmbedFuseError(
        .badData, "has no weight_map from tensors to files", path: path,
        remedy: "download or copy the index again")
    }
    var weightMap: [String: String] = [:]
    for member in map.members {
      guard let name = member.value.stringValue, FilePath.isPlainName(name) else {
        throw EmbedFuseError(
          .badData,
          "weight_map puts it into \(member.value.compactText.printable), which is no plain file name",
          path: path, tensor: member.key, remedy: "shards must stand beside their index")
      }
      weightMap[member.key] = name
    }
    self.weightMap = weightMap
    shards = Set(weightMap.values).sorted()
    metadata = (json["metadata"]?.objectValue?.members ?? []).reduce(into: [:]) {
      $0[$1.key] = $1.value.stringValue
    }
  }

  /// Checks that the shards hold exactly what the index says.
  func check(against names: [String: [String]]) throws(EmbedFuseError) {
    var found: [String: String] = [:]
    var problems: [String] = []
    for shard in shards {
      for name in names[shard] ?? [] {
        if let other = found.updateValue(shard, forKey: name) {
          problems.append("\(name.printable) stands in both \(other) and \(shard)")
        } else if weightMap[name] != shard {
          problems.append(
            "\(name.printable) stands in \(shard), but the index \(weightMap[name].map { "puts it into \($0)" } ?? "doesn't name it")"
          )
        }
      }
    }
    for (name, shard) in weightMap.sorted(by: { $0.key < $1.key }) where found[name] == nil {
      problems.append("\(name.printable) should stand in \(shard), but doesn't")
    }
    guard problems.isEmpty else {
      throw EmbedFuseError(
        .badData,
        "index and shards disagree:\n  " + problems.prefix(20).joined(separator: "\n  ")
          + (problems.count > 20 ? "\n  and \(problems.count - 20) more" : ""), path: path,
        remedy: "index and shards are of different saves; download or copy all of them again")
    }
  }
}
