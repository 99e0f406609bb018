import Checkpoints
import Fusion
import TensorCore

/// Takes a method over the planned tensors: its stages, pass by pass, then the fusing pass into a writer.
struct FusionEngine: Sendable {
  /// The output's tensors, in the order in which they are written.
  let tensors: [PlannedTensor]
  /// True if the first source of every fused tensor is the base.
  let hasBase: Bool
  /// The method, with what its stages have learned so far.
  var method: any FusionMethod
  /// What to do about NaN and infinity.
  let nonFinite: NonFinitePolicy
  /// Who does the work.
  let pool: WorkerPool
  /// Where to count the bytes read.
  let progress: FusionProgress

  /// Sums over rows that are longer than a block: by tensor, then by row, all row stages one after the other.
  private var longRows: [Int: [[Double]]] = [:]

  init(
    tensors: [PlannedTensor], hasBase: Bool, method: any FusionMethod,
    nonFinite: NonFinitePolicy,
    pool: WorkerPool, progress: FusionProgress
  ) {
    self.tensors = tensors
    self.hasBase = hasBase
    self.method = method
    self.nonFinite = nonFinite
    self.pool = pool
    self.progress = progress
  }

  /// The number of models.
  private var modelCount: Int {
    tensors.lazy.compactMap(\.context).first?.priors.count ?? 0
  }

  /// The bytes of all sources that a pass over these tensors reads.
  private func bytes(of tensors: [PlannedTensor]) -> Int {
    tensors.reduce(0) { $0 + $1.sources.reduce(0) { $0 + $1.tensor.info.byteCount } }
  }
}

// MARK: - Stages

extension FusionEngine {
  /// A block of the grid of one tensor.
  private struct BlockIndex: Sendable {
    let tensor: Int
    let block: Int
  }

  /// The passes in which stage `stage` must read tensors ahead of the fusing pass.
  private func tensorsToSum(_ stage: Stage) -> [Int] {
    tensors.indices.filter { index in
      guard let context = tensors[index].context else { return false }
      return stage.scope == .tensor || context.grid.splitsRows
    }
  }

  /// Tells the progress how many bytes the stages and the fusing pass will read.
  func announceWork() {
    for stage in method.stages(modelCount: modelCount) {
      progress.expect(bytes(of: tensorsToSum(stage).map { tensors[$0] }))
    }
    progress.expect(bytes(of: tensors))
  }

  /// Goes through the method's stages: sums them over all blocks and lets the method learn from them.
  mutating func learn() async throws {
    let contexts = tensors.compactMap(\.context)
    for (index, stage) in method.stages(modelCount: modelCount).enumerated() {
      let sums = try await blockSums(of: index, over: tensorsToSum(stage))
      switch stage.scope {
      case .tensor:
        method.learn(
          stage: index,
          sums: contexts.map { context in
            // In the order of blocks, so that the sum doesn't depend on who computed which.
            sums[context.index, default: []].reduce(into: Array(repeating: 0.0, count: stage.sumCount)) {
              total, block in
              for s in total.indices { total[s] += block[s] }
            }
          }, of: contexts)
      case .row:
        for (tensor, blocks) in sums { append(blocks, toRowsOf: contexts[tensor], sumCount: stage.sumCount) }
      }
    }
  }

  /// Adds a row stage's sums, given by the blocks into which long rows are cut, to what is known of the rows.
  private mutating func append(_ blocks: [[Double]], toRowsOf context: TensorContext, sumCount: Int) {
    let rows = context.shape.elementCount / context.grid.rowLength
    let pieces = blocks.count / max(1, rows)
    var known = longRows[context.index] ?? Array(repeating: [], count: rows)
    for row in 0..<rows {
      known[row] += blocks[row * pieces..<(row + 1) * pieces].reduce(
        into: Array(repeating: 0.0, count: sumCount)
      ) {
        for s in $0.indices { $0[s] += $1[s] }
      }
    }
    longRows[context.index] = known
  }

  /// The sums of a stage by tensor (its context's index) and block.
  private func blockSums(of stage: Int, over indices: [Int]) async throws -> [Int: [[Double]]] {
    let jobs = indices.flatMap { tensor in
      (0..<tensors[tensor].context!.grid.count).map { BlockIndex(tensor: tensor, block: $0) }
    }
    let engine = self
    let gathered = try await pool.run(
      jobs.count,
      worker: { (worker: engine.worker(), sums: [(job: Int, sums: [Double])]()) },
      job: { index, state in
        let job = jobs[index]
        let tensor = engine.tensors[job.tensor]
        let context = tensor.context!
        let range = context.grid[job.block]
        try state.worker.read(range, of: tensor)
        let sums = try state.worker.runner.sums(
          of: stage, over: state.worker.block(range, of: tensor, in: context, hasBase: engine.hasBase),
          bytes: state.worker.bytes, rowSums: engine.rowSums(of: context, at: range))
        state.sums.append((index, sums))
        engine.progress.advance(engine.bytes(of: tensor, over: range))
      },
      gathered: { $0.sums })
    var result: [Int: [[Double]]] = [:]
    for (job, sums) in gathered.joined().sorted(by: { $0.job < $1.job }) {
      result[tensors[jobs[job].tensor].context!.index, default: []].append(sums)
    }
    return result
  }

  /// What is known of the long row that a block is a piece of; empty where rows aren't split.
  private func rowSums(of context: TensorContext, at range: Range<Int>) -> [Double] {
    longRows[context.index]?[range.lowerBound / context.grid.rowLength] ?? []
  }

  private func worker() -> BlockWorker {
    BlockWorker(method: method, nonFinite: nonFinite)
  }

  private func bytes(of tensor: PlannedTensor, over range: Range<Int>) -> Int {
    tensor.sources.reduce(0) { $0 + $1.tensor.info.elementType.byteCount(ofElements: range.count) }
  }
}

// MARK: - The fusing pass

extension FusionEngine {
  /// What the fusing pass found out about one tensor.
  struct Finding: Sendable {
    /// The digest of its output bytes.
    let digest: ContentDigest
    /// The digest of each source's bytes.
    let sourceDigests: [ContentDigest]
    /// The weights that each model was given; nil for a copy.
    let tally: WeightTally?
  }

  /// What a worker found out about one block.
  private struct BlockFinding: Sendable {
    let tensor: Int
    let block: Int
    /// The output's digest, then each source's.
    let digests: [ContentDigest]
    let tally: WeightTally?
  }

  /// One call of the writer.
  private struct Run: Sendable {
    let tensor: Int
    let range: Range<Int>
  }

  /// Fuses or copies every tensor into `writer`, whose tensors are this engine's in the same order.
  func fuse(into writer: any CheckpointWriter) async throws -> [Finding] {
    let runs = tensors.indices.flatMap { tensor in
      BlockGrid(tensors[tensor].info).runs(of: writer.runLength(of: tensor)).map {
        Run(tensor: tensor, range: $0)
      }
    }
    let engine = self
    let gathered = try await pool.run(
      runs.count,
      worker: { (worker: engine.worker(), findings: [BlockFinding]()) },
      job: { index, state in
        let run = runs[index]
        let size = engine.tensors[run.tensor].info.elementType.byteCount(ofElements: run.range.count)
        do {
          try engine.make(run, with: &state.worker, findings: &state.findings)
          try writer.write(state.worker.output.span.extracting(0..<size), of: run.tensor, at: run.range)
        } catch {
          writer.abandon()
          throw error
        }
      },
      gathered: { $0.findings })
    return summarize(gathered.flatMap { $0 })
  }

  /// Makes the output bytes of a run, block by block of the grid.
  private func make(
    _ run: Run, with worker: inout BlockWorker, findings: inout [BlockFinding]
  ) throws {
    let tensor = tensors[run.tensor]
    let type = tensor.info.elementType
    let size = type.byteCount(ofElements: run.range.count)
    if worker.output.count < size { worker.output = Array(repeating: 0, count: size) }
    let grid = BlockGrid(tensor.info)
    var block = grid.index(startingAt: run.range.lowerBound)
    while block < grid.count, grid[block].lowerBound < run.range.upperBound {
      let range = grid[block]
      let offset = type.byteCount(ofElements: range.lowerBound - run.range.lowerBound)
      let blockSize = type.byteCount(ofElements: range.count)
      try worker.read(range, of: tensor)
      var tally: WeightTally?
      switch tensor.making {
      case .copy:
        worker.output.replaceSubrange(offset..<offset + blockSize, with: worker.bytes[0].prefix(blockSize))
      case .fuse(let context):
        var counted = WeightTally(modelCount: context.priors.count)
        let whole = worker.block(range, of: tensor, in: context, hasBase: hasBase)
        try worker.runner.fuse(
          whole, bytes: worker.bytes, rowSums: rowSums(of: context, at: range), as: type,
          into: &worker.output, at: offset, tally: &counted)
        tally = counted
      }
      var digests = [ContentDigest.of(worker.output.span.extracting(offset..<offset + blockSize))]
      for (j, source) in tensor.sources.enumerated() {
        let stored = source.tensor.info.elementType.byteCount(ofElements: range.count)
        let bytes = worker.bytes[j]
        digests.append(ContentDigest.of(bytes.span.extracting(0..<stored)))
      }
      findings.append(BlockFinding(tensor: run.tensor, block: block, digests: digests, tally: tally))
      progress.advance(bytes(of: tensor, over: range))
      block += 1
    }
  }

  /// Puts the blocks' findings together, tensor by tensor and in the order of blocks.
  private func summarize(_ blocks: [BlockFinding]) -> [Finding] {
    var byTensor: [[BlockFinding]] = Array(repeating: [], count: tensors.count)
    for block in blocks { byTensor[block.tensor].append(block) }
    return zip(tensors, byTensor).map { tensor, blocks in
      let blocks = blocks.sorted { $0.block < $1.block }
      let infos = [tensor.info] + tensor.sources.map(\.tensor.info)
      let digests = infos.indices.map { j in
        var builder = TensorDigestBuilder(infos[j])
        for block in blocks { builder.set(block.digests[j], ofBlock: block.block) }
        return builder.finish()
      }
      let tally = tensor.context.map { context in
        blocks.reduce(into: WeightTally(modelCount: context.priors.count)) { $0.merge($1.tally!) }
      }
      return Finding(digest: digests[0], sourceDigests: Array(digests.dropFirst()), tally: tally)
    }
  }
}
