import Checkpoints
import Fusion
import TensorCore

/// A check of a fused checkpoint against the manifest inside it.
public struct Verification: Sendable {
  /// What a successful check has covered.
  public struct Report: Sendable {
    /// Tensors whose content is as the manifest says.
    public let tensorCount: Int
    /// Other files whose content is as the manifest says.
    public let fileCount: Int
    /// The checkpoint to which it is stored, as the file records it; nil if it is complete.
    public let relativeTo: String?
    /// True if fusing again gave the same.
    public let reran: Bool

    /// The report for programs.
    public var json: JSON {
      [
        "ok": true, "tensors": .number(tensorCount), "files": .number(fileCount), "reran": .bool(reran),
        "relative_to": relativeTo.map { .string($0) } ?? .null,
      ]
    }
  }

  private let source: ModelSource
  private let manifest: FusionManifest
  private let options: OpeningOptions

  /// Opens a fused checkpoint and its manifest.
  ///
  /// - Parameter options: how it is read, and the inputs if it is to be fused again.
  /// - Throws: `EmbedFuseError`: missing input if there is no manifest; bad data if the checkpoint is damaged.
  public init(of path: String, options: OpeningOptions = OpeningOptions()) throws(EmbedFuseError) {
    self.options = options
    source = try ModelSource.open(path, options: options)
    manifest = try FusionManifest(in: source)
  }

  /// A fused checkpoint that was opened with these options.
  init(_ source: ModelSource, manifest: FusionManifest, options: OpeningOptions) {
    self.source = source
    self.manifest = manifest
    self.options = options
  }

  /// Checks tensors and files, and with `rerun` fuses again from the inputs without writing anything.
  ///
  /// - Parameters:
  ///   - inputs: where the inputs are, in the order of the manifest; empty to look for them by the manifest's names,
  ///     from here and from the output's folder.
  ///   - threads: the workers; nil for one a core.
  /// - Throws: `EmbedFuseError` (bad data) listing all that differs.
  public func run(rerun: Bool = false, inputs: [String] = [], threads: Int? = nil) async throws -> Report {
    let pool = WorkerPool(width: OutputOptions(threads: threads).workers)
    var problems: [String] = []
    let output = manifest.json["output"]
    guard let expected = output?["tensors"]?.objectValue?.members,
      let files = output?["files"]?.objectValue?.members
    else {
      throw EmbedFuseError(.badData, "its manifest doesn't describe an output", path: source.path)
    }
    let digests = try await source.tensorDigests(pool: pool)
    for member in expected {
      if let digest = digests[member.key] {
        if member.value["digest"]?.stringValue != digest.description {
          problems.append("tensor \(member.key.printable) has other content")
        }
      } else {
        problems.append("tensor \(member.key.printable) is missing")
      }
    }
    let known = Set(expected.map(\.key))
    problems += digests.keys.filter { !known.contains($0) }.sorted().map {
      "tensor \($0.printable) was added"
    }
    problems += try metadataProblems(output?["metadata"]?.objectValue?.members ?? [])
    problems += try fileProblems(files)
    let whole = ContentDigest.of(tensors: digests.map { ($0.key, $0.value) }).description
    if problems.isEmpty, output?["digest"]?.stringValue != whole {
      problems.append("the manifest contradicts itself: its digest of the whole is another than its tensors'")
    }
    try fail(problems, "is not what its manifest says", remedy: "copy it again, or fuse again")
    if source.format == .hdf5 { try await checkBytes(pool: pool) }
    if rerun { try await runAgain(inputs: inputs, pool: pool) }
    return Report(
      tensorCount: expected.count, fileCount: files.count, relativeTo: source.relativeTo, reran: rerun)
  }

  private func fail(_ problems: [String], _ what: String, remedy: String) throws(EmbedFuseError) {
    guard !problems.isEmpty else { return }
    throw EmbedFuseError(
      .badData,
      "\(what):" + problems.problemList, path: source.path, remedy: remedy)
  }

  /// Checks the bytes of a file that has its own digests of them, for what no tensor, file or text depends on.
  private func checkBytes(pool: WorkerPool) async throws {
    let seal = try FileSeal(of: source.path)
    _ = try await pool.run(
      seal.count, worker: {}, job: { index, _ in try seal.check(index) }, gathered: { _ in })
  }

  /// Texts of the checkpoint that are otherwise. Formats that have no such texts lack them.
  private func metadataProblems(_ expected: [JSON.Object.Member]) throws(EmbedFuseError) -> [String] {
    guard source.format == .safetensors || source.format == .hdf5 else { return [] }
    let expected = expected.reduce(into: [:]) { $0[$1.key] = $1.value.stringValue }
    let otherwise = expected.filter { source.metadata[$0.key] != $0.value }.keys.sorted()
    return otherwise.map { "the metadata \($0.printable) is otherwise" }
      + (try source.problemsOfFiles(expecting: expected))
  }

  private func fileProblems(_ files: [JSON.Object.Member]) throws(EmbedFuseError) -> [String] {
    var problems: [String] = []
    for member in files {
      guard let bytes = try source.fileBytes(member.key) else {
        problems.append("file \(member.key.printable) is missing")
        continue
      }
      if ContentDigest.of(bytes).description != member.value.stringValue {
        problems.append("file \(member.key.printable) has other content")
      }
    }
    return problems
  }

  /// Fuses again and compares the digests of inputs, weights and output.
  private func runAgain(inputs: [String], pool: WorkerPool) async throws {
    let plan = try FusionPlan(
      Recipe(
        repeating: manifest, inputs: inputs, in: [FilePath.folder(of: source.path)], options: options))
    var engine = try await plan.engine(pool: pool, progress: FusionProgress())
    let findings = try await engine.fuse(into: [DigestingWriter(tensors: plan.tensors.map(\.info))])[0]
    let again = try FusionManifest(
      plan, digests: FusionDigests(plan, findings: findings), files: [], writing: .null)
    try fail(
      FusionManifest.changedInputs(again.json.objectValue ?? [:], since: manifest)
        + again.changedOutput(since: manifest),
      "fusing again gives something else", remedy: "use the inputs that it was made from")
  }
}

/// Takes tensors in and keeps nothing: what matters is digested on the way.
private struct DigestingWriter: CheckpointWriter {
  let tensors: [TensorInfo]

  func runLength(of tensor: Int) -> Int {
    BlockGrid(tensors[tensor]).runLength(target: BlockGrid.blockLength)
  }

  func write(_ bytes: Span<UInt8>, of tensor: Int, at range: Range<Int>) {}

  func finish() {}
}
