import Glibc
import TensorCore

extension ModelSource {
  /// What stands in the model's directory and isn't read: other weights, what training has left. Folders that aren't
  /// looked into end in a slash.
  ///
  /// - Throws: `EmbedFuseError` (missing input) if the directory can't be read.
  public func ignoredFiles() throws(EmbedFuseError) -> [String] {
    guard FilePath.kind(of: path) == .directory else { return [] }
    let prefix = path.hasSuffix("/") ? path : path + "/"
    let read = weightFiles.map(\.path).filter { $0.hasPrefix(prefix) }.map {
      String($0.dropFirst(prefix.count))
    }
    let configuration = Adapter.isAdapter(at: path) ? ["adapter_config.json"] : []
    return try CompanionFiles.others(in: path, besides: Set(read + configuration))
  }

  /// What stands in the model's directory besides its weight files, its manifest and the files of `listed`. Hidden files
  /// and folders don't count; folders that aren't looked into, such as links, end in a slash.
  ///
  /// - Throws: `EmbedFuseError` (missing input) if the directory can't be read.
  package func unlistedFiles(besides listed: Set<String>) throws(EmbedFuseError) -> [String] {
    guard FilePath.kind(of: path) == .directory else { return [] }
    let prefix = path.hasSuffix("/") ? path : path + "/"
    let weights = weightFiles.map(\.path).filter { $0.hasPrefix(prefix) }.map {
      String($0.dropFirst(prefix.count))
    }
    let known = listed.union(weights).union([CompanionFiles.manifest])
    return try CompanionFiles.visible(in: path).filter { !known.contains($0) }
  }
}

/// The files of a model directory that are neither weights nor left over from training.
package enum CompanionFiles {
  /// Folders nested deeper than this are not looked into.
  private static let depthLimit = 8

  /// The name of the manifest.
  package static let manifest = "embedfuse.json"
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

  /// What a directory holds of them.
  struct Listing {
    /// Those that can travel, sorted by their paths.
    var files: [ModelSource.CompanionFile] = []
    /// The paths of those that can't: their names aren't UTF-8, or they are links to nothing, pipes and the like.
    var lost: [String] = []
  }

  /// The files in a directory. Links to files are followed, as in the Hugging Face cache; links to folders are not.
  ///
  /// - Throws: `EmbedFuseError`: missing input if a folder can't be read; bad data for two files whose names differ only
  ///   in how their characters are composed.
  static func list(in directory: String) throws(EmbedFuseError) -> Listing {
    var result = Listing()
    try list(directory, "", depth: 0, into: &result)
    try EmbedFuseError.checkComposition(of: result.files.map(\.relativePath), path: directory)
    result.files.sort { $0.relativePath.utf8.lexicographicallyPrecedes($1.relativePath.utf8) }
    return result
  }

  private static func list(
    _ directory: String, _ relative: String, depth: Int, into result: inout Listing
  ) throws(EmbedFuseError) {
    for name in try FilePath.names(in: FilePath.join(directory, relative)) {
      let relative = FilePath.join(relative, name)
      let path = FilePath.join(directory, relative)
      switch FilePath.kind(of: path) {
      case .file where isCompanion(relative):
        result.files.append(
          ModelSource.CompanionFile(relativePath: relative, diskPath: path, embedded: []))
      case .other where isCompanion(relative), nil where isCompanion(relative): result.lost.append(relative)
      case .directory where depth < depthLimit && !isForeignFolder(name) && !FilePath.isLink(path):
        try list(directory, relative, depth: depth + 1, into: &result)
      default: break
      }
    }
  }

  /// What stands in a directory besides the companions, our own files and those of `known`: other weights and what
  /// training has left. Folders that aren't looked into end in a slash.
  static func others(in directory: String, besides known: Set<String>) throws(EmbedFuseError) -> [String] {
    var result: [String] = []
    var pending: [(folder: String, depth: Int)] = [("", 0)]
    while let (folder, depth) = pending.popLast() {
      for name in try FilePath.names(in: FilePath.join(directory, folder)) {
        let relative = FilePath.join(folder, name)
        let path = FilePath.join(directory, relative)
        if FilePath.kind(of: path) == .directory {
          if depth < depthLimit && !isForeignFolder(name) && !FilePath.isLink(path) {
            pending.append((relative, depth + 1))
          } else {
            result.append(relative + "/")
          }
        } else if !isCompanion(relative) || FilePath.kind(of: path) != .file,
          ![manifest, modelCard].contains(relative), !known.contains(relative)
        {
          result.append(relative)
        }
      }
    }
    return result.sorted { $0.utf8.lexicographicallyPrecedes($1.utf8) }
  }

  /// Everything below a directory that isn't hidden, sorted. Folders that aren't looked into, links and those nested too
  /// deep, end in a slash.
  static func visible(in directory: String) throws(EmbedFuseError) -> [String] {
    var result: [String] = []
    var pending: [(folder: String, depth: Int)] = [("", 0)]
    while let (folder, depth) = pending.popLast() {
      for name in try FilePath.names(in: FilePath.join(directory, folder)) where !name.hasPrefix(".") {
        let relative = FilePath.join(folder, name)
        let path = FilePath.join(directory, relative)
        if FilePath.kind(of: path) != .directory {
          result.append(relative)
        } else if depth < depthLimit && !FilePath.isLink(path) {
          pending.append((relative, depth + 1))
        } else {
          result.append(relative + "/")
        }
      }
    }
    return result.sorted { $0.utf8.lexicographicallyPrecedes($1.utf8) }
  }

  /// True for a file that belongs to the model whatever its weights are.
  static func isCompanion(_ relative: String) -> Bool {
    let name = FilePath.name(of: relative)
    let training = [
      "optimizer.bin", "scheduler.bin", "training_args.bin", "trainer_state.json", "all_results.json",
      "train_results.json", "eval_results.json", "data_config.json", "zero_to_fp32.py", "latest",
    ]
    return !name.hasPrefix(".") && !isWeights(relative) && !training.contains(name)
      && relative != modelCard && relative != manifest
  }

  /// True for a file that, going by its name, holds weights, or says how those of an adapter change them.
  package static func isWeights(_ relative: String) -> Bool {
    let name = FilePath.name(of: relative)
    let kinds = [
      ".safetensors", ".safetensors.index.json", ".bin.index.json", ".h5", ".msgpack", ".onnx", ".gguf",
      ".pt", ".pth", ".ckpt", ".ot", ".distcp",
    ]
    return kinds.contains(where: name.hasSuffix)
      || (name.hasPrefix("pytorch_model") && name.hasSuffix(".bin")) || name.hasPrefix("adapter_")
  }

  private static func isForeignFolder(_ name: String) -> Bool {
    name.hasPrefix(".") || name.hasPrefix("checkpoint-") || name.hasPrefix("global_step")
      || ["onnx", "openvino", "runs", "eval", "wandb", "logs", "__pycache__"].contains(name)
  }
}
