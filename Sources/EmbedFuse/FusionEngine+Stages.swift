import Checkpoints
import Fusion
import TensorCore

extension FusionEngine {
  /// One stage of one variant over one tensor.
  struct Item: Sendable {
    let variant: Int
    let tensor: Int
    let context: TensorContext
    let stage: Stage
  }

  /// Some blocks of one tensor.
  private struct Job: Sendable {
    let tensor: Int
    let blocks: Range<Int>
  }

  /// The results of a block, of the item at a place.
  private struct BlockResult: Sendable {
    let item: Int
    let block: Int
    var values: [Double]
  }

  /// The blocks of a job: one, so that no worker waits long for the last; or, where there is a table for each, so many that
  /// all tables stay small. That depends on the tensor alone, since it decides in which order tables are added.
  private static func jobLength(_ count: Int, _ items: [Item]) -> Int {
    guard let item = items.first(where: { $0.stage.scope == .columns }) else { return 1 }
    // A table of 32 sums stands for all.
    let jobs = min(64, max(1, (64 << 20) / (8 * 32 * max(1, item.context.columnCount))))
    return max(4, (count + jobs - 1) / jobs)
  }

  /// Runs one stage of some variants over some tensors and keeps what it finds.
  mutating func run(_ stage: Int, of variants: [Int], over tensors: [Int]) async throws {
    var items: [Item] = []
    for tensor in tensors {
      for variant in variants {
        let stages = stages(of: variant, for: tensor)
        guard stage < stages.count, let context = self.variants[variant].tensors[tensor].context,
          !isTakenAlong(stages[stage], variant: variant, tensor: tensor)
        else { continue }
        items.append(Item(variant: variant, tensor: tensor, context: context, stage: stages[stage]))
      }
    }
    let sums = items.filter { if case .ranks = $0.stage.measure { false } else { true } }
    let searches = items.filter { if case .ranks = $0.stage.measure { true } else { false } }
    if !sums.isEmpty { try await sum(stage, over: sums) }
    if !searches.isEmpty { try await search(stage, over: searches) }
  }

  // MARK: Sums and maxima

  private mutating func sum(_ stage: Int, over items: [Item]) async throws {
    let engine = self
    // What the stage before has read last is still in the cache.
    let backwards = stage % 2 == 1
    let results = try await pass(over: items, backwards: backwards, state: { [BlockResult]() }) {
      places, tensor, blocks, worker, found in
      var tables: [Int: Int] = [:]
      for block in blocks {
        let range = items[places[0]].context.grid[block]
        try worker.read(range, of: engine.sources(of: tensor))
        for place in places {
          let item = items[place]
          let view = engine.block(range, of: item.variant, tensor: tensor)
          let bytes = worker.bytes(
            of: engine.variants[item.variant].tensors[tensor], among: engine, at: tensor)
          let known = engine.known(of: item.variant, tensor: tensor, at: range)
          // Tables of columns are as large for a block as for a tensor: a job has one.
          if let table = tables[place] {
            try worker.runners[item.variant].addColumnSums(
              of: stage, over: view, bytes: bytes, known: known, to: &found[table].values)
            continue
          }
          let values = try worker.runners[item.variant].results(
            of: stage, over: view, bytes: bytes, known: known)
          if item.stage.scope == .columns { tables[place] = found.count }
          found.append(BlockResult(item: place, block: block, values: values))
        }
      }
    }
    var byItem: [[BlockResult]] = items.map { _ in [] }
    for result in results.joined() { byItem[result.item].append(result) }
    var ofModel: [Int: [Int: [Double]]] = [:]
    for (place, item) in items.enumerated() {
      // In the order of blocks, so that sums don't depend on who computed which.
      let blocks = byItem[place].sorted { $0.block < $1.block }.map(\.values)
      if item.stage.scope == .model {
        ofModel[item.variant, default: [:]][item.context.index] = Self.combined(blocks, item.stage)
      } else {
        keep(blocks, stage, of: item)
      }
    }
    for (variant, sums) in ofModel { learn(stage, of: variant, results: sums) }
  }

  private static func combined(_ blocks: [[Double]], _ stage: Stage) -> [Double] {
    blocks.reduce(into: stage.emptyResults) { stage.combine(&$0, $1) }
  }

  /// Keeps what a stage has found out about one tensor, given by its blocks.
  private mutating func keep(_ blocks: [[Double]], _ stage: Int, of item: Item) {
    let context = item.context
    let method = variants[item.variant].method
    var facts = variants[item.variant].facts[item.tensor] ?? TensorFacts()
    func conclude(_ results: [Double], _ known: Known) -> [Double] {
      method.conclude(stage: stage, results: results, in: context, known: known)
    }
    /// The results of long rows, each put together from its pieces.
    func longRows() -> [[Double]] {
      let rows = context.shape.elementCount / context.grid.rowLength
      let pieces = blocks.count / max(1, rows)
      return (0..<rows).map { Self.combined(Array(blocks[$0 * pieces..<($0 + 1) * pieces]), item.stage) }
    }
    switch item.stage.scope {
    case .row:
      let rows = longRows()
      if facts.longRows.isEmpty { facts.longRows = rows.map { _ in facts.known } }
      for (row, results) in rows.enumerated() {
        facts.longRows[row][stage] = conclude(results, facts.longRows[row])
      }
    case .rows where context.grid.splitsRows: set(conclude(longRows().flatMap { $0 }, facts.known))
    case .rows: set(conclude(blocks.flatMap { $0 }, facts.known))
    case .columns:
      var sums = Array(repeating: 0.0, count: context.columnCount * item.stage.resultCount)
      for block in blocks {
        for index in sums.indices { sums[index] += block[index] }
      }
      set(conclude(sums, facts.known))
    case .tensor, .model: set(conclude(Self.combined(blocks, item.stage), facts.known))
    }
    func set(_ results: [Double]) {
      facts.known[stage] = results
      for row in facts.longRows.indices { facts.longRows[row][stage] = results }
    }
    variants[item.variant].facts[item.tensor] = facts
  }

  /// Gives a method what a stage over the model has found, by the tensors' places.
  private mutating func learn(_ stage: Int, of variant: Int, results: [Int: [Double]]) {
    let contexts = variants[variant].tensors.compactMap(\.context)
    variants[variant].method.learn(
      stage: stage, results: contexts.map { results[$0.index] ?? [] }, of: contexts)
  }

  // MARK: Passes

  /// Goes over the blocks of the items' tensors once, from the last to the first if `backwards`; `work` is given the places
  /// of the items of a tensor.
  func pass<State: Sendable>(
    over items: [Item], backwards: Bool = false, state: @escaping @Sendable () -> State,
    work: @escaping @Sendable ([Int], Int, Range<Int>, inout BlockWorker, inout State) throws -> Void
  ) async throws -> [State] {
    var placesOfTensor: [Int: [Int]] = [:]
    var order: [Int] = []
    for (place, item) in items.enumerated() {
      if placesOfTensor[item.tensor] == nil { order.append(item.tensor) }
      placesOfTensor[item.tensor, default: []].append(place)
    }
    let jobs = order.flatMap { tensor in
      let own = placesOfTensor[tensor]!.map { items[$0] }
      let count = own[0].context.grid.count
      let length = Self.jobLength(count, own)
      return stride(from: 0, to: count, by: length).map {
        Job(tensor: tensor, blocks: $0..<min($0 + length, count))
      }
    }
    let engine = self
    let places = placesOfTensor
    return try await pool.run(
      jobs.count,
      worker: { (worker: engine.takeWorker(), state: state()) },
      job: { index, local in
        let job = jobs[backwards ? jobs.count - 1 - index : index]
        try work(places[job.tensor]!, job.tensor, job.blocks, &local.worker, &local.state)
        let grid = items[places[job.tensor]![0]].context.grid
        let elements = grid[job.blocks.upperBound - 1].upperBound - grid[job.blocks.lowerBound].lowerBound
        engine.progress.advance(engine.bytes(of: job.tensor, over: elements))
      },
      gathered: { local in
        engine.shelf.put(local.worker)
        return local.state
      })
  }

  /// A worker whose runners have the methods with what they know by now.
  func takeWorker() -> BlockWorker {
    var worker = shelf.take() ?? BlockWorker(variants: variants)
    for variant in variants.indices { worker.runners[variant].method = variants[variant].method }
    return worker
  }

  /// The bytes read for so many elements of a tensor.
  func bytes(of tensor: Int, over elements: Int) -> Int {
    sources(of: tensor).reduce(0) { $0 + $1.info.elementType.byteCount(ofElements: elements) }
  }

  /// A block as a variant's method sees it.
  func block(_ range: Range<Int>, of variant: Int, tensor: Int) -> FusionBlock {
    let planned = variants[variant].tensors[tensor]
    return FusionBlock(
      tensor: planned.context!, range: range,
      inputs: planned.sources.map { source in
        BlockInput(
          path: source.tensor.path, tensor: source.tensor.info.name,
          elementType: source.tensor.info.elementType)
      }, hasBase: planned.hasBase)
  }
}
