import TensorCore

/// Finds the weights in a folder of a model.
enum WeightFiles {
  /// The file to open, with what should be told about the choice.
  struct Found {
    let path: String
    let notes: [String]
  }

  /// The names that weights usually have, the preferred first. Each may be split, with an index beside the shards.
  private static let usualNames = ["model.safetensors", "pytorch_model.bin"]

  /// The weights of a folder: `model.safetensors`, `pytorch_model.bin`, the index of either's shards, or what a
  /// training framework left.
  ///
  /// - Returns: nil if there are none and none are required.
  /// - Throws: `EmbedFuseError` (missing input) saying what was looked for and what stands there instead.
  static func find(in folder: String, required: Bool) throws(EmbedFuseError) -> Found? {
    for name in usualNames {
      let single = FilePath.join(folder, name)
      let index = single + ".index.json"
      switch (FilePath.kind(of: single), FilePath.kind(of: index)) {
      case (.file, .file):
        return Found(
          path: single, notes: ["\(folder.printable): reads \(name) and ignores the index beside it"])
      case (.file, _): return Found(path: single, notes: [])
      case (_, .file): return Found(path: index, notes: [])
      default: break
      }
    }
    guard FilePath.kind(of: folder) == .directory else {
      // Modules without weights, such as Normalize, may have no folder.
      guard required else { return nil }
      throw EmbedFuseError(
        .missingInput, "there is no such directory", path: folder,
        remedy: "download or copy the whole model again")
    }
    let names = try FilePath.names(in: folder)
    let loose = names.filter { $0.hasSuffix(".safetensors") && !$0.hasPrefix("adapter_") }
    if loose.count == 1 { return Found(path: FilePath.join(folder, loose[0]), notes: []) }
    if names.contains("pytorch_model_fsdp.bin") {
      return Found(path: FilePath.join(folder, "pytorch_model_fsdp.bin"), notes: [])
    }
    if let state = try ShardedState.deepSpeedWeights(in: folder, names: names) { return state }
    if let error = ShardedState.distributed(in: folder, names: names) { throw error }
    if let foreign = names.first(where: isForeignWeights) { throw foreignWeights(foreign, in: folder) }
    guard required else { return nil }
    throw EmbedFuseError(
      .missingInput,
      "the directory holds no weights: neither model.safetensors nor pytorch_model.bin, nor an index of either's shards",
      path: folder, remedy: advice(for: folder))
  }

  /// True if a folder holds the weights of a whole model under one of their usual names.
  static func holdsModel(_ folder: String) -> Bool {
    usualNames.contains { name in
      FilePath.kind(of: FilePath.join(folder, name)) == .file
        || FilePath.kind(of: FilePath.join(folder, name + ".index.json")) == .file
    }
  }

  private static func isForeignWeights(_ name: String) -> Bool {
    name.hasPrefix("pytorch_model") || name == "tf_model.h5" || name == "flax_model.msgpack"
  }

  private static func foreignWeights(_ name: String, in folder: String) -> EmbedFuseError {
    EmbedFuseError(
      .missingInput, "holds its weights as \(name.printable), which can't be read", path: folder,
      remedy: "save the model as safetensors first (save_pretrained does so by default)")
  }

  private static func advice(for folder: String) -> String {
    guard let run = TrainingRun(at: folder) else {
      let advice = "name the directory that holds the model, or a weights file"
      // The Hugging Face cache keeps a model's versions in `snapshots`.
      for parent in [folder, FilePath.join(folder, "snapshots")] {
        let names = (try? FilePath.names(in: parent)) ?? []
        if let model = names.map({ FilePath.join(parent, $0) }).first(where: holdsModel) {
          return "\(advice), such as \(model.printable)"
        }
      }
      return advice
    }
    let last = run.checkpoints[run.checkpoints.count - 1].step
    return
      "it is a training run with the checkpoints \(run.stepList): choose with --select last:3, best:eval_METRIC or steps:\(last), or name one, such as \(FilePath.join(folder, "checkpoint-\(last)").printable)"
  }
}
