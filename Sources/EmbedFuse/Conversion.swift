import Checkpoints
import Fusion
import TensorCore

/// A checkpoint about to be written in another format, or with another element type: tensor by tensor as a stream.
///
/// Values stay bit for bit what they are, unless another element type is asked for: then each is rounded once, to
/// nearest and ties to even. The files that travel with a model go along where the output has a place for them; the
/// manifest goes along as long as it describes what is written.
public struct Conversion: Sendable {
  /// The checkpoint that is read.
  public let source: ModelSource
  /// The element type that learned tensors get; nil for their own.
  public let elementType: ElementType?
  /// True to store matrices in Q8_0, in a GGUF output.
  public let quantizes: Bool
  /// The input files that were opened.
  let log: InputLog

  /// Opens what stands at a path.
  ///
  /// - Parameters:
  ///   - path: a model directory or a checkpoint file, or one with an adapter that is applied to it, `model+adapter`.
  ///   - options: how it is read where there is a choice.
  ///   - elementType: the type that learned tensors get; nil for their own.
  ///   - quantizes: true to store matrices whose rows are multiples of 32 elements in Q8_0; for GGUF only.
  /// - Throws: `EmbedFuseError`: missing input if nothing stands there that can be read; bad data for files that
  ///   break their format.
  public init(
    of path: String, options: OpeningOptions = OpeningOptions(), elementType: ElementType? = nil,
    quantizes: Bool = false
  ) throws(EmbedFuseError) {
    var request = Recipe(models: [path])
    request.opening = options
    let log = InputLog.current ?? InputLog()
    self.log = log
    let opened = request
    source = try log.noting { () throws(EmbedFuseError) in try InputOpening.open(opened).0[0] }
    self.elementType = elementType
    self.quantizes = quantizes
  }

  /// Writes the checkpoint to `path`, whose ending chooses the kind as it does for a fusion, and publishes it.
  ///
  /// - Throws: `EmbedFuseError`; nothing then stands at `path` that did not before. `CancellationError`, or an
  ///   error with the number ECANCELED, if the task is cancelled, with the same promise.
  @discardableResult
  public func run(
    to path: String, options: OutputOptions = OutputOptions(), progress: FusionProgress = FusionProgress()
  ) async throws -> ConversionResult {
    try await InputLog.$current.withValue(log) {
      try await carryOut(to: path, options: options, progress: progress)
    }
  }

  private func carryOut(
    to path: String, options: OutputOptions, progress: FusionProgress
  ) async throws -> ConversionResult {
    let kind = OutputKind(path: path)
    guard !quantizes || kind == .gguf else {
      throw EmbedFuseError(
        .usage, "Q8_0 is a type of GGUF, but the output is of another format", path: path,
        remedy: "name an output that ends in .gguf")
    }
    let workers = try workerCount(options, kind: kind)
    let deltaBase = try options.deltaBase(of: path)
    try WrittenPaths(outputs: [path]).check(keeping: log)
    let publication = try Publication(to: path, options: options)
    let tensors = try plannedTensors()
    let casts = tensors.count { $0.context != nil }
    var notes = source.notes
    let manifest = try manifest(
      for: kind, isChanged: casts > 0 || quantizes, writing: options.json(for: kind), notes: &notes)
    let files = try files(for: kind, notes: &notes)
    notes += lossNotes(kind)
    let output = try FusionOutput(
      contents(of: tensors), publication: publication, options: options, deltaBase: deltaBase,
      workers: workers, manifest: manifest, quantizes: quantizes)
    var engine = FusionEngine(
      variants: [
        FusionEngine.Variant(tensors: tensors, method: try Soup(MethodOptions()), nonFinite: .allow)
      ], pool: WorkerPool(width: workers), progress: progress, memory: options.memory - options.reservedMemory
    )
    let findings = try await engine.fuse(into: [output.writer])[0]
    try output.finish(files: files, manifest: manifest)
    try log.checkUnchanged()
    try Task.checkCancellation()
    notes += try publication.publish()
    return ConversionResult(
      path: path, kind: kind, tensorCount: tensors.count, castTensors: casts, fileCount: files.count,
      bytesRead: progress.completedBytes, bytesWritten: tensors.reduce(0) { $0 + $1.info.byteCount },
      notes: notes, rounding: RoundingReport(tensors, findings: findings))
  }

  /// Each tensor, copied, or rounded to the other type as the mean of itself alone.
  private func plannedTensors() throws(EmbedFuseError) -> [PlannedTensor] {
    var result: [PlannedTensor] = []
    for tensor in source.tensors {
      let stored = tensor.stored.info
      let type = stored.elementType.isFusable ? elementType ?? stored.elementType : stored.elementType
      guard let info = TensorInfo(name: tensor.name, elementType: type, shape: stored.shape) else {
        throw EmbedFuseError(.badData, "its size as \(type) does not end at a byte", tensor: tensor.name)
      }
      let context = TensorContext(
        index: result.count, name: info.name, shape: info.shape, layer: "", priors: [1],
        parameters: ["normalize": [1]])
      result.append(
        PlannedTensor(
          info: info, making: type == stored.elementType ? .copy : .fuse(context),
          sources: [PlannedTensor.Source(input: 0, tensor: tensor.stored)], hasBase: false, models: [0],
          parameters: []))
    }
    return result
  }

  private func contents(of tensors: [PlannedTensor]) -> OutputContents {
    // The pairs of a GGUF file are no texts, and go into GGUF files only.
    var metadata = source.format == .gguf ? [:] : source.metadata
    metadata["embedfuse"] = nil
    // In formats without links a tied weight is a remark that names the one that is stored.
    metadata.merge(source.aliases) { text, _ in text }
    let format = metadata.removeValue(forKey: "format") ?? "pt"
    return OutputContents(
      tensors: tensors.map(\.info), modules: source.tensors.map(\.module), reference: source,
      metadata: [("format", format)] + metadata.sorted { $0.key < $1.key }.map { ($0.key, $0.value) })
  }

  /// The manifest, if what it says holds of the output.
  private func manifest(
    for kind: OutputKind, isChanged: Bool, writing: JSON, notes: inout [String]
  ) throws(EmbedFuseError) -> OutputManifest? {
    guard let bytes = try source.manifest() else { return nil }
    guard !isChanged else {
      notes.append("the manifest (embedfuse.json) is left out: it describes other values")
      return nil
    }
    return try OutputManifest(bytes, path: source.path, for: kind, writing: writing)
  }

  /// The files that travel along.
  private func files(
    for kind: OutputKind, notes: inout [String]
  ) throws(EmbedFuseError) -> [(path: String, bytes: [UInt8])] {
    let all = source.companions + source.ownFiles.filter { $0.relativePath != CompanionFiles.manifest }
    guard kind.holdsFiles else {
      if !all.isEmpty {
        notes.append(
          "\(all.count) files (configuration, tokenizer) have no place in .\(kind) and are left out")
      }
      return []
    }
    var files: [(path: String, bytes: [UInt8])] = []
    for file in all {
      var bytes = try file.bytes()
      if let elementType, file.relativePath == FilePath.join(source.transformerFolder, "config.json") {
        bytes = try OutputContents.config(bytes, announcing: elementType, path: file.relativePath)
      }
      files.append((file.relativePath, bytes))
    }
    notes += source.lossNotes
    return files
  }

  /// What the output can't say.
  private func lossNotes(_ kind: OutputKind) -> [String] {
    var notes: [String] = []
    if !source.aliases.isEmpty, kind == .numpy || kind == .gguf || kind == .directory {
      notes.append(
        "\(source.aliases.count) tied tensors are stored once, under the name of the first: "
          + source.aliases.keys.sorted().prefix(5).map(\.printable).joined(separator: ", "))
    }
    if kind == .gguf, let long = source.tensors.first(where: { $0.name.utf8.count >= 64 }) {
      notes.append(
        "llama.cpp opens no file with names of 64 bytes or more, such as \(long.name.printable)")
    }
    return notes
  }

  /// How many workers fit into the memory that is allowed.
  private func workerCount(_ options: OutputOptions, kind: OutputKind) throws(EmbedFuseError) -> Int {
    let largest = source.tensors.lazy.map(\.stored.info.byteCount).max() ?? 0
    // A block as it is read, a tile of it widened, and the output run.
    let perWorker =
      WorkerPool.workerBytes + BlockGrid.blockLength * 8 + 4 * 4096 * 8 + source.workerBytes
      + kind.runBytes(largest: largest)
    let shared = options.reservedMemory + source.cacheBytes
    return try WorkerPool.width(
      options.workers, within: options.memory, shared: shared, perWorker: perWorker, of: "")
  }
}

/// What a conversion has done.
public struct ConversionResult: Sendable {
  /// Where the output stands.
  public let path: String
  /// Its kind.
  public let kind: OutputKind
  /// The tensors written.
  public let tensorCount: Int
  /// Those among them whose element type was changed.
  public let castTensors: Int
  /// The files that travelled along, such as a tokenizer.
  public let fileCount: Int
  /// Bytes of tensors read.
  public let bytesRead: Int
  /// Bytes of tensors written, before compression.
  public let bytesWritten: Int
  /// What should be told: what was chosen, and what the output can't hold.
  public let notes: [String]
  /// What rounding did to the tensors whose element type was changed.
  public let rounding: RoundingReport

  /// The result for programs.
  public var json: JSON {
    [
      "output": .string(path), "kind": .string(kind.rawValue), "tensors": .number(tensorCount),
      "cast_tensors": .number(castTensors), "files": .number(fileCount), "bytes_read": .number(bytesRead),
      "bytes_written": .number(bytesWritten), "notes": .array(notes.map { .string($0) }),
      "warnings": .array(rounding.warnings.map { .string($0) }), "rounding": rounding.total.json,
    ]
  }
}
