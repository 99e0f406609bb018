import Checkpoints
import TensorCore

/// An output being put together from parts that `FusionPlan.run(part:of:)` has made.
public struct PartAssembly: Sendable {
  private let folder: PartsFolder
  private let records: [PartRecord]
  private let plan: FusionPlan
  private let fusion: ShardedFusion
  private let files: [(path: String, bytes: [UInt8])]

  /// The files of inputs that were opened.
  public var inputPaths: [String] { plan.log.paths }

  /// Finds the parts of an output, checks that all are there and belong together, and opens the inputs again.
  ///
  /// - Throws: `EmbedFuseError`: missing input if there are no parts, naming those that are missing, or if an input has
  ///   gone; bad data for parts of several fusions, or if the inputs have changed since.
  public init(of output: String) throws(EmbedFuseError) {
    let folder = PartsFolder(for: output)
    let records = try folder.records()
    (self.folder, self.records) = (folder, records)
    guard let first = records.first else {
      throw EmbedFuseError(
        .missingInput, "there are no parts for it (\(folder.path.printable))", path: output,
        remedy: "make them with embedfuse merge ... -o \(folder.output.printable) --part 1/2, 2/2")
    }
    // Of two fusions the one with more parts is the one that is meant.
    let common =
      records.max { one, other in
        let counts = [one, other].map { record in
          records.count { $0.identity.differences(from: record.identity).isEmpty }
        }
        return counts[0] < counts[1]
      } ?? first
    try folder.check(
      records, against: common.identity, count: common.part.count, "one fusion, that of part \(common.part)")
    try Self.checkComplete(records, count: common.part.count, path: folder.path)
    let plan = try Self.plan(of: common)
    self.plan = plan
    plan.log.note(folder: folder.path)
    files = try plan.log.noting { () throws(EmbedFuseError) in try plan.companionFiles() }
    fusion = try ShardedFusion(
      plan, options: OutputOptions(maximumShardBytes: common.maximumShardBytes), files: files)
    let changed = common.identity.differences(from: fusion.identity)
    guard changed.isEmpty else {
      throw EmbedFuseError(
        .badData, "since the parts were made something has changed: \(changed.joined(separator: ", "))",
        path: folder.path, remedy: "make all parts again with --force")
    }
  }

  /// Checks that what is written takes the place of nothing that is read, the parts among it.
  ///
  /// - Parameters:
  ///   - dependencyFile: a file of dependencies that is going to be written.
  ///   - manifests: where the manifest stands to which the output is held.
  /// - Throws: `EmbedFuseError` (cannot create) naming two paths that don't go together.
  package func check(dependencyFile: String? = nil, manifests: [String] = []) throws(EmbedFuseError) {
    try WrittenPaths(outputs: [folder.output], dependencyFile: dependencyFile)
      .check(keeping: plan.log, manifests: manifests)
  }

  private static func checkComplete(_ records: [PartRecord], count: Int, path: String) throws(EmbedFuseError)
  {
    let there = Set(records.map(\.part.number))
    let missing = (1...count).filter { !there.contains($0) }.map { "\($0)/\(count)" }
    guard missing.isEmpty else {
      let all = missing.prefix(20).joined(separator: ", ")
      throw EmbedFuseError(
        .missingInput,
        "\(missing.count) of \(count) parts \(missing.count == 1 ? "is" : "are") missing: \(all)\(missing.count > 20 ? ", ..." : "")",
        path: path,
        remedy: "make \(missing.count == 1 ? "it" : "them") again: the same command with --part \(missing[0])"
      )
    }
  }

  /// Plans the fusion again, as the part has recorded it.
  private static func plan(of record: PartRecord) throws(EmbedFuseError) -> FusionPlan {
    do throws(EmbedFuseError) {
      return try FusionPlan(record.recipe)
    } catch  where error.code == .missingInput {
      var error = error
      let isElsewhere = FilePath.workingDirectory != record.workingDirectory
      error.remedy =
        isElsewhere
        ? "the parts were made in \(record.workingDirectory.printable): finalize there, where the inputs' paths lead to them"
        : error.remedy
      throw error
    }
  }

  /// Puts the parts together: checks every tensor against its record, writes index, companion files and manifest, publishes
  /// the output, and removes the parts. The output has the bytes that a single run writes.
  ///
  /// - Parameters:
  ///   - pinned: a manifest; the output is only published if it comes out as the manifest has it, from the inputs that the
  ///     manifest has.
  ///   - verifies: false to check the files' sizes and headers only.
  /// - Throws: `EmbedFuseError`: bad data naming the parts whose files are damaged; what `FusionPlan.run` throws. The
  ///   parts stay then. It is cancelled as that is.
  public func run(
    lockedTo pinned: FusionManifest? = nil, options: OutputOptions = OutputOptions(), verifies: Bool = true
  ) async throws -> FusionResult {
    if let pinned { try plan.checkBeforehand(against: pinned) }
    let pool = WorkerPool(width: options.workers)
    try check()
    let publication = try Publication(to: folder.output, options: options)
    try await place(in: publication, pool: pool, verifies: verifies)
    var byShard: [Int: ShardRecord] = [:]
    for record in records {
      for (number, shard) in fusion.layout.shards.enumerated() {
        if let known = record.shards[shard.path] { byShard[number] = known }
      }
    }
    let findings = fusion.findings(byShard)
    var outputOptions = options
    outputOptions.maximumShardBytes = records[0].maximumShardBytes
    outputOptions = try outputOptions.completed(by: plan.recipe, lockedTo: pinned, for: .directory)
    let manifest = try FusionManifest(
      plan, digests: .init(plan, findings: findings), files: files,
      writing: outputOptions.json(for: .directory))
    if let pinned { try manifest.check(against: pinned, path: folder.output) }
    let output = try FusionOutput(
      OutputContents(plan), publication: publication, options: outputOptions, deltaBase: nil,
      workers: pool.width, manifest: nil, shards: [])
    try output.finish(files: files, manifest: OutputManifest(manifest))
    let report = try WeightsReport(plan, findings: findings)
    try Task.checkCancellation()
    let notes = try publication.publish()
    folder.remove(records, synchronize: options.synchronize)
    var result = plan.result(
      at: folder.output, manifest: manifest, report: report, progress: FusionProgress())
    result.notes += notes
    return result
  }

  /// Gives every shard a second name in the staged output.
  private func place(in publication: Publication, pool: WorkerPool, verifies: Bool) async throws {
    let shares = fusion.layout.shares(of: records.count)
    var problems: [String] = []
    for record in records {
      for number in shares[record.part.number - 1] {
        let shard = fusion.layout.shards[number]
        let path = FilePath.join(folder.path(of: record.part), shard.path)
        guard let known = record.shards[shard.path],
          try await fusion.isIntact(number, known, at: path, reading: verifies, pool: pool)
        else {
          problems.append("part \(record.part): \(shard.path)")
          continue
        }
        try FinishedFile.place(path, at: publication.path(for: shard.path))
      }
    }
    guard problems.isEmpty else {
      throw EmbedFuseError(
        .badData, "files are missing or are not what was written:\n  " + problems.joined(separator: "\n  "),
        path: folder.path, remedy: "run these parts again, then finalize")
    }
  }
}
