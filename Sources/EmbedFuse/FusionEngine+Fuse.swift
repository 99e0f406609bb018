import Checkpoints
import Fusion
import TensorCore

extension FusionEngine {
  /// What a worker found out about one block, of one variant.
  private struct BlockFinding: Sendable {
    let variant: Int
    let tensor: Int
    let block: Int
    /// The output's digest, then each source's.
    let digests: [ContentDigest]
    let tally: BlockTally?
  }

  /// The blocks that one worker brings to the writers.
  private struct Run: Sendable {
    let tensor: Int
    let range: Range<Int>
  }

  /// Fuses or copies the tensors of a group into the writers.
  ///
  /// - Parameter whenTaken: called once workers have taken up all that there is to do.
  func fuseTogether(
    _ tensors: [Int], into writers: [any CheckpointWriter], whenTaken: @escaping @Sendable () -> Void
  ) async throws -> [[Finding]] {
    // Writers of different kinds ask for runs of different lengths; all take the blocks of the longest.
    let runs = tensors.flatMap { tensor in
      let lengths = writers.map { $0.runLength(of: tensor) }
      return BlockGrid(variants[0].tensors[tensor].info).runs(of: lengths.max()!).map {
        Run(tensor: tensor, range: $0)
      }
    }
    let engine = self
    let gathered = try await pool.run(
      runs.count,
      worker: { (worker: engine.takeWorker(), findings: [BlockFinding]()) },
      job: { index, state in
        do {
          try engine.make(runs[index], into: writers, with: &state.worker, findings: &state.findings)
        } catch {
          for writer in writers { writer.abandon() }
          throw error
        }
      },
      gathered: { state in
        engine.shelf.put(state.worker)
        return state.findings
      }, whenTaken: whenTaken)
    return summarize(gathered.flatMap { $0 }, of: tensors)
  }

  /// Makes the output bytes of a run for every variant, block by block of the grid, and writes each while it is in the cache.
  private func make(
    _ run: Run, into writers: [any CheckpointWriter], with worker: inout BlockWorker,
    findings: inout [BlockFinding]
  ) throws {
    let grid = BlockGrid(variants[0].tensors[run.tensor].info)
    let sources = sources(of: run.tensor)
    var block = grid.index(containing: run.range.lowerBound)
    while block < grid.count, grid[block].lowerBound < run.range.upperBound {
      let range = grid[block]
      try worker.read(range, of: sources)
      let digests = worker.digests(over: range.count, of: sources)
      for (variant, writer) in writers.enumerated() {
        let planned = variants[variant].tensors[run.tensor]
        let tally = try fill(range, of: planned, variant: variant, tensor: run.tensor, with: &worker)
        let size = planned.info.elementType.byteCount(ofElements: range.count)
        let output = worker.outputs[variant]
        let bytes = output.span.extracting(0..<size)
        findings.append(
          BlockFinding(
            variant: variant, tensor: run.tensor, block: block,
            digests: [ContentDigest.of(bytes)] + places(of: planned, at: run.tensor).map { digests[$0] },
            tally: tally))
        try writer.write(bytes, of: run.tensor, at: range)
      }
      progress.advance(bytes(of: run.tensor, over: range.count))
      block += 1
    }
  }

  /// Makes one block's output bytes, fused or copied, at the front of the worker's buffer.
  func fill(
    _ range: Range<Int>, of planned: PlannedTensor, variant: Int, tensor: Int, with worker: inout BlockWorker
  ) throws(EmbedFuseError) -> BlockTally? {
    let type = planned.info.elementType
    let size = type.byteCount(ofElements: range.count)
    if worker.outputs[variant].count < size { worker.outputs[variant] = Array(repeating: 0, count: size) }
    switch planned.making {
    case .copy:
      let stored = worker.bytes[places(of: planned, at: tensor)[0]]
      worker.outputs[variant].replaceSubrange(0..<size, with: stored.prefix(size))
      return nil
    case .fuse(let context):
      var tally = BlockTally(modelCount: context.priors.count)
      let bytes = worker.bytes(of: planned, among: self, at: tensor)
      try worker.runners[variant].fuse(
        block(range, of: variant, tensor: tensor), bytes: bytes,
        known: known(of: variant, tensor: tensor, at: range), as: type,
        by: variants[variant].intermediateType, into: &worker.outputs[variant],
        tally: &tally)
      return tally
    }
  }

  /// Puts the blocks' findings together, tensor by tensor and in the order of blocks.
  private func summarize(_ blocks: [BlockFinding], of tensors: [Int]) -> [[Finding]] {
    var byVariant = variants.map { _ in [Int: [BlockFinding]]() }
    for block in blocks { byVariant[block.variant][block.tensor, default: []].append(block) }
    return variants.indices.map { variant in
      tensors.map { tensor in
        let planned = variants[variant].tensors[tensor]
        let blocks = byVariant[variant][tensor, default: []].sorted { $0.block < $1.block }
        let infos = [planned.info] + planned.sources.map(\.tensor.info)
        let digests = infos.indices.map { j in
          var builder = TensorDigestBuilder(infos[j])
          for block in blocks { builder.set(block.digests[j], ofBlock: block.block) }
          return builder.finish()
        }
        let tally = planned.context.map { context in
          blocks.reduce(into: BlockTally(modelCount: context.priors.count)) { $0.merge($1.tally!) }
        }
        return Finding(
          digest: digests[0], sourceDigests: Array(digests.dropFirst()), tally: tally?.weights,
          rounding: tally?.rounding, magnitudes: magnitudes(of: variant, tensor: tensor))
      }
    }
  }
}
