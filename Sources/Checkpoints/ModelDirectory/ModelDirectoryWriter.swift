import TensorCore

/// Writes the weights of a model directory, or some of its shards.
package final class ModelDirectoryWriter: CheckpointWriter {
  /// The tensors in the order given.
  package var tensors: [TensorInfo] { layout.placements.map(\.info) }

  /// Which file each tensor goes to.
  package let layout: ShardLayout

  /// The writer of each shard; nil for those that are not made.
  private let writers: [SafetensorsWriter?]
  /// The shard of each tensor, and its place there.
  private let targets: [(shard: Int, tensor: Int)]

  /// Creates the weight files.
  ///
  /// - Parameters:
  ///   - directory: the directory, which is there; folders are made as needed.
  ///   - layout: the tensors and their files.
  ///   - shards: the files that are made; nil for all.
  ///   - isFlushed: as `OutputFile` has it.
  package init(
    in directory: String, _ layout: ShardLayout, making shards: [Int]? = nil, isFlushed: Bool = true
  ) throws(EmbedFuseError) {
    self.layout = layout
    var writers = Array(repeating: SafetensorsWriter?.none, count: layout.shards.count)
    var targets = Array(repeating: (shard: 0, tensor: 0), count: layout.placements.count)
    for (shard, description) in layout.shards.enumerated() {
      for (place, tensor) in description.tensors.enumerated() { targets[tensor] = (shard, place) }
      guard shards?.contains(shard) != false else { continue }
      let path = FilePath.join(directory, description.path)
      try OutputFile.makeDirectories(FilePath.folder(of: path))
      writers[shard] = try SafetensorsWriter(
        creating: path, tensors: layout.tensors(ofShard: shard), metadata: [("format", "pt")],
        isFlushed: isFlushed)
    }
    self.writers = writers
    self.targets = targets
  }

  private func writer(of tensor: Int) -> SafetensorsWriter {
    guard let writer = writers[targets[tensor].shard] else {
      preconditionFailure("tensor \(tensor) is of a shard that isn't made")
    }
    return writer
  }

  /// As `SafetensorsWriter` has it.
  package func runLength(of tensor: Int) -> Int {
    writer(of: tensor).runLength(of: targets[tensor].tensor)
  }

  /// Writes a run into the tensor's file.
  package func write(_ bytes: Span<UInt8>, of tensor: Int, at range: Range<Int>) throws(EmbedFuseError) {
    try writer(of: tensor).write(bytes, of: targets[tensor].tensor, at: range)
  }

  /// Checks that a file is complete and closes it, while others are still written.
  package func finish(shard: Int) throws(EmbedFuseError) {
    try writers[shard]?.finish()
  }

  /// Checks that every file that is made is complete.
  package func finish() throws(EmbedFuseError) {
    for writer in writers { try writer?.finish() }
  }
}
