import Checkpoints
import TensorCore

/// A fusion into a model directory, shard by shard. Beside the staged output every finished shard has a record, by which
/// a run that was interrupted is continued.
struct ShardedFusion: Sendable {
  /// The fusion.
  let plan: FusionPlan
  /// The output's files.
  let layout: ShardLayout
  /// What decides their bytes.
  let identity: FusionIdentity
  /// The shards that are made.
  var shards: [Int]

  /// A fusion into all shards, or into the share of a part.
  ///
  /// - Parameter files: the files that travel with the weights.
  init(
    _ plan: FusionPlan, options: OutputOptions, files: [(path: String, bytes: [UInt8])],
    part: OutputPart? = nil
  ) throws(EmbedFuseError) {
    self.plan = plan
    let layout = try ShardLayout(
      OutputContents(plan).placements(), maximumShardBytes: options.shardBytes)
    self.layout = layout
    identity = FusionIdentity(plan, layout: layout, files: files)
    shards = part.map { layout.shares(of: $0.count)[$0.number - 1] } ?? Array(layout.shards.indices)
  }

  /// Fuses the shards that aren't finished, one after the other.
  ///
  /// - Parameter finished: the shards that are, by their numbers.
  /// - Returns: the records of all.
  func fuse(
    with engine: inout FusionEngine, into output: FusionOutput, of publication: Publication,
    finished: [Int: ShardRecord]
  ) async throws -> [Int: ShardRecord] {
    var finished = finished
    let open = shards.filter { finished[$0] == nil }
    guard !open.isEmpty else { return finished }
    engine.announceWork(on: open.flatMap { layout.shards[$0].tensors })
    try await engine.learn()
    for shard in open {
      let findings = try await engine.fuse(layout.shards[shard].tensors, into: [output.writer])[0]
      try output.finish(shard: shard)
      let record = ShardRecord(path: layout.shards[shard].path, findings: findings)
      try OutputFile.write(
        record.compactBytes, to: Self.recordPath(shard, in: publication.recordsPath))
      finished[shard] = record
    }
    return finished
  }

  /// What the records of all shards say of the output's tensors, in their order.
  func findings(_ records: [Int: ShardRecord]) -> [FusionEngine.Finding] {
    var byTensor: [Int: FusionEngine.Finding] = [:]
    for (shard, record) in records {
      for (tensor, finding) in zip(layout.shards[shard].tensors, record.findings) {
        byTensor[tensor] = finding
      }
    }
    return plan.tensors.indices.map { byTensor[$0]! }
  }

  /// True if a shard that stands at `path` is what its record says: every tensor is read and digested, or, with
  /// `reading` false, size and header are compared only.
  func isIntact(
    _ shard: Int, _ record: ShardRecord, at path: String, reading: Bool = true, pool: WorkerPool
  ) async throws -> Bool {
    guard record.describes(layout.shards[shard], of: plan),
      let tensors = try? layout.tensors(ofShard: shard, writtenAt: path)
    else { return false }
    guard reading else { return true }
    return try await tensors.digests(pool: pool) == record.findings.map(\.digest)
  }
}

// MARK: - Records of an interrupted run

extension ShardedFusion {
  private static func identityPath(in records: String) -> String { FilePath.join(records, "fusion.json") }

  private static func recordPath(_ shard: Int, in records: String) -> String {
    FilePath.join(records, "shard-\(shard + 1).json")
  }

  /// A file as JSON; nil if it isn't there or was not written to its end.
  private static func json(at path: String) -> JSON? {
    guard let bytes = try? InputFile.record(at: path) else { return nil }
    return try? JSON.parse(bytes.span, path: path)
  }

  /// The records in a folder of the shards that this fusion makes; none if they are of another fusion.
  ///
  /// - Returns: with the records what differs from this fusion.
  private func records(in folder: String) -> (found: [Int: ShardRecord], differences: [String]) {
    guard let recorded = Self.json(at: Self.identityPath(in: folder)) else { return ([:], []) }
    let before = FusionIdentity(json: recorded)
    var differences = before.differences(from: identity)
    // A shard depends on tensors of other shards too where a method looks at the whole model first, so its own tensors'
    // digests would not do.
    if differences.isEmpty { differences = identity.touchedInputs(since: before) }
    guard differences.isEmpty else { return ([:], differences) }
    var found: [Int: ShardRecord] = [:]
    for shard in shards {
      found[shard] = Self.json(at: Self.recordPath(shard, in: folder)).flatMap(ShardRecord.init)
    }
    return (found, [])
  }

  /// Prepares the place of the output; if the options say so, with what an interrupted run left.
  ///
  /// - Parameter notes: told if such a run is not continued because something differs.
  func publication(
    at path: String, options: OutputOptions, notes: inout [String]
  ) throws(EmbedFuseError) -> Publication {
    guard options.resumes else { return try Publication(to: path, options: options) }
    var reasons: [String] = []
    let publication = try Publication(
      to: path, options: options,
      continuing: { folder in
        let (found, differences) = records(in: folder)
        reasons += differences
        return found.count
      })
    if !reasons.isEmpty, !hasRecords(in: publication) {
      notes.append(
        "started anew: the interrupted run differs in \(Set(reasons).sorted().joined(separator: ", "))")
    }
    return publication
  }

  /// True if at least one shard has been finished.
  func hasRecords(in publication: Publication) -> Bool {
    shards.contains { FilePath.kind(of: Self.recordPath($0, in: publication.recordsPath)) == .file }
  }

  /// The shards that an interrupted run has finished, each checked; what else it left is removed.
  func finished(in publication: Publication, pool: WorkerPool, notes: inout [String]) async throws
    -> [Int: ShardRecord]
  {
    var intact: [Int: ShardRecord] = [:]
    let found = records(in: publication.recordsPath).found
    for (shard, record) in found.sorted(by: { $0.key < $1.key }) {
      let path = publication.path(for: layout.shards[shard].path)
      if try await isIntact(shard, record, at: path, pool: pool) {
        intact[shard] = record
      } else {
        notes.append("\(layout.shards[shard].path) of the interrupted run is damaged and made again")
      }
    }
    if !intact.isEmpty {
      notes.append("continued: \(intact.count) of \(shards.count) shards were finished and are intact")
    }
    FinishedFile.removeOthers(
      in: publication.stagingPath, keeping: Set(intact.keys.map { layout.shards[$0].path }))
    let records = Set(intact.keys.map { Self.recordPath($0, in: "") })
    FinishedFile.removeOthers(in: publication.recordsPath, keeping: records)
    try OutputFile.makeDirectories(publication.recordsPath)
    try OutputFile.write(
      identity.json.compactBytes, to: Self.identityPath(in: publication.recordsPath))
    return intact
  }
}
