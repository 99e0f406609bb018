import Checkpoints
import Fusion
import TensorCore

// MARK: - Stages over ranks

extension FusionEngine {
  /// One search: for a tensor, or for all tensors of a variant, through which places then count.
  private struct Search: Sendable {
    /// The items, by their places, and the place of the first element of each.
    var items: [Int] = []
    var offsets: [Int] = []
    /// The number of elements.
    var count = 0
    var ranks: [[Rank]] = []
  }

  /// A search that workers share.
  private final class SharedSelection: Sendable {
    let state: Locked<RankSelection>
    init(_ selection: RankSelection) { state = Locked(selection) }
    var isComplete: Bool { state.withLock { $0.isComplete } }
    var part: RankSelection.Part { state.withLock { RankSelection.Part(of: $0) } }
  }

  /// An item with the search that it is part of and the place of its first element there.
  private struct SearchedItem: Sendable {
    let item: Item
    let search: Int
    let offset: Int
  }

  /// Runs a stage over ranks of some variants over some tensors.
  mutating func search(_ stage: Int, over items: [Item]) async throws {
    let searches = searches(of: stage, over: items)
    let selections = try await begin(searches, stage, items)
    let searched = searches.enumerated().flatMap { number, search in
      zip(search.items, search.offsets).map {
        (place: $0, SearchedItem(item: items[$0], search: number, offset: $1))
      }
    }.sorted { $0.place < $1.place }.map(\.1)
    while true {
      let open = searched.filter { !selections[$0.search].isComplete }
      guard !open.isEmpty else { break }
      try await searchOnce(stage, open, selections)
      let ending = Set(open.map(\.search)).sorted().map { selections[$0] }
      _ = try await pool.run(
        ending.count, worker: { 0 }, job: { place, _ in ending[place].state.withLock { $0.endPass() } },
        gathered: { $0 })
    }
    for found in searched where found.item.stage.scope != .model {
      keep([selections[found.search].state.withLock { $0.results }], stage, ofSearch: found.item)
    }
    for (search, selection) in zip(searches, selections) where items[search.items[0]].stage.scope == .model {
      let results = selection.state.withLock { $0.results }
      let variant = items[search.items[0]].variant
      let contexts = variants[variant].tensors.compactMap(\.context)
      variants[variant].method.learn(stage: stage, results: contexts.map { _ in results }, of: contexts)
    }
  }

  private func searches(of stage: Int, over items: [Item]) -> [Search] {
    var searches: [Search] = []
    var ofModel: [Int: Int] = [:]
    for (place, item) in items.enumerated() {
      let isOverModel = item.stage.scope == .model
      let number = isOverModel ? ofModel[item.variant] ?? searches.count : searches.count
      if number == searches.count { searches.append(Search()) }
      if isOverModel { ofModel[item.variant] = number }
      searches[number].items.append(place)
      searches[number].offsets.append(searches[number].count)
      searches[number].count += item.context.shape.elementCount
    }
    for number in searches.indices {
      let item = items[searches[number].items[0]]
      let known = variants[item.variant].facts[item.tensor]?.known ?? Known()
      searches[number].ranks = variants[item.variant].method.ranks(
        stage: stage, elementCount: searches[number].count, in: item.context, known: known)
    }
    return searches
  }

  /// Begins searches, with samples of their keys where these can be had.
  private func begin(_ searches: [Search], _ stage: Int, _ items: [Item]) async throws -> [SharedSelection] {
    let engine = self
    let total = searches.reduce(0) { $0 + $1.count }
    let begun = try await pool.run(
      searches.count, worker: { (worker: engine.takeWorker(), selections: [(Int, SharedSelection)]()) },
      job: { number, local in
        let search = searches[number]
        let sample = engine.sample(stage, search.items.map { items[$0] }, with: &local.worker)
        // A key and its place are 16 bytes, and a part of them is there twice when it is taken in.
        let share = Double(search.count) / Double(max(1, total))
        let selection = RankSelection(
          ranks: search.ranks, count: search.count, sample: sample,
          limit: Int(Double(engine.selectionBytes) * share) / 32)
        local.selections.append((number, SharedSelection(selection)))
      },
      gathered: { local in
        engine.shelf.put(local.worker)
        return local.selections
      })
    return begun.joined().sorted { $0.0 < $1.0 }.map(\.1)
  }

  /// True if some of the keys of a stage can be had without the others.
  func canSample(_ stage: Int, variant: Int, tensor: Int) -> Bool {
    let method = variants[variant].method
    guard let context = variants[variant].tensors[tensor].context,
      case .ranks(_, let keys) = stages(of: variant, for: tensor)[stage].measure
    else { return false }
    return keys != .written && !method.wantsWholeRows
      && !stages(of: variant, for: tensor)[..<stage].contains { $0.scope == .row }
      && context.shape.elementCount > 0 && sources(of: tensor).allSatisfy(\.storage.readsAnywhere)
  }

  /// Some of the keys of the items of a search; nil if there are few, or if they can't be had one by one.
  private func sample(_ stage: Int, _ items: [Item], with worker: inout BlockWorker) -> KeySample? {
    let counts = items.map(\.context.shape.elementCount)
    guard counts.reduce(0, +) > RankSelection.collectLimit,
      items.allSatisfy({ canSample(stage, variant: $0.variant, tensor: $0.tensor) }),
      case .ranks(let channels, _) = items[0].stage.measure
    else { return nil }
    let runs = KeySample.runs(of: counts)
    var sample = KeySample(channels: channels, count: runs.joined().count * KeySample.runLength)
    for (item, runs) in zip(items, runs) where !runs.isEmpty {
      do {
        try worker.read(runs, of: sources(of: item.tensor))
        try worker.runners[item.variant].keys(
          of: stage, over: block(0..<runs.count * KeySample.runLength, of: item.variant, tensor: item.tensor),
          bytes: worker.bytes(of: variants[item.variant].tensors[item.tensor], among: self, at: item.tensor),
          known: known(of: item.variant, tensor: item.tensor, at: 0..<1), channels: channels
        ) { channel, keys, _ in
          sample.add(keys, channel: channel)
        }
      } catch {
        // The pass over all elements meets what is wrong here, and can say where it is.
        return nil
      }
    }
    return sample
  }

  private mutating func keep(_ results: [[Double]], _ stage: Int, ofSearch item: Item) {
    var facts = variants[item.variant].facts[item.tensor] ?? TensorFacts()
    let concluded = variants[item.variant].method.conclude(
      stage: stage, results: results[0], in: item.context, known: facts.known)
    facts.known[stage] = concluded
    for row in facts.longRows.indices { facts.longRows[row][stage] = concluded }
    variants[item.variant].facts[item.tensor] = facts
  }

  /// One pass of the searches that aren't complete.
  private func searchOnce(
    _ stage: Int, _ searched: [SearchedItem], _ selections: [SharedSelection]
  ) async throws {
    let engine = self
    // What a worker has counted of the tensor at hand is put together with the others' when it takes up another.
    let flush: @Sendable (inout OpenParts) -> Void = { open in
      for (place, part) in zip(open.places, open.parts) {
        selections[searched[place].search].state.withLock { $0.absorb(part) }
      }
      open = OpenParts()
    }
    let items = searched.map(\.item)
    let left = try await pass(over: items, state: { OpenParts() }) { places, tensor, blocks, worker, open in
      if open.tensor != tensor {
        flush(&open)
        let parts = places.map { selections[searched[$0].search].part }
        open = OpenParts(tensor: tensor, places: places, parts: parts)
      }
      for block in blocks {
        let range = items[places[0]].context.grid[block]
        try worker.read(range, of: engine.sources(of: tensor))
        for (index, place) in places.enumerated() {
          let item = items[place]
          try worker.runners[item.variant].search(
            by: stage, over: engine.block(range, of: item.variant, tensor: tensor),
            bytes: worker.bytes(of: engine.variants[item.variant].tensors[tensor], among: engine, at: tensor),
            known: engine.known(of: item.variant, tensor: tensor, at: range), offset: searched[place].offset,
            into: &open.parts[index])
        }
      }
    }
    for var open in left { flush(&open) }
  }

  /// What one worker has counted of one tensor.
  private struct OpenParts: Sendable {
    var tensor: Int?
    var places: [Int] = []
    var parts: [RankSelection.Part] = []
  }
}
