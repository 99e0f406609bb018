import Checkpoints
import Fusion
import Synchronization
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
  private let manifest: JSON
  private let options: OpeningOptions

  /// Opens a fused checkpoint and its manifest.
  ///
  /// - Parameter options: how it is read, and the inputs if it is to be fused again.
  /// - Throws: `EmbedFuseError`: missing input if there is no manifest; bad data if the checkpoint is damaged.
  public init(of path: String, options: OpeningOptions = OpeningOptions()) throws(EmbedFuseError) {
    self.options = options
    source = try ModelSource.open(path, options: options)
    guard let bytes = try source.manifest() else {
      throw EmbedFuseError(
        .missingInput, "has no manifest, so there is nothing to check it against", path: path,
        remedy: "verify checks what embedfuse has written")
    }
    manifest = try JSON.parse(bytes.span, path: FilePath.join(path, "embedfuse.json"))
  }

  /// Checks tensors and files, and with `rerun` fuses again from the inputs without writing anything.
  ///
  /// - Throws: `EmbedFuseError` (bad data) listing all that differs.
  public func run(rerun: Bool = false, threads: Int? = nil) async throws -> Report {
    let pool = WorkerPool(width: OutputOptions(threads: threads).workers)
    var problems: [String] = []
    guard let expected = manifest["output"]?["tensors"]?.objectValue?.members,
      let files = manifest["output"]?["files"]?.objectValue?.members
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
    problems += try fileProblems(files)
    let whole = ContentDigest.of(tensors: digests.map { ($0.key, $0.value) }).description
    if problems.isEmpty, manifest["output"]?["digest"]?.stringValue != whole {
      problems.append("the manifest contradicts itself: its digest of the whole is another than its tensors'")
    }
    try fail(problems, "is not what its manifest says", remedy: "copy it again, or fuse again")
    if rerun { try await runAgain(pool: pool) }
    return Report(
      tensorCount: expected.count, fileCount: files.count, relativeTo: source.relativeTo, reran: rerun)
  }

  private func fail(_ problems: [String], _ what: String, remedy: String) throws(EmbedFuseError) {
    guard !problems.isEmpty else { return }
    throw EmbedFuseError(
      .badData,
      "\(what):\n  " + problems.prefix(50).joined(separator: "\n  ")
        + (problems.count > 50 ? "\n  and \(problems.count - 50) more" : ""), path: source.path,
      remedy: remedy)
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
  private func runAgain(pool: WorkerPool) async throws {
    var recipe = try Recipe(manifest: manifest, path: source.path)
    let key = recipe.opening.stateDictKey
    recipe.opening = options
    recipe.opening.stateDictKey = options.stateDictKey ?? key
    let plan = try FusionPlan(recipe)
    var engine = try await plan.engine(pool: pool, progress: FusionProgress())
    let findings = try await engine.fuse(into: [DigestingWriter(tensors: plan.tensors.map(\.info))])[0]
    let digests = FusionManifest.Digests(plan, findings: findings)
    var problems: [String] = []
    for (entry, digest) in zip(manifest["inputs"]?.arrayValue ?? [], digests.inputs)
    where entry["digest"]?.stringValue != digest?.description {
      problems.append("the input \((entry["path"]?.stringValue ?? "").printable) has changed since")
    }
    for (tensor, digest) in zip(plan.tensors, digests.tensors) {
      let expected = manifest["output"]?["tensors"]?[tensor.info.name]?["digest"]?.stringValue
      if expected != digest.description {
        problems.append("tensor \(tensor.info.name.printable) comes out differently")
      }
    }
    if problems.isEmpty, manifest["weights_digest"]?.stringValue != digests.weights.description {
      problems.append("the weights come out differently")
    }
    try fail(problems, "fusing again gives something else", remedy: "use the inputs that it was made from")
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
