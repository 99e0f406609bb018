import Checkpoints
import Fusion
import Kernels
import TensorCore

/// Takes one or several methods over the planned tensors: their stages, pass by pass, then the fusing pass into
/// writers. What several fusions read alike is read once for all of them.
struct FusionEngine: Sendable {
  /// One fusion of those that are made together.
  struct Variant: Sendable {
    /// The output's tensors, in the order in which they are written: of all variants the same, from the same sources.
    let tensors: [PlannedTensor]
    /// The method, with what its stages over the model have learned.
    var method: any FusionMethod
    /// What to do about NaN and infinity.
    let nonFinite: NonFinitePolicy
    /// The type that results are rounded to before the output's; nil to round once.
    var intermediateType: ElementType?
    /// What is known of the tensors whose stages have been run, by place.
    var facts: [Int: TensorFacts] = [:]
  }

  /// What stages have found out about one tensor.
  struct TensorFacts: Sendable {
    /// The results over the tensor and its tables.
    var known = Known()
    /// The results of stages over rows that are longer than a block, by row.
    var longRows: [Known] = []
  }

  /// The fusions.
  var variants: [Variant]
  /// Who does the work.
  let pool: WorkerPool
  /// Where to count the bytes read.
  let progress: FusionProgress
  /// The bytes that searches for ranks may take in each of the groups that are under way.
  let selectionBytes: Int
  /// The buffers of workers between passes.
  let shelf = WorkerShelf()

  init(variants: [Variant], pool: WorkerPool, progress: FusionProgress, memory: Int) {
    self.variants = variants
    self.pool = pool
    self.progress = progress
    selectionBytes = max(8 << 20, memory / 4) / Self.groupsAtOnce
  }

  /// The number of tensors.
  var tensorCount: Int { variants[0].tensors.count }

  /// The stages of a variant for a tensor; none for one that is copied.
  func stages(of variant: Int, for tensor: Int) -> [Stage] {
    guard let context = variants[variant].tensors[tensor].context else { return [] }
    return variants[variant].method.stages(for: context)
  }

  /// How many stages of a variant must be known of all tensors before any is fused.
  func modelStageCount(of variant: Int) -> Int {
    (0..<tensorCount).lazy.map { stages(of: variant, for: $0) }.first { !$0.isEmpty }
      .flatMap { $0.lastIndex { $0.scope == .model } }.map { $0 + 1 } ?? 0
  }

  /// True if a stage needs no pass of its own: rows that fit into a block are seen to as they come by.
  func isTakenAlong(_ stage: Stage, variant: Int, tensor: Int) -> Bool {
    stage.scope == .row && variants[variant].tensors[tensor].context?.grid.splitsRows == false
  }

  /// The bytes of the sources that are read for a tensor.
  func bytes(of tensor: Int) -> Int {
    sources(of: tensor).reduce(0) { $0 + $1.info.byteCount }
  }

  /// The tensors read for an output tensor, of all variants, each once.
  func sources(of tensor: Int) -> [StoredTensor] { allSources(of: tensor).map(\.tensor) }

  /// The same with the inputs that they come from.
  private func allSources(of tensor: Int) -> [PlannedTensor.Source] {
    guard variants.count > 1 else { return variants[0].tensors[tensor].sources }
    var result: [PlannedTensor.Source] = []
    for variant in variants {
      for source in variant.tensors[tensor].sources where !result.contains(where: { $0.isSame(as: source) }) {
        result.append(source)
      }
    }
    return result
  }

  /// Where a variant's sources stand among all that are read for a tensor.
  func places(of planned: PlannedTensor, at tensor: Int) -> [Int] {
    guard variants.count > 1 else { return Array(planned.sources.indices) }
    let all = allSources(of: tensor)
    return planned.sources.map { source in all.firstIndex { $0.isSame(as: source) }! }
  }

  /// What is known of a tensor for the block at `range`.
  func known(of variant: Int, tensor: Int, at range: Range<Int>) -> Known {
    guard let facts = variants[variant].facts[tensor] else { return Known() }
    guard !facts.longRows.isEmpty, let grid = variants[variant].tensors[tensor].context?.grid else {
      return facts.known
    }
    return facts.longRows[range.lowerBound / grid.rowLength]
  }
}

// MARK: - The course of a fusion

extension FusionEngine {
  /// What the fusing pass found out about one tensor.
  struct Finding: Sendable {
    /// The digest of its output bytes.
    let digest: ContentDigest
    /// The digest of each source's bytes.
    let sourceDigests: [ContentDigest]
    /// The weights that each model was given; nil for a copy.
    let tally: WeightTally?
    /// What rounding did; nil for a copy.
    let rounding: RoundingCounts?
    /// The magnitudes that they come from, if a group as large as a tensor has any.
    let magnitudes: [Double]
  }

  /// Fuses or copies every tensor into the writers, one for each variant, whose tensors are the variant's.
  ///
  /// - Returns: for each variant what was found out about each tensor.
  mutating func fuse(into writers: [any CheckpointWriter]) async throws -> [[Finding]] {
    let all = Array(0..<tensorCount)
    announceWork(on: all)
    try await learn()
    return try await fuse(all, into: writers)
  }

  /// Fuses or copies some of the tensors, once the stages over the model have been run.
  ///
  /// - Returns: for each variant what was found out about each of these tensors.
  func fuse(_ tensors: [Int], into writers: [any CheckpointWriter]) async throws -> [[Finding]] {
    let groups = groups(of: tensors)
    let engine = self
    let order = GroupOrder()
    let atOnce = overlaps(tensors) ? Self.groupsAtOnce : 1
    let found = try await withThrowingTaskGroup(of: (Int, [[Finding]]).self) { tasks in
      var found: [(Int, [[Finding]])] = []
      for (number, group) in groups.enumerated() {
        if number >= atOnce, let next = try await tasks.next() { found.append(next) }
        tasks.addTask {
          do {
            // A copy, which is given up with all that is known of the group.
            var engine = engine
            try await engine.runStages(of: group)
            try await order.waitForTurn(of: number)
            return (number, try await engine.fuseTogether(group, into: writers) { order.passOn() })
          } catch {
            order.fail(with: error)
            throw error
          }
        }
      }
      for try await next in tasks { found.append(next) }
      return found.sorted { $0.0 < $1.0 }.map(\.1)
    }
    return variants.indices.map { variant in found.flatMap { $0[variant] } }
  }

  /// True if the groups of some tensors may be taken through their stages at the same time, since little is known of each
  /// tensor: no table.
  private func overlaps(_ tensors: [Int]) -> Bool {
    tensors.allSatisfy { tensor in
      variants.indices.allSatisfy { variant in
        stages(of: variant, for: tensor).allSatisfy { stage in
          stage.scope == .tensor || stage.scope == .model
            || isTakenAlong(stage, variant: variant, tensor: tensor)
        }
      }
    }
  }

  /// The magnitudes of every tensor, without fusing: for a report.
  mutating func measure() async throws -> [[Double]] {
    try await learn()
    var magnitudes: [[Double]] = []
    for group in groups(of: Array(0..<tensorCount)) {
      try await runStages(of: group)
      for tensor in group { magnitudes.append(self.magnitudes(of: 0, tensor: tensor)) }
      forget(group)
    }
    return magnitudes
  }

  /// The method's magnitudes of a tensor.
  func magnitudes(of variant: Int, tensor: Int) -> [Double] {
    guard let context = variants[variant].tensors[tensor].context else { return [] }
    return variants[variant].method.magnitudes(
      of: context, known: variants[variant].facts[tensor]?.known ?? Known())
  }

  /// Runs the stages over the model: all tensors, stage by stage.
  mutating func learn() async throws {
    let counts = variants.indices.map { modelStageCount(of: $0) }
    for stage in 0..<(counts.max() ?? 0) {
      try await run(stage, of: variants.indices.filter { stage < counts[$0] }, over: Array(0..<tensorCount))
    }
  }

  /// Runs the other stages over some tensors, all of them before the tensors are fused.
  mutating func runStages(of tensors: [Int]) async throws {
    let first = variants.indices.map { modelStageCount(of: $0) }
    let last =
      tensors.flatMap { tensor in variants.indices.map { stages(of: $0, for: tensor).count } }.max() ?? 0
    for stage in 0..<last {
      try await run(stage, of: variants.indices.filter { stage >= first[$0] }, over: tensors)
    }
  }

  /// The passes over a tensor that a stage takes, as a rule.
  private func passCount(of stage: Int, variant: Int, tensor: Int) -> Int {
    let stages = stages(of: variant, for: tensor)
    guard case .ranks = stages[stage].measure else {
      return isTakenAlong(stages[stage], variant: variant, tensor: tensor) ? 0 : 1
    }
    return canSample(stage, variant: variant, tensor: tensor) ? 1 : 2
  }

  private mutating func forget(_ tensors: [Int]) {
    for variant in variants.indices {
      for tensor in tensors { variants[variant].facts[tensor] = nil }
    }
  }

  /// The groups that are under way at a time: while the last blocks of one are worked on, and what was found in them is put
  /// together, other workers are at the next.
  private static let groupsAtOnce = 2

  /// The most bytes of inputs in a group of several tensors.
  private static let groupBytes = 256 << 20

  /// The most tensors in a group.
  private static let groupLimit = 16_384

  /// Tensors in groups that are taken through stages and fusing together, so that later passes find the inputs in
  /// the cache: a few for which there are stages, all where there are none.
  func groups(of tensors: [Int]) -> [[Int]] {
    let first = variants.indices.map { modelStageCount(of: $0) }
    var groups: [[Int]] = [[]]
    var (bytes, selection) = (0, 0)
    for tensor in tensors {
      var needed = 0
      var hasStages = false
      for variant in variants.indices {
        for stage in stages(of: variant, for: tensor).dropFirst(first[variant])
        where !isTakenAlong(stage, variant: variant, tensor: tensor) {
          hasStages = true
          if case .ranks(let channels, _) = stage.measure {
            // All keys, or counts, or some of the keys.
            let count = variants[variant].tensors[tensor].info.shape.elementCount
            needed += channels * (count <= RankSelection.collectLimit ? 32 * count : max(1 << 20, 3 * count))
          }
        }
      }
      let size = hasStages ? self.bytes(of: tensor) : 0
      let isFull = bytes > 0 && (bytes + size > Self.groupBytes || selection + needed > selectionBytes)
      // What is found out about blocks is put together at the end of a group.
      if isFull || groups[groups.count - 1].count >= Self.groupLimit {
        groups.append([])
        (bytes, selection) = (0, 0)
      }
      groups[groups.count - 1].append(tensor)
      bytes += size
      selection += needed
    }
    return groups
  }

  /// Tells the progress how many bytes will be read if only these tensors are fused: in the stages over the model all
  /// tensors are.
  func announceWork(on tensors: [Int]) {
    let fused = Set(tensors)
    let first = variants.indices.map { modelStageCount(of: $0) }
    for tensor in 0..<tensorCount {
      let passes = variants.indices.map { variant in
        let stages = stages(of: variant, for: tensor)
        return stages.indices.prefix(fused.contains(tensor) ? stages.count : first[variant]).reduce(0) {
          $0 + passCount(of: $1, variant: variant, tensor: tensor)
        }
      }
      progress.expect(bytes(of: tensor) * ((fused.contains(tensor) ? 1 : 0) + (passes.max() ?? 0)))
    }
  }
}
