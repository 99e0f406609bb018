import Checkpoints
import Fusion
import TensorCore

extension ModelComparison {
  /// Compares models with their base, in one pass over the tensors and a second one over tables. Adapters and training
  /// runs are models as they are for a fusion.
  ///
  /// - Parameters:
  ///   - progress: told how many bytes have been read.
  /// - Throws: `EmbedFuseError`: usage without models, or if the memory is too little; missing input or bad data for
  ///   inputs that can't be read, or share no tensor; cannot create if the page would replace a file of one.
  ///   `CancellationError`, or an error with the number ECANCELED, if the task is cancelled.
  public init(
    base: String, models: [String], options: ComparisonOptions = ComparisonOptions(),
    progress: FusionProgress = FusionProgress()
  ) async throws {
    guard !models.isEmpty else {
      throw EmbedFuseError(
        .usage, "there is nothing to compare with the base", remedy: "name the base and at least one model")
    }
    var recipe = Recipe(base: base, models: models)
    recipe.opening = options.opening
    recipe.selection = options.selection
    let (selected, notes) = try recipe.selectingCheckpoints()
    let log = InputLog.current ?? InputLog()
    let (inputs, _) = try log.noting { () throws(EmbedFuseError) in try InputOpening.open(selected) }
    try WrittenPaths(page: options.page).check(keeping: log)
    let alignment = try InputAlignment(comparing: inputs)
    let subjects = try ComparedTensor.all(of: alignment, listedRows: options.rowCount)
    guard !subjects.isEmpty else {
      throw EmbedFuseError(
        .badData, "the models share no tensor of floating-point numbers with \(base.printable)",
        remedy: "compare checkpoints of one architecture")
    }
    let workers = try ComparedTensor.workerCount(subjects, inputs: inputs, options)
    var engine = FusionEngine(
      variants: [
        FusionEngine.Variant(
          tensors: subjects.map(\.planned), method: DeltaComparison(),
          nonFinite: options.replacesNonFinite ? .base : .error)
      ], pool: WorkerPool(width: workers), progress: progress, memory: options.memory - options.reservedMemory
    )
    let results = try await engine.stageResults()
    self.init(
      base: base, models: selected.models, subjects: subjects, results: results,
      tokens: try Self.tokens(of: inputs),
      mismatches: alignment.mismatches.map {
        Mismatch(tensor: $0.tensor, model: $0.input - 1, kind: $0.kind)
      }, notes: notes + alignment.notes)
  }

  private init(
    base: String, models: [String], subjects: [ComparedTensor], results: [Known], tokens: [Int: String],
    mismatches: [Mismatch], notes: [String]
  ) {
    var total = ComparisonTotals(modelCount: models.count)
    var layers: [String: ComparisonTotals] = [:]
    var order: [String] = []
    var (tensors, tables): ([Part], [Table]) = ([], [])
    for (subject, known) in zip(subjects, results) {
      let count = subject.context.shape.elementCount
      let sums = ComparisonSums(known[0], modelCount: subject.models.count)
      var own = ComparisonTotals(modelCount: models.count)
      own.add(sums, elements: count, models: subject.models)
      total.add(sums, elements: count, models: subject.models)
      let layer = subject.context.layer
      if layers[layer] == nil { order.append(layer) }
      layers[layer, default: ComparisonTotals(modelCount: models.count)].add(
        sums, elements: count, models: subject.models)
      tensors.append(
        own.part(
          name: subject.context.name, layer: layer, shape: subject.context.shape.dimensions.map { Int($0) }))
      guard subject.isTable else { continue }
      tables.append(
        Table(
          tensor: subject.context.name,
          rows: subject.rows(known[1], modelCount: models.count, tokens: tokens)))
    }
    self.init(
      base: base, models: models, total: total.part(name: "all"),
      layers: order.map { layers[$0]!.part(name: $0) }, tensors: tensors, tables: tables,
      mismatches: mismatches, notes: notes)
  }

  /// The tokens of the first input that has some.
  private static func tokens(of inputs: [ModelSource]) throws(EmbedFuseError) -> [Int: String] {
    for input in inputs {
      if let tokens = try input.tokens() { return tokens }
    }
    return [:]
  }
}

extension FusionEngine {
  /// Runs the stages of the first variant over all tensors, group by group, without fusing.
  ///
  /// - Returns: what is known of each tensor.
  mutating func stageResults() async throws -> [Known] {
    let all = Array(0..<tensorCount)
    for tensor in all { progress.expect(bytes(of: tensor) * stages(of: 0, for: tensor).count) }
    var results: [Known] = []
    for group in groups(of: all) {
      try await runStages(of: group)
      for tensor in group { results.append(variants[0].facts[tensor]?.known ?? Known()) }
      for tensor in group { variants[0].facts[tensor] = nil }
    }
    return results
  }
}
