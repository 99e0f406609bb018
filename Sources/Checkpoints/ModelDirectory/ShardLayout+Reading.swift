import TensorCore

extension ShardLayout {
  /// The tensors of a shard that was written before, to be read again.
  ///
  /// - Parameter path: where it stands.
  /// - Throws: `EmbedFuseError`: bad data if it is a link, or its size or header are not what this layout writes;
  ///   input/output if it can't be read.
  package func tensors(ofShard shard: Int, writtenAt path: String) throws(EmbedFuseError) -> [StoredTensor] {
    let infos = tensors(ofShard: shard)
    let expected = try SafetensorsLayout(tensors: infos, metadata: SafetensorsWriter.plainMetadata)
    guard !FilePath.isLink(path) else {
      throw EmbedFuseError(.badData, "is a symbolic link, where a file was written", path: path)
    }
    let file = try InputFile(path, isInput: false)
    guard file.byteCount == expected.byteCount else {
      throw EmbedFuseError(
        .badData, "has \(file.byteCount) bytes, but was written with \(expected.byteCount)", path: path)
    }
    guard try file.bytes(0..<expected.bytes.count) == expected.bytes else {
      throw EmbedFuseError(.badData, "has another header than was written", path: path)
    }
    return zip(infos, expected.offsets).map { info, offset in
      StoredTensor(
        info: info, storage: file.storage(from: offset, elementType: info.elementType),
        path: path
      )
    }
  }
}
