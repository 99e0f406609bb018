import TensorCore

/// The index of Keras's shards: which files hold the variables of which layer.
struct KerasShardIndex {
  /// The size of the index.
  let byteCount: Int
  /// The shards, sorted by their bytes.
  let shards: [String]
  private let path: String
  /// The files of each group of variables.
  private let groups: [(name: String, files: [String])]

  /// Reads an index and checks that it names plain files of its own folder.
  init(at path: String, byteLimit: Int) throws(EmbedFuseError) {
    self.path = path
    let file = try InputFile(path)
    byteCount = file.byteCount
    guard byteCount <= byteLimit else {
      throw EmbedFuseError(
        .badData, "has \(byteCount) bytes, more than an index of shards needs", path: path)
    }
    let json = try file.withMappedBytes(0..<byteCount) { text throws(EmbedFuseError) in
      try JSON.parse(text, path: path)
    }
    guard let map = json["weight_map"]?.objectValue, !map.members.isEmpty else {
      throw EmbedFuseError(.badData, "has no weight_map from layers to files", path: path)
    }
    var groups: [(name: String, files: [String])] = []
    for (key, value) in map.members.map({ ($0.key, $0.value) }) {
      // One file, or the list of them.
      let names = value.stringValue.map { [$0] } ?? value.arrayValue?.map { $0.stringValue ?? "" } ?? []
      guard !names.isEmpty, names.allSatisfy(FilePath.isPlainName) else {
        throw EmbedFuseError(
          .badData, "weight_map puts \(key.printable) into \(value.excerpt), which is no plain file name",
          path: path, remedy: "shards must stand beside their index")
      }
      groups.append((String(key.drop { $0 == "/" }), names))
    }
    try EmbedFuseError.checkComposition(of: groups.flatMap(\.files), path: path)
    self.groups = groups
    shards = Set(groups.flatMap(\.files)).sorted { $0.utf8.lexicographicallyPrecedes($1.utf8) }
  }

  /// Checks that the shards hold variables of the groups that the index says, each once.
  ///
  /// - Parameter names: each shard's variables.
  func check(_ names: [String: [String]]) throws(EmbedFuseError) {
    var problems: [String] = []
    var places: [String: String] = [:]
    var groups: [String: Set<String>] = [:]
    for shard in shards {
      for name in names[shard] ?? [] {
        if let other = places.updateValue(shard, forKey: name) {
          problems.append("\(name.printable) stands in both \(other.printable) and \(shard.printable)")
        }
        groups[name.split(separator: "/").dropLast().joined(separator: "/"), default: []]
          .insert(shard)
      }
    }
    for group in self.groups where !group.name.hasPrefix("optimizer/") {
      for file in group.files where groups[group.name]?.contains(file) != true {
        problems.append("\(group.name.printable) should stand in \(file.printable), but doesn't")
      }
      groups[group.name] = nil
    }
    problems += groups.keys.sorted().map { "\($0.printable) isn't in the index" }
    guard problems.isEmpty else {
      throw EmbedFuseError(
        .badData,
        "index and shards disagree:" + problems.messageLines, path: path,
        remedy: "index and shards are of different saves; save or copy all of them again")
    }
  }
}
