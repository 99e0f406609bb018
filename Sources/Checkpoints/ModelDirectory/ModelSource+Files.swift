import TensorCore

extension ModelSource {
  /// What in the weight files of a model in several safetensors files is otherwise than expected and shows in no tensor: opening
  /// them takes the texts of the first file for those of all, and relies on no index's total.
  ///
  /// - Parameter metadata: the texts that every file should have.
  /// - Returns: a line for each problem; none for a model in one file, or in another format.
  /// - Throws: `EmbedFuseError` if a file can't be read any more.
  package func problemsOfFiles(expecting metadata: [String: String]) throws(EmbedFuseError) -> [String] {
    guard format == .safetensors, weightFiles.count > 1 else { return [] }
    var problems: [String] = []
    for (path, _) in weightFiles {
      guard path.hasSuffix(".json") else {
        let found = try Checkpoint.openSafetensors(at: path).metadata
        problems += metadata.filter { found[$0.key] != $0.value }.keys.sorted().map {
          "the metadata \($0.printable) of \(path.printable) is otherwise"
        }
        continue
      }
      let folder = FilePath.folder(of: path)
      let stored = tensors.lazy.map(\.stored).filter { FilePath.folder(of: $0.path) == folder }
      if try ShardIndex(at: path).totalSize != stored.reduce(0, { $0 + $1.info.byteCount }) {
        problems.append("the total_size of \(path.printable) isn't that of its tensors")
      }
    }
    return problems
  }
}
