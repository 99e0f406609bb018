import TensorCore

/// Which file of a model directory each tensor goes to: one safetensors file for each module folder, or shards with an
/// index where a folder's weights exceed a size.
package struct ShardLayout: Sendable {
  /// Where a tensor goes.
  package struct Placement: Sendable {
    /// The folder within the directory; empty for the root.
    package let folder: String
    /// The tensor under its name within that folder's checkpoint.
    package let info: TensorInfo

    /// A tensor of a folder.
    package init(folder: String, info: TensorInfo) {
      self.folder = folder
      self.info = info
    }
  }

  /// One safetensors file.
  package struct Shard: Sendable {
    /// Its path within the directory.
    package let path: String
    /// Its tensors in order, by their places among all.
    package let tensors: [Int]
    /// The bytes of its tensors.
    package let byteCount: Int
  }

  /// The tensors with their folders, in the order given.
  package let placements: [Placement]
  /// The files, folder by folder.
  package let shards: [Shard]
  /// The index of each folder whose weights are in shards.
  package let indexes: [(path: String, bytes: [UInt8])]

  /// Lays tensors out.
  ///
  /// - Parameter maximumShardBytes: the most bytes of tensors in one file. A larger tensor has a file of its own.
  /// - Throws: `EmbedFuseError` (bad data) for a tensor that stands in a folder twice.
  package init(_ placements: [Placement], maximumShardBytes: Int) throws(EmbedFuseError) {
    self.placements = placements
    var shards: [Shard] = []
    var indexes: [(path: String, bytes: [UInt8])] = []
    var folders: [String] = []
    var members: [String: [Int]] = [:]
    for (place, placement) in placements.enumerated() {
      if members[placement.folder] == nil { folders.append(placement.folder) }
      members[placement.folder, default: []].append(place)
    }
    for folder in folders {
      let own = members[folder]!
      let runs = Self.filled(own, sizes: own.map { placements[$0].info.byteCount }, limit: maximumShardBytes)
      var weightMap = JSON.Object()
      for (number, run) in runs.enumerated() {
        let name = Self.fileName(number, of: runs.count)
        for place in run {
          let tensor = placements[place].info.name
          guard weightMap.updateValue(.string(name), forKey: tensor) == nil else {
            throw EmbedFuseError(
              .badData, "stands in the output twice", tensor: tensor, remedy: EmbedFuseError.repeatedName)
          }
        }
        shards.append(
          Shard(
            path: FilePath.join(folder, name), tensors: run,
            byteCount: run.reduce(0) { $0 + placements[$1].info.byteCount }))
      }
      guard runs.count > 1 else { continue }
      let total = own.reduce(0) { $0 + placements[$1].info.byteCount }
      let index: JSON = ["metadata": ["total_size": .number(total)], "weight_map": .object(weightMap)]
      indexes.append(
        (FilePath.join(folder, "model.safetensors.index.json"), index.prettyBytes))
    }
    self.shards = shards
    self.indexes = indexes
  }

  /// The tensors of a shard in order.
  package func tensors(ofShard shard: Int) -> [TensorInfo] {
    shards[shard].tensors.map { placements[$0].info }
  }

  /// `model.safetensors`, or `model-00002-of-00003.safetensors`.
  private static func fileName(_ number: Int, of count: Int) -> String {
    func padded(_ value: Int) -> String {
      String(repeating: "0", count: max(0, 5 - String(value).count)) + String(value)
    }
    return count == 1
      ? "model.safetensors" : "model-\(padded(number + 1))-of-\(padded(count)).safetensors"
  }

  /// Fills shards in order up to the limit.
  private static func filled(_ places: [Int], sizes: [Int], limit: Int) -> [[Int]] {
    var shards: [[Int]] = [[]]
    var filled = 0
    for (place, size) in zip(places, sizes) {
      if !shards[shards.count - 1].isEmpty && filled + size > limit {
        shards.append([])
        filled = 0
      }
      shards[shards.count - 1].append(place)
      filled += size
    }
    return shards
  }
}

extension ShardLayout {
  /// Writes the indexes into a directory that holds the shards.
  package func writeIndexes(in directory: String) throws(EmbedFuseError) {
    for (path, bytes) in indexes { try OutputFile.write(bytes, to: FilePath.join(directory, path)) }
  }

  /// The shards that each of `count` parts makes: every shard, largest first, goes to the part that has the fewest
  /// bytes yet, so that no two parts differ by more than the largest shard. Depends on the sizes alone.
  package func shares(of count: Int) -> [[Int]] {
    var shares = Array(repeating: [Int](), count: count)
    var loads = Array(repeating: 0, count: count)
    let largestFirst = shards.indices.sorted {
      (shards[$1].byteCount, $0) < (shards[$0].byteCount, $1)
    }
    for shard in largestFirst {
      let part = loads.indices.min { (loads[$0], $0) < (loads[$1], $1) }!
      shares[part].append(shard)
      loads[part] += shards[shard].byteCount
    }
    return shares.map { $0.sorted() }
  }
}
