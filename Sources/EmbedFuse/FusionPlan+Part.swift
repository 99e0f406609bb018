import Checkpoints
import TensorCore

/// What the run of one part has done.
public struct PartResult: Sendable {
  /// Which part.
  public let part: OutputPart
  /// Where it waits for the others.
  public let path: String
  /// The files that it holds, of how many the output has.
  public let shards: (made: Int, all: Int)
  /// Bytes of its tensors.
  public let byteCount: Int
  /// Bytes of inputs read to make it, in all passes.
  public let bytesRead: Int
  /// True if it was there already, whole and intact, so that nothing was made.
  public let wasThere: Bool
  /// What should be told.
  public let notes: [String]

  /// The result for programs.
  public var json: JSON {
    [
      "part": .number(part.number), "of": .number(part.count), "path": .string(path),
      "shards": .number(shards.made), "shards_of_output": .number(shards.all), "bytes": .number(byteCount),
      "bytes_read": .number(bytesRead), "was_there": .bool(wasThere),
      "notes": .array(notes.map { .string($0) }),
    ]
  }
}

extension FusionPlan {
  /// Makes one part of a model directory: its share of the shards, about as many bytes as the other parts'. The parts may
  /// be made at the same time on several machines that share a file system; `PartAssembly` puts them together.
  ///
  /// The part appears whole in `OUTPUT.parts`, beside the output. One that is there already is kept if it is intact.
  /// Methods with sums over the whole model read all inputs for every part.
  ///
  /// - Parameter pinned: a manifest, which the part is then held to as far as it goes: the recipe, the files, which tensors
  ///   there are, and the content of the tensors that the part reads and writes. `PartAssembly` checks the rest.
  /// - Throws: `EmbedFuseError`: usage for an output that is one file; bad data if parts of another fusion are there;
  ///   what `run` throws, also if the task is cancelled. Nothing appears then.
  public func run(
    part: OutputPart, of output: String, lockedTo pinned: FusionManifest? = nil,
    options: OutputOptions = OutputOptions(), progress: FusionProgress = FusionProgress()
  ) async throws -> PartResult {
    var options = try options.completed(by: recipe, lockedTo: pinned, for: .directory)
    try checkDivisible(output, part: part, options)
    if let pinned { try checkBeforehand(against: pinned) }
    let fusion = try ShardedFusion(self, options: options, files: try companionFiles(), part: part)
    let folder = PartsFolder(for: output)
    let others = try folder.records()
    if !options.overwrite {
      try folder.check(others, against: fusion.identity, count: part.count, "this fusion")
    }
    let path = folder.path(of: part)
    if let there = others.first(where: { $0.part == part }), there.identity == fusion.identity,
      try await isIntact(there, fusion, at: path, options)
    {
      if let pinned { try check(Array(there.shards.values), of: fusion, against: pinned) }
      return result(of: part, fusion, at: path, bytesRead: 0, wasThere: true, notes: [])
    }
    try OutputFile.makeDirectories(folder.path)
    // What the publication flushes is the part's name in that folder, not the folder's own.
    if options.synchronize { try FinishedFile.synchronizeName(of: folder.path) }
    // One that is damaged, or made by another run at the same time, is replaced by what is the same.
    options.overwrite = true
    var notes: [String] = []
    let publication = try fusion.publication(at: path, options: options, notes: &notes)
    do {
      let (_, records, _) = try await make(
        fusion, in: publication, options: options, progress: progress, notes: &notes)
      if let pinned { try check(Array(records.values), of: fusion, against: pinned) }
      let record = PartRecord(part, of: fusion, options: options, records: records)
      try OutputFile.write(
        record.json.prettyBytes, to: publication.path(for: PartRecord.fileName))
      try log.checkUnchanged()
      try Task.checkCancellation()
      notes += try publication.publish()
    } catch {
      if options.resumes, fusion.hasRecords(in: publication) { publication.keep() }
      throw error
    }
    return result(
      of: part, fusion, at: path, bytesRead: progress.completedBytes, wasThere: false, notes: notes)
  }

  /// Checks that the output can be made in parts, and that it could be given its name in the end.
  private func checkDivisible(_ output: String, part: OutputPart, _ options: OutputOptions)
    throws(EmbedFuseError)
  {
    guard OutputKind(path: output) == .directory else {
      throw EmbedFuseError(
        .usage, "is one file, which can't be made in parts", path: output,
        remedy:
          "name a model directory, with --max-shard-size for the size of its files; embedfuse convert makes one file of it"
      )
    }
    guard options.weightsReport == nil else {
      throw EmbedFuseError(
        .usage, "a part knows the weights of its own tensors only, so it writes no weights report",
        remedy: "leave --weights-report out")
    }
    _ = try options.completed(by: recipe).deltaBase(of: output)
    try WrittenPaths(outputs: [output, PartsFolder(for: output).path(of: part)]).check(keeping: log)
    try Publication.checkReplaceable(
      FilePath.trimmed(output), kind: .directory, overwrite: options.overwrite)
  }

  private func isIntact(
    _ record: PartRecord, _ fusion: ShardedFusion, at path: String, _ options: OutputOptions
  ) async throws -> Bool {
    guard record.shards.count == fusion.shards.count else { return false }
    let pool = WorkerPool(width: options.workers)
    for shard in fusion.shards {
      let file = fusion.layout.shards[shard].path
      guard let known = record.shards[file],
        try await fusion.isIntact(shard, known, at: FilePath.join(path, file), pool: pool)
      else { return false }
    }
    return true
  }

  private func result(
    of part: OutputPart, _ fusion: ShardedFusion, at path: String, bytesRead: Int, wasThere: Bool,
    notes: [String]
  ) -> PartResult {
    let all = fusion.layout.shards
    var notes = self.notes + notes
    if fusion.shards.isEmpty {
      notes.append(
        "part \(part) has nothing to do: the output has \(all.count) \(all.count == 1 ? "file" : "files"); a smaller --max-shard-size makes more"
      )
    }
    return PartResult(
      part: part, path: path, shards: (fusion.shards.count, all.count),
      byteCount: fusion.shards.reduce(0) { $0 + all[$1].byteCount }, bytesRead: bytesRead, wasThere: wasThere,
      notes: notes)
  }
}
