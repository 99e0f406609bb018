import TensorCore

/// A model as a user names it: a checkpoint file, a Hugging Face directory, or a sentence-transformers directory
/// with the weights of all its modules.
public struct ModelSource: Sendable {
  /// A tensor of the model.
  public struct Tensor: Sendable {
    /// The folder of the module that it belongs to, such as `2_Dense`; empty for the transformer.
    public let module: String
    /// The tensor, under its name within the module.
    public let stored: StoredTensor

    /// A tensor of a module.
    public init(module: String, stored: StoredTensor) {
      self.module = module
      self.stored = stored
    }

    /// The name within the whole model: `2_Dense/linear.weight`, or the plain name for the transformer.
    public var name: String { module.isEmpty ? stored.info.name : "\(module)/\(stored.info.name)" }
  }

  /// A file that travels with the weights, such as a tokenizer.
  public struct CompanionFile: Sendable {
    /// The path relative to the model's directory.
    public let relativePath: String
    /// The path on disk, or nil for a file inside a checkpoint.
    let diskPath: String?
    /// The bytes of a file inside a checkpoint.
    let embedded: [UInt8]

    /// The file's bytes.
    public func bytes() throws(EmbedFuseError) -> [UInt8] {
      guard let diskPath else { return embedded }
      let file = try InputFile(diskPath)
      return try file.bytes()
    }
  }

  /// The path as the user named it.
  public let path: String
  /// How the weights are stored.
  public let format: Checkpoint.Format
  /// The tensors of all modules: the transformer's first, then those of the other modules in their order.
  public let tensors: [Tensor]
  /// Names of tied weights that are stored once, with the names under which they are.
  public let aliases: [String: String]
  /// The modules of a sentence-transformers model in the order of their work; empty for other models.
  public let modules: [SentenceModule]
  /// The folder of the transformer's weights within the directory; empty for the root.
  public let transformerFolder: String
  /// The files that travel with the weights.
  public let companions: [CompanionFile]
  /// The model card and the manifest that embedfuse writes, where they are there.
  public let ownFiles: [CompanionFile]
  /// The weight files with their sizes.
  public let weightFiles: [(path: String, byteCount: Int)]
  /// What should be told about how the model was read.
  public let notes: [String]
  /// The strings attached to the transformer's checkpoint.
  public let metadata: [String: String]
  /// The most bytes that reading the tensors keeps in memory besides the blocks at hand.
  public var cacheBytes = 0

  /// The most bytes that each worker needs besides to decode what stands in the files.
  public var workerBytes: Int { tensors.lazy.map(\.stored.storage.workerBytes).max() ?? 0 }

  /// What would travel with the weights but can't: its name isn't UTF-8, or it is a link to nothing, a pipe and the like.
  public internal(set) var lostCompanions: [String] = []

  /// The path, as the file records it, of the checkpoint to which this one is stored; nil for one that is complete.
  public internal(set) var relativeTo: String?

  /// Where the tensors' names come from.
  public internal(set) var naming = Checkpoint.Naming.plain

  /// True for a model with configuration files, false for loose tensors.
  public var isDirectory: Bool { !companions.isEmpty }

  /// The same model with other values: tensors of the same modules, under another path, without the notes.
  public func replacing(tensors: [Tensor], path: String) -> ModelSource {
    ModelSource(
      path: path, format: format, tensors: tensors, aliases: aliases, modules: modules,
      transformerFolder: transformerFolder, companions: companions, ownFiles: [], weightFiles: [], notes: [],
      metadata: metadata)
  }

  /// The bytes of a companion file or of one of our own, or nil if there is no such file.
  public func fileBytes(_ relativePath: String) throws(EmbedFuseError) -> [UInt8]? {
    for file in companions + ownFiles where file.relativePath.hasSameBytes(as: relativePath) {
      return try file.bytes()
    }
    return nil
  }

  /// The manifest of a fused model, or nil if there is none: a file of its own, or in a safetensors header.
  public func manifest() throws(EmbedFuseError) -> [UInt8]? {
    if let text = metadata["embedfuse"] { return Array(text.utf8) }
    return try fileBytes(CompanionFiles.manifest)
  }

  /// A companion file's bytes, or nil if there is no such file.
  public func companion(_ relativePath: String) throws(EmbedFuseError) -> [UInt8]? {
    for file in companions where file.relativePath.hasSameBytes(as: relativePath) { return try file.bytes() }
    return nil
  }

  /// A companion file as JSON, or nil if there is no such file. Where a key stands twice the last value counts,
  /// as for the programs that read these files.
  public func json(_ relativePath: String) throws(EmbedFuseError) -> JSON? {
    guard let bytes = try companion(relativePath) else { return nil }
    return try json(bytes, of: relativePath)
  }

  /// The bytes of a companion file as JSON.
  func json(_ bytes: [UInt8], of relativePath: String) throws(EmbedFuseError) -> JSON {
    try JSON.parse(bytes.span, duplicateKeys: .lastWins, path: FilePath.join(path, relativePath))
  }

  /// The transformer's `config.json`, or nil if there is none.
  public func config() throws(EmbedFuseError) -> JSON? {
    try json(FilePath.join(transformerFolder, "config.json"))
  }
}

/// One module of a sentence-transformers model, as `modules.json` lists them.
public struct SentenceModule: Sendable, Hashable {
  /// The module's folder; empty for the directory itself.
  public let path: String
  /// The last component of the module's type, such as `Pooling`, which old and new spellings share.
  public let type: String
}

extension ModelSource {
  /// Opens what stands at a path.
  ///
  /// - Throws: `EmbedFuseError`: missing input if nothing stands there or it holds no weights that can be read;
  ///   bad data for files that break their format.
  public static func open(
    _ path: String, options: OpeningOptions = OpeningOptions()
  ) throws(EmbedFuseError) -> ModelSource {
    switch FilePath.kind(of: path) {
    case .directory:
      if Adapter.isAdapter(at: path) {
        guard options.describing else { throw Adapter.isNoModel(path) }
        return try Adapter(at: path, options: options).described()
      }
      InputLog.current?.note(folder: path)
      return try openDirectory(path, options: options).countingCaches()
    case .file: return try openFile(path, options: options).countingCaches()
    case .other:
      throw EmbedFuseError(
        .missingInput, "is neither a file nor a directory", path: path,
        remedy: "name a model directory or a checkpoint file")
    case nil:
      throw EmbedFuseError(
        .missingInput,
        FilePath.isLink(path)
          ? "is a symbolic link to something that isn't there" : "there is no such file or directory",
        path: path, remedy: absenceAdvice(for: path))
    }
  }

  /// What to do where nothing stands at a path, which may be the name of a model elsewhere.
  private static func absenceAdvice(for path: String) -> String {
    let advice = "check the name and where you are"
    if path.hasPrefix("~") { return advice + "; only shells expand '~': write the path out" }
    // NAME or ORGANISATION/NAME, and no ending of a file.
    let isRepository =
      path.wholeMatch(of: /[A-Za-z0-9][\w.-]*(\/[\w.-]+)?/) != nil
      && path.firstMatch(of: /\.[A-Za-z]\w*$/) == nil
      && (!path.contains("/") || FilePath.kind(of: FilePath.folder(of: path)) == nil)
    guard isRepository else { return advice }
    return advice
      + "; a model of the Hugging Face hub must be downloaded first: hf download \(path) --local-dir FOLDER"
  }

  /// The same with the memory that its files' decoded chunks take.
  private func countingCaches() -> ModelSource {
    var files: [String: Int] = [:]
    // Beyond this no memory is enough, and sums must not overflow.
    for tensor in tensors { files[tensor.stored.path] = min(tensor.stored.storage.residentBytes, 1 << 48) }
    var source = self
    source.cacheBytes += files.values.reduce(0, +)
    return source
  }

  private static func openFile(_ path: String, options: OpeningOptions) throws(EmbedFuseError) -> ModelSource
  {
    let name = FilePath.name(of: path)
    if name.hasSuffix(".h5") || name.hasSuffix(".hdf5") {
      do { return try openHDF5(path, options: options) } catch { throw error.recognizing(path) }
    }
    let checkpoint = try Checkpoint.open(at: path, options: options)
    let tensors = checkpoint.tensors.map { Tensor(module: "", stored: $0) }
    try checkNames(of: tensors, aliases: checkpoint.aliases, path: path)
    return ModelSource(
      path: path, format: checkpoint.format, tensors: tensors,
      aliases: checkpoint.aliases, modules: [], transformerFolder: "", companions: [],
      ownFiles: [], weightFiles: checkpoint.files, notes: checkpoint.notes, metadata: checkpoint.metadata,
      naming: checkpoint.naming)
  }

  private static func openDirectory(
    _ path: String, options: OpeningOptions
  ) throws(EmbedFuseError) -> ModelSource {
    let listPath = FilePath.join(path, "modules.json")
    let modules = FilePath.kind(of: listPath) == .file ? try SentenceModule.list(at: listPath) : []
    // The transformer, or whatever stands first, is the model proper; the others follow under their folders.
    let folders = modules.isEmpty ? [""] : modules.map(\.path)
    var tensors: [Tensor] = []
    var aliases: [String: String] = [:]
    var files: [(path: String, byteCount: Int)] = []
    var notes: [String] = []
    var metadata: [String: String] = [:]
    var format = Checkpoint.Format.safetensors
    var options = options
    for (place, folder) in folders.enumerated() {
      let found = try WeightFiles.find(in: FilePath.join(path, folder), required: place == 0)
      guard let found else { continue }
      notes += found.notes
      let checkpoint = try Checkpoint.open(at: found.path, options: options)
      notes += checkpoint.notes
      let module = place == 0 ? "" : folder
      tensors += checkpoint.tensors.map { Tensor(module: module, stored: $0) }
      files += checkpoint.files
      if place == 0 {
        metadata = checkpoint.metadata
        aliases = checkpoint.aliases
        format = checkpoint.format
        // The key leads to the model proper; other modules have files of their own.
        options.stateDictKey = nil
      }
    }
    try checkNames(of: tensors, aliases: aliases, path: path)
    let companions = try CompanionFiles.list(in: path)
    return ModelSource(
      path: path, format: format, tensors: tensors, aliases: aliases, modules: modules,
      transformerFolder: folders[0], companions: companions.files,
      ownFiles: CompanionFiles.own(in: path), weightFiles: files,
      notes: notes + TrainingRun.finalModelNotes(path),
      metadata: metadata, lostCompanions: companions.lost)
  }
}

extension ModelSource {
  /// Checks that no two tensors of a model have one name, or names that differ only in their composition: one of the
  /// transformer may be called as if it stood in the folder of another module.
  static func checkNames(
    of tensors: [Tensor], aliases: [String: String], path: String
  ) throws(EmbedFuseError) {
    try EmbedFuseError.checkComposition(of: tensors.map(\.name) + aliases.keys, path: path)
    guard tensors.contains(where: { !$0.module.isEmpty }) else { return }
    var names: Set<String> = []
    for tensor in tensors where !names.insert(tensor.name).inserted {
      throw EmbedFuseError(
        .badData,
        "has the name of another: one stands in the folder '\(tensor.module.printable)', the other not",
        path: path, tensor: tensor.name, remedy: "rename one of the two")
    }
  }
}

extension SentenceModule {
  /// Reads `modules.json`.
  ///
  /// - Throws: `EmbedFuseError` (bad data) if it is no list of modules with paths within the directory.
  static func list(at path: String) throws(EmbedFuseError) -> [SentenceModule] {
    let file = try InputFile(path)
    let bytes = try file.bytes()
    return try parse(try JSON.parse(bytes.span, duplicateKeys: .lastWins, path: path), path: path)
  }

  private static let remedy = "save the model again with sentence-transformers, or copy the file again"

  /// Reads the value of a `modules.json`.
  static func parse(_ json: JSON, path: String) throws(EmbedFuseError) -> [SentenceModule] {
    guard let entries = json.arrayValue, !entries.isEmpty else {
      throw EmbedFuseError(.badData, "is no list of modules", path: path, remedy: remedy)
    }
    var modules: [SentenceModule] = []
    for entry in entries {
      guard let folder = entry["path"]?.stringValue, let type = entry["type"]?.stringValue else {
        throw EmbedFuseError(.badData, "lists a module without path or type", path: path, remedy: remedy)
      }
      guard folder.isEmpty || FilePath.isWithinFolder(FilePath.trimmed(folder)) else {
        throw EmbedFuseError(
          .badData, "lists a module at '\(folder.printable)', which is no folder of this directory",
          path: path,
          remedy: "a module's path must be relative and stay within the model's directory")
      }
      let module = SentenceModule(
        path: folder.isEmpty ? "" : FilePath.trimmed(folder),
        type: String(type.split(separator: ".").last ?? ""))
      guard !modules.contains(where: { $0.path == module.path }) else {
        throw EmbedFuseError(
          .badData, "lists two modules at '\(folder.printable)'", path: path, remedy: remedy)
      }
      modules.append(module)
    }
    return modules
  }
}
