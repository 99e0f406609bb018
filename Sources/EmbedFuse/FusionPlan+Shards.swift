import Checkpoints
import TensorCore

extension FusionPlan {
  /// Carries the plan out into a model directory, shard by shard.
  func runByShards(
    to path: String, lockedTo pinned: FusionManifest?, options: OutputOptions, progress: FusionProgress
  ) async throws -> FusionResult {
    let files = try companionFiles()
    let fusion = try ShardedFusion(self, options: options, files: files)
    var notes: [String] = []
    let publication = try fusion.publication(at: path, options: options, notes: &notes)
    let report = try options.reportPublication()
    do {
      let (output, records, pool) = try await make(
        fusion, in: publication, options: options, progress: progress, notes: &notes)
      let findings = fusion.findings(records)
      let manifest = try FusionManifest(
        self, digests: .init(self, findings: findings), files: files, writing: options.json(for: .directory))
      if let pinned { try manifest.check(against: pinned, path: path) }
      try output.finish(files: files, manifest: OutputManifest(manifest))
      let weights = try WeightsReport(
        self, findings: findings,
        magnitudes: report == nil ? nil : try await measuredByTensor(pool: pool))
      if let report { try weights.write(into: report) }
      try log.checkUnchanged()
      try Task.checkCancellation()
      notes += try publication.publish()
      try report?.publish()
      var result = result(at: path, manifest: manifest, report: weights, progress: progress)
      result.notes += notes
      return result
    } catch {
      // Where the output has appeared meanwhile, made by another run, nothing is left to be continued.
      let isTaken = !options.overwrite && FilePath.kind(of: path) != nil
      if options.resumes, !isTaken, fusion.hasRecords(in: publication) { publication.keep() }
      throw error
    }
  }

  /// Makes the shards that aren't finished.
  ///
  /// - Returns: the output, whose other files are still to be written, the records of its shards, and who made them.
  func make(
    _ fusion: ShardedFusion, in publication: Publication, options: OutputOptions, progress: FusionProgress,
    notes: inout [String]
  ) async throws -> (FusionOutput, [Int: ShardRecord], WorkerPool) {
    var engine = try await Self.engine(for: [self], options, kinds: [.directory], progress: progress)
    let finished = try await fusion.finished(in: publication, pool: engine.pool, notes: &notes)
    let output = try FusionOutput(
      OutputContents(self), publication: publication, options: options, deltaBase: nil,
      workers: engine.pool.width, manifest: nil, shards: fusion.shards.filter { finished[$0] == nil })
    let records = try await fusion.fuse(with: &engine, into: output, of: publication, finished: finished)
    return (output, records, engine.pool)
  }
}
