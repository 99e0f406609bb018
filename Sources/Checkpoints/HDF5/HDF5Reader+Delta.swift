import TensorCore

extension HDF5Reader {
  /// The path, as the file records it, of the checkpoint to which its tensors are stored; nil if they are complete.
  public var relativeTo: String? {
    directory.datasets.contains { $0.delta != nil } ? directory.delta?["base"] : nil
  }

  /// What tensors are stored relative to; nil if none is.
  func deltaSource() throws(EmbedFuseError) -> DeltaSource? {
    var tensors: [DeltaSource.Tensor] = []
    var digests: [(name: String, digest: ContentDigest)] = []
    for dataset in directory.datasets {
      guard let delta = dataset.delta else { continue }
      guard dataset.components[0] != HDF5Name.files else {
        throw EmbedFuseError(
          .badData, "the file \(dataset.path.printable) is stored as differences, which only tensors are",
          path: file.path)
      }
      let info = try dataset.tensorInfo(in: file.path)
      guard let digest = ContentDigest(delta.digest), let blocks = delta.blockDigests(of: info) else {
        throw EmbedFuseError(
          .badData, "the digests of its base contradict each other", path: file.path, tensor: info.name)
      }
      tensors.append(DeltaSource.Tensor(info: info, blocks: blocks))
      digests.append((info.name, digest))
    }
    guard !tensors.isEmpty else { return nil }
    let version = directory.delta?["version"]
    guard version == DeltaRecord.version else {
      throw EmbedFuseError(
        .badData,
        "its differences are of version \(version?.printable ?? "?"), expected \(DeltaRecord.version)",
        path: file.path, remedy: "read it with the version of embedfuse that wrote it")
    }
    let whole = ContentDigest.of(tensors: digests)
    guard let path = directory.delta?["base"], directory.delta?["base_digest"] == whole.description else {
      throw EmbedFuseError(
        .badData, "the digest of its base is missing, or contradicts those of the base's tensors",
        path: file.path)
    }
    return try DeltaSource(
      of: file.path, recordedPath: path, tensors: tensors, digest: whole, options: options)
  }
}
