import TensorCore

/// The states that DeepSpeed and FSDP leave in a checkpoint's folder, in pieces that belong to one process each.
enum ShardedState {
  /// The whole weights of a DeepSpeed checkpoint of ZeRO stage 1 or 2, which every process has in 16 bits.
  ///
  /// - Returns: the file, or nil if the folder holds no DeepSpeed state.
  /// - Throws: `EmbedFuseError` (missing input) for stage 3 and for parallel tensors, of which no file has the whole,
  ///   with the command that puts them together, and for a `latest` that names no folder here.
  static func deepSpeedWeights(
    in folder: String, names: [String]
  ) throws(EmbedFuseError) -> WeightFiles.Found? {
    guard let state = try deepSpeedFolder(folder, names: names) else { return nil }
    let files = try FilePath.names(in: state).filter { $0.hasSuffix("_model_states.pt") }
    let single = "mp_rank_00_model_states.pt"
    let remedy =
      "put it together first: python \(FilePath.join(folder, "zero_to_fp32.py").printable) \(folder.printable) OUT"
    if files.contains(where: { $0.hasPrefix("zero_pp_rank_") }) {
      throw EmbedFuseError(
        .missingInput,
        "is a DeepSpeed checkpoint of ZeRO stage 3, in which every process has a part of each weight",
        path: folder, remedy: remedy)
    }
    guard files == [single] else {
      throw EmbedFuseError(
        .missingInput,
        files.isEmpty
          ? "is a DeepSpeed checkpoint without \(single)"
          : "is a DeepSpeed checkpoint of parallel tensors, in \(files.count) parts", path: folder,
        remedy: remedy)
    }
    return WeightFiles.Found(
      path: FilePath.join(state, single),
      notes: [
        "\(folder.printable): a DeepSpeed checkpoint, of which the 16-bit weights are read; the F32 ones are among the optimizer's (zero_to_fp32.py restores them)"
      ])
  }

  /// The folder of the newest state: what `latest` names, or the folder itself.
  private static func deepSpeedFolder(
    _ folder: String, names: [String]
  ) throws(EmbedFuseError) -> String? {
    if names.contains(where: { $0.hasSuffix("_model_states.pt") && $0.contains("mp_rank_") }) {
      return folder
    }
    if names.contains("latest"), FilePath.kind(of: FilePath.join(folder, "latest")) == .file {
      let path = FilePath.join(folder, "latest")
      let file = try InputFile(path)
      let text = String(decoding: try file.bytes(0..<min(file.byteCount, 4096)), as: UTF8.self)
      let tag = text.split(whereSeparator: \.isWhitespace).joined(separator: " ")
      guard FilePath.isPlainName(tag), FilePath.kind(of: FilePath.join(folder, tag)) == .directory else {
        throw EmbedFuseError(
          .missingInput, "names the folder '\(tag.prefix(100))', which isn't there", path: path,
          remedy: "it is a part of a DeepSpeed checkpoint: copy the folder of the state as well")
      }
      return FilePath.join(folder, tag)
    }
    // Without the file, the newest by its number.
    let prefix = "global_step"
    let steps = names.compactMap { $0.hasPrefix(prefix) ? Int($0.dropFirst(prefix.count)) : nil }
    return steps.max().map { FilePath.join(folder, prefix + String($0)) }
  }

  /// What to do about the pieces of FSDP and of `torch.distributed.checkpoint`; nil if there are none.
  static func distributed(in folder: String, names: [String]) -> EmbedFuseError? {
    func convert(_ pieces: String) -> EmbedFuseError {
      EmbedFuseError(
        .missingInput,
        "holds its weights in the pieces of torch.distributed.checkpoint (FSDP), which only torch can put together",
        path: folder,
        remedy:
          "convert them first: python -m torch.distributed.checkpoint.format_utils dcp_to_torch \(pieces.printable) \(FilePath.join(folder, "pytorch_model.bin").printable)"
      )
    }
    if names.contains(where: { $0.hasSuffix(".distcp") }) { return convert(folder) }
    if let pieces = names.first(where: { name in
      name.hasPrefix("pytorch_model_fsdp_")
        && FilePath.kind(of: FilePath.join(folder, name)) == .directory
    }) {
      return convert(FilePath.join(folder, pieces))
    }
    guard names.contains(where: { $0.hasPrefix("pytorch_model_fsdp_rank") }) else { return nil }
    return EmbedFuseError(
      .missingInput, "holds its weights in one file for each process (FSDP's LOCAL_STATE_DICT)", path: folder,
      remedy: "load it with accelerate as it was saved, and save it again with FULL_STATE_DICT")
  }
}
