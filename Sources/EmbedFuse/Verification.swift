import Checkpoints
import Fusion
import TensorCore

/// A check of a fused checkpoint against the manifest inside it.
public struct Verification: Sendable {
  private let source: ModelSource
  private let manifest: FusionManifest
  private let options: OpeningOptions
  /// True if of the files that the manifest doesn't list only weights are a problem.
  private let toleratesFiles: Bool

  /// Opens a fused checkpoint and its manifest.
  ///
  /// - Parameter options: how it is read, and the inputs if it is to be fused again.
  /// - Throws: `EmbedFuseError`: missing input if there is no manifest; bad data if the checkpoint is damaged.
  public init(of path: String, options: OpeningOptions = OpeningOptions()) throws(EmbedFuseError) {
    self.options = options
    toleratesFiles = false
    source = try ModelSource.open(path, options: options)
    manifest = try FusionManifest(in: source)
  }

  /// A fused checkpoint that was opened with these options, beside whose files others may stand that are no weights.
  init(tolerant source: ModelSource, manifest: FusionManifest, options: OpeningOptions) {
    toleratesFiles = true
    self.source = source
    self.manifest = manifest
    self.options = options
  }

  /// Opens a fused checkpoint and checks it, as `run` does, but what is wrong with it is reported instead of thrown.
  ///
  /// - Parameters:
  ///   - options: how it is read, and the inputs if it is to be fused again.
  ///   - rerun: true to fuse again from the inputs without writing anything, and to compare.
  ///   - inputs: where the inputs are, in the order of the manifest; empty to look for them by the manifest's names,
  ///     from here and from the output's folder.
  ///   - threads: the workers; nil for one a core.
  /// - Throws: `CancellationError` if the task is cancelled.
  public static func report(
    on path: String, options: OpeningOptions = OpeningOptions(), rerun: Bool = false, inputs: [String] = [],
    threads: Int? = nil
  ) async throws -> Report {
    do {
      return try await Verification(of: path, options: options).check(
        rerun: rerun, inputs: inputs, threads: threads)
    } catch let error as EmbedFuseError {
      guard !error.isCancellation else { throw CancellationError() }
      return Report(failure: error)
    }
  }

  /// Checks tensors and files, that there are no others, and with `rerun` fuses again from the inputs without writing
  /// anything.
  ///
  /// - Parameters:
  ///   - inputs: where the inputs are, in the order of the manifest; empty to look for them by the manifest's names,
  ///     from here and from the output's folder.
  ///   - threads: the workers; nil for one a core.
  /// - Throws: `EmbedFuseError` (bad data) listing all that differs.
  public func run(rerun: Bool = false, inputs: [String] = [], threads: Int? = nil) async throws -> Report {
    let report = try await check(rerun: rerun, inputs: inputs, threads: threads)
    if let failure = report.failure { throw failure }
    return report
  }

  private func check(rerun: Bool, inputs: [String], threads: Int?) async throws -> Report {
    let pool = WorkerPool(width: OutputOptions(threads: threads).workers)
    let output = manifest.json["output"]
    guard let expected = output?["tensors"]?.objectValue?.members,
      let files = output?["files"]?.objectValue?.members
    else {
      throw EmbedFuseError(.badData, "its manifest doesn't describe an output", path: source.path)
    }
    let digests = try await source.tensorDigests(pool: pool)
    var problems = tensorProblems(digests, expected)
    problems += try metadataProblems(output?["metadata"]?.objectValue?.members ?? [])
    problems += try fileProblems(files)
    let whole = ContentDigest.of(tensors: digests.map { ($0.key, $0.value) }).description
    if problems.isEmpty, output?["digest"]?.stringValue != whole {
      problems.append(
        problem("the manifest contradicts itself: its digest of the whole is another than its tensors'"))
    }
    guard problems.isEmpty else {
      return Report(
        problems, "is not what its manifest says", path: source.path,
        remedy: "copy it again, or fuse again; what was added doesn't belong there")
    }
    if source.format == .hdf5 { try await checkBytes(pool: pool) }
    if rerun {
      let problems = try await runAgain(inputs: inputs, pool: pool)
      guard problems.isEmpty else {
        return Report(
          problems, "fusing again gives something else", path: source.path,
          remedy: "use the inputs that it was made from")
      }
    }
    return Report(
      tensorCount: expected.count, fileCount: files.count, relativeTo: source.relativeTo, reran: rerun)
  }

  private func problem(_ problem: String, tensor: String? = nil, file: String? = nil) -> Problem {
    Problem(
      path: file.map { FilePath.join(source.path, $0) } ?? source.path, tensor: tensor, file: file,
      problem: problem)
  }

  private func tensorProblems(
    _ digests: [String: ContentDigest], _ expected: [JSON.Object.Member]
  ) -> [Problem] {
    var problems: [Problem] = []
    for member in expected {
      if let digest = digests[member.key] {
        if member.value["digest"]?.stringValue != digest.description {
          problems.append(problem("has other content", tensor: member.key))
        }
      } else {
        problems.append(problem("is missing", tensor: member.key))
      }
    }
    let known = Set(expected.map(\.key))
    return problems
      + digests.keys.filter { !known.contains($0) }.sorted().map { problem("was added", tensor: $0) }
  }

  /// Checks the bytes of a file that has its own digests of them, for what no tensor, file or text depends on.
  private func checkBytes(pool: WorkerPool) async throws {
    let seal = try FileSeal(of: source.path)
    _ = try await pool.run(
      seal.count, worker: {}, job: { index, _ in try seal.check(index) }, gathered: { _ in })
  }

  /// Texts of the checkpoint that are otherwise. Formats that have no such texts lack them.
  private func metadataProblems(_ expected: [JSON.Object.Member]) throws(EmbedFuseError) -> [Problem] {
    guard source.format == .safetensors || source.format == .hdf5 else { return [] }
    let expected = expected.reduce(into: [:]) { $0[$1.key] = $1.value.stringValue }
    let otherwise = expected.filter { source.metadata[$0.key] != $0.value }.keys.sorted()
    return otherwise.map { problem("the metadata \($0.printable) is otherwise") }
      + (try source.problemsOfFiles(expecting: expected)).map { problem($0) }
  }

  /// Files that are otherwise or missing, and those of a directory that the manifest doesn't list: a loader may take them
  /// for the model's.
  private func fileProblems(_ files: [JSON.Object.Member]) throws(EmbedFuseError) -> [Problem] {
    var problems: [Problem] = []
    for member in files {
      guard let bytes = try source.fileBytes(member.key) else {
        problems.append(problem("is missing", file: member.key))
        continue
      }
      if ContentDigest.of(bytes).description != member.value.stringValue {
        problems.append(problem("has other content", file: member.key))
      }
    }
    let unlisted = try source.unlistedFiles(besides: Set(files.map(\.key)))
    return problems
      + unlisted.filter { !toleratesFiles || CompanionFiles.isWeights($0) }.map {
        problem("was added", file: $0)
      }
  }

  /// Fuses again and compares the digests of inputs, weights and output.
  private func runAgain(inputs: [String], pool: WorkerPool) async throws -> [Problem] {
    let plan = try FusionPlan(
      Recipe(
        repeating: manifest, inputs: inputs, in: [FilePath.folder(of: source.path)], options: options))
    var engine = try await plan.engine(pool: pool, progress: FusionProgress())
    let findings = try await engine.fuse(into: [DigestingWriter(tensors: plan.tensors.map(\.info))])[0]
    let again = try FusionManifest(
      plan, digests: FusionDigests(plan, findings: findings), files: [], writing: .null)
    let inputs = again.json.objectValue ?? [:]
    try FusionManifest.checkOrder(of: inputs, since: manifest)
    return (FusionManifest.changedInputs(inputs, since: manifest) + again.changedOutput(since: manifest)).map
    {
      problem($0)
    }
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
