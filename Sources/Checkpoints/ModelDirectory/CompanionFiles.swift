import Glibc
import TensorCore

/// The files of a model directory that are neither weights nor left over from training.
public enum CompanionFiles {
  /// Folders nested deeper than this are not looked into.
  private static let depthLimit = 8

  /// The name of the manifest.
  public static let manifest = "embedfuse.json"
  /// The name of the model card.
  static let modelCard = "README.md"

  /// The files in a directory that embedfuse writes itself.
  static func own(in directory: String) -> [ModelSource.CompanionFile] {
    [modelCard, manifest].compactMap { name in
      let path = FilePath.join(directory, name)
      guard FilePath.kind(of: path) == .file else { return nil }
      return ModelSource.CompanionFile(relativePath: name, diskPath: path, embedded: [])
    }
  }

  /// The files in a directory, by their paths, sorted. Links to files are followed, as in the Hugging Face
  /// cache; links to folders are not.
  static func list(in directory: String) throws(EmbedFuseError) -> [ModelSource.CompanionFile] {
    var result: [ModelSource.CompanionFile] = []
    try list(directory, "", depth: 0, into: &result)
    return result.sorted { $0.relativePath.utf8.lexicographicallyPrecedes($1.relativePath.utf8) }
  }

  private static func list(
    _ directory: String, _ relative: String, depth: Int, into result: inout [ModelSource.CompanionFile]
  ) throws(EmbedFuseError) {
    for name in try FilePath.names(in: FilePath.join(directory, relative)) {
      let relative = FilePath.join(relative, name)
      let path = FilePath.join(directory, relative)
      switch FilePath.kind(of: path) {
      case .file where isCompanion(relative):
        result.append(ModelSource.CompanionFile(relativePath: relative, diskPath: path, embedded: []))
      case .directory where depth < depthLimit && !isForeignFolder(name) && !FilePath.isLink(path):
        try list(directory, relative, depth: depth + 1, into: &result)
      default: break
      }
    }
  }

  /// True for a file that belongs to the model whatever its weights are.
  static func isCompanion(_ relative: String) -> Bool {
    let name = FilePath.name(of: relative)
    let weights = [
      ".safetensors", ".safetensors.index.json", ".bin.index.json", ".h5", ".msgpack", ".onnx", ".gguf",
      ".pt", ".pth",
      ".ckpt", ".ot", ".distcp",
    ]
    let training = [
      "optimizer.bin", "scheduler.bin", "training_args.bin", "trainer_state.json", "all_results.json",
      "train_results.json", "eval_results.json", "data_config.json", "zero_to_fp32.py", "latest",
    ]
    return !name.hasPrefix(".") && !weights.contains(where: name.hasSuffix) && !training.contains(name)
      && !(name.hasPrefix("pytorch_model") && name.hasSuffix(".bin")) && !name.hasPrefix("adapter_")
      && relative != modelCard && relative != manifest
  }

  private static func isForeignFolder(_ name: String) -> Bool {
    name.hasPrefix(".") || name.hasPrefix("checkpoint-") || name.hasPrefix("global_step")
      || ["onnx", "openvino", "runs", "eval", "wandb", "logs", "__pycache__"].contains(name)
  }
}
