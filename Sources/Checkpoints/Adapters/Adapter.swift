import TensorCore

/// A LoRA adapter as PEFT saves it: a directory with `adapter_config.json` and the adapter's tensors. By itself it
/// is no model; applied to its base it stands for the fine-tune base + scale·B·A.
public struct Adapter: Sendable {
  /// The directory, as the user named it.
  public let path: String

  /// The updates by the name of the module whose weight they change.
  let updates: [(module: String, update: LowRankUpdate)]
  /// Tensors that take the place of the base's, by name: biases and modules that were trained whole.
  let replacements: [(name: String, stored: StoredTensor)]
  /// The base as its training knew it.
  let baseName: String?
  /// The file of tensors.
  let checkpoint: Checkpoint
  /// What should be told.
  let notes: [String]

  /// The folder of the transformer within the directory.
  let transformerFolder: String
  /// The modules of a sentence-transformers directory; empty if it is none.
  let modules: [SentenceModule]

  private static let configurationName = "adapter_config.json"
  private static let weightNames = ["adapter_model.safetensors", "adapter_model.bin"]

  /// True if a directory holds an adapter and no whole model beside it.
  public static func isAdapter(at path: String) -> Bool {
    guard FilePath.kind(of: path) == .directory else { return false }
    let modules = (try? modules(in: path)) ?? []
    let folder = FilePath.join(path, modules.first?.path ?? "")
    return holdsAdapter(folder) && !WeightFiles.holdsModel(folder)
  }

  /// The error for a place where a whole model is expected.
  static func isNoModel(_ path: String) -> EmbedFuseError {
    EmbedFuseError(
      .missingInput,
      "is a LoRA adapter, which is no model by itself: it says only how one differs from its base",
      path: path,
      remedy: "name the model that it was trained on with --base, and the adapter as a fine-tune of it")
  }

  private static func holdsAdapter(_ folder: String) -> Bool {
    ([configurationName] + weightNames).contains { FilePath.kind(of: FilePath.join(folder, $0)) == .file }
  }

  private static func modules(in path: String) throws(EmbedFuseError) -> [SentenceModule] {
    let list = FilePath.join(path, "modules.json")
    return FilePath.kind(of: list) == .file ? try SentenceModule.list(at: list) : []
  }

  /// The adapter's own tensors as they are stored, to be looked at.
  func described() throws(EmbedFuseError) -> ModelSource {
    let changes =
      "\(updates.count.counted("weight")) updated, \(replacements.count.counted("tensor")) replaced"
    return ModelSource(
      path: path, format: checkpoint.format,
      tensors: checkpoint.tensors.map { ModelSource.Tensor(module: "", stored: $0) },
      aliases: checkpoint.aliases,
      modules: modules, transformerFolder: transformerFolder,
      companions: try CompanionFiles.list(in: path).files, ownFiles: [], weightFiles: checkpoint.files,
      notes: notes + [
        "a LoRA adapter, to be named as a fine-tune of its base\(baseName.map { " (\($0.printable))" } ?? ""): \(changes)"
      ], metadata: checkpoint.metadata)
  }

  /// Opens the adapter in a directory.
  ///
  /// - Throws: `EmbedFuseError`: missing input for files that aren't there, bad data for files that break their
  ///   format or for an adapter that can't be merged right.
  public init(at path: String, options: OpeningOptions = OpeningOptions()) throws(EmbedFuseError) {
    self.path = path
    InputLog.current?.note(folder: path)
    modules = try Self.modules(in: path)
    transformerFolder = modules.first?.path ?? ""
    let folder = FilePath.join(path, transformerFolder)
    let configurationPath = FilePath.join(folder, Self.configurationName)
    guard FilePath.kind(of: configurationPath) == .file else {
      throw EmbedFuseError(
        .missingInput, "holds an adapter's tensors but no \(Self.configurationName), which says how they act",
        path: folder, remedy: "copy the file from where the adapter was saved")
    }
    let configuration = try AdapterConfiguration(at: configurationPath)
    let file = Self.weightNames.map { FilePath.join(folder, $0) }.first { FilePath.kind(of: $0) == .file }
    guard let file else {
      throw EmbedFuseError(
        .missingInput,
        "describes an adapter but holds no tensors: neither \(Self.weightNames.joined(separator: " nor "))",
        path: folder, remedy: "download or copy the adapter again, with its tensors")
    }
    checkpoint = try Checkpoint.open(at: file, options: options)
    baseName = configuration.baseName
    notes = configuration.notes + checkpoint.notes
    let parts = try AdapterParts(checkpoint.tensors, path: file)
    updates = try parts.updates(configuration, path: file)
    replacements = parts.replacements
  }
}
