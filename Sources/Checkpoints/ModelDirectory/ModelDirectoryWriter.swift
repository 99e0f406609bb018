import TensorCore

/// Writes the weights of a model directory: one safetensors file for each module folder, in shards with an index
/// where a folder's weights exceed a size.
public final class ModelDirectoryWriter: CheckpointWriter {
  /// Where a tensor goes.
  public struct Placement: Sendable {
    /// The folder within the directory; empty for the root.
    public let folder: String
    /// The tensor under its name within that folder's checkpoint.
    public let info: TensorInfo

    /// A tensor of a folder.
    public init(folder: String, info: TensorInfo) {
      self.folder = folder
      self.info = info
    }
  }

  /// The tensors in the order given.
  public var tensors: [TensorInfo] { placements.map(\.info) }

  private let placements: [Placement]
  private let writers: [SafetensorsWriter]
  /// Which writer each tensor goes to, and its place there.
  private let targets: [(writer: Int, tensor: Int)]

  /// Creates the weight files and the indexes.
  ///
  /// - Parameters:
  ///   - directory: the directory, which is there; folders are made as needed.
  ///   - placements: the tensors with their folders.
  ///   - maximumShardBytes: the most bytes of tensors in one file. A larger tensor has a file of its own.
  public init(
    in directory: String, placements: [Placement], maximumShardBytes: Int
  ) throws(EmbedFuseError) {
    self.placements = placements
    var writers: [SafetensorsWriter] = []
    var targets = Array(repeating: (writer: 0, tensor: 0), count: placements.count)
    var folders: [String] = []
    for placement in placements where !folders.contains(placement.folder) { folders.append(placement.folder) }
    for folder in folders {
      let members = placements.indices.filter { placements[$0].folder == folder }
      let shards = Self.shards(of: members.map { placements[$0].info.byteCount }, limit: maximumShardBytes)
      let path = FilePath.join(directory, folder)
      try OutputFile.makeDirectories(path)
      var weightMap = JSON.Object()
      for (number, shard) in shards.enumerated() {
        let name = Self.fileName(number, of: shards.count)
        for (place, member) in shard.enumerated() {
          targets[members[member]] = (writers.count, place)
          let tensor = placements[members[member]].info.name
          guard weightMap[tensor] == nil else {
            throw EmbedFuseError(.badData, "stands in the output twice", tensor: tensor)
          }
          weightMap[tensor] = .string(name)
        }
        writers.append(
          try SafetensorsWriter(
            creating: FilePath.join(path, name), tensors: shard.map { placements[members[$0]].info }))
      }
      if shards.count > 1 {
        let index: JSON = [
          "metadata": ["total_size": .number(members.reduce(0) { $0 + placements[$1].info.byteCount })],
          "weight_map": .object(weightMap),
        ]
        try OutputFile.write(
          Array(index.prettyText.utf8), to: FilePath.join(path, "model.safetensors.index.json"))
      }
    }
    self.writers = writers
    self.targets = targets
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
  private static func shards(of sizes: [Int], limit: Int) -> [[Int]] {
    var shards: [[Int]] = [[]]
    var filled = 0
    for (index, size) in sizes.enumerated() {
      if !shards[shards.count - 1].isEmpty && filled + size > limit {
        shards.append([])
        filled = 0
      }
      shards[shards.count - 1].append(index)
      filled += size
    }
    return shards
  }

  /// As `SafetensorsWriter` has it.
  public func runLength(of tensor: Int) -> Int {
    writers[targets[tensor].writer].runLength(of: targets[tensor].tensor)
  }

  /// Writes a run into the tensor's file.
  public func write(_ bytes: Span<UInt8>, of tensor: Int, at range: Range<Int>) throws(EmbedFuseError) {
    try writers[targets[tensor].writer].write(bytes, of: targets[tensor].tensor, at: range)
  }

  /// Checks that every file is complete.
  public func finish() throws(EmbedFuseError) {
    for writer in writers { try writer.finish() }
  }
}
