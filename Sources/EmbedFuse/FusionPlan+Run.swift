import Checkpoints
import Fusion
import TensorCore

/// What a fusion has done.
public struct FusionResult: Sendable {
  /// Where the output stands.
  public let path: String
  /// The tensors that were fused.
  public let fusedTensors: Int
  /// The tensors that were carried over from the base.
  public let copiedTensors: Int
  /// Bytes of tensors read, in all passes.
  public let bytesRead: Int
  /// Bytes of tensors written, before compression.
  public let bytesWritten: Int
  /// The models that were fused, in order.
  public let models: [String]
  /// The mean weight that each model was given, in the order of the models. They sum to 1, but for methods that sum
  /// weighted deltas without dividing.
  public let weightShares: [Double]
  /// What should be told.
  public internal(set) var notes: [String]
  /// What rounding did.
  public let rounding: RoundingReport
  /// The record of how the output was made.
  public let manifest: FusionManifest
}

extension FusionPlan {
  /// Carries the plan out and publishes the output at `path`, whose ending chooses its kind: `.safetensors`,
  /// `.h5`, `.npz`, `.gguf`, else a model directory.
  ///
  /// - Parameters:
  ///   - path: where the output is to stand; its folder must be there.
  ///   - options: how it is written.
  ///   - progress: told how many bytes have been read.
  /// - Throws: `EmbedFuseError`; nothing then stands at `path` that did not before. `CancellationError`, or
  ///   an error with the number ECANCELED, if the task is cancelled, with the same promise.
  @discardableResult
  public func run(
    to path: String, options: OutputOptions = OutputOptions(), progress: FusionProgress = FusionProgress()
  ) async throws -> FusionResult {
    try await Self.run([self], to: [path], options: options, progress: progress)[0]
  }

  /// Carries out several plans for the same inputs, as `plans(for:)` makes them, and publishes their outputs: what they
  /// read is read once for all of them.
  ///
  /// - Parameter pins: a manifest for each output, which then is only published if it comes out as the manifest has
  ///   it, from the inputs that the manifest has; empty to publish whatever comes out.
  /// - Throws: `EmbedFuseError` or `CancellationError`; nothing is published then unless writing itself had been
  ///   completed for all of them.
  @discardableResult
  public static func run(
    _ plans: [FusionPlan], to paths: [String], lockedTo pins: [FusionManifest] = [],
    options: OutputOptions = OutputOptions(), progress: FusionProgress = FusionProgress()
  ) async throws -> [FusionResult] {
    precondition(plans.count == paths.count && !plans.isEmpty)
    guard pins.isEmpty || pins.count == plans.count else {
      throw EmbedFuseError(
        .usage, "there are \(plans.count) outputs, but \(pins.count) manifests to hold them to",
        remedy: "name a manifest for each output, in the order of the recipe")
    }
    for (plan, pinned) in zip(plans, pins) { try plan.checkBeforehand(against: pinned) }
    return try await InputLog.$current.withValue(plans[0].log) {
      try await carryOut(plans, to: paths, lockedTo: pins, options: options, progress: progress)
    }
  }

  private static func carryOut(
    _ plans: [FusionPlan], to paths: [String], lockedTo pins: [FusionManifest], options: OutputOptions,
    progress: FusionProgress
  ) async throws -> [FusionResult] {
    guard plans.count == 1 || options.weightsReport == nil else {
      throw EmbedFuseError(
        .usage, "a weights report is written for one output, but there are \(plans.count)",
        remedy: "leave --weights-report out, or write one output at a time")
    }
    var optionsOfPlans: [OutputOptions] = []
    for (index, plan) in plans.enumerated() {
      optionsOfPlans.append(
        try options.completed(
          by: plan.recipe, lockedTo: pins.isEmpty ? nil : pins[index], for: OutputKind(path: paths[index])))
    }
    // What an output is stored relative to is read, too.
    var deltaBases: [DeltaBase?] = []
    for (path, options) in zip(paths, optionsOfPlans) { deltaBases.append(try options.deltaBase(of: path)) }
    try WrittenPaths(outputs: paths, weightsReport: options.weightsReport).check(keeping: plans[0].log)
    if plans.count == 1, OutputKind(path: paths[0]) == .directory {
      return [
        try await plans[0].runByShards(
          to: paths[0], lockedTo: pins.first, options: optionsOfPlans[0], progress: progress)
      ]
    }
    guard !options.resumes else {
      throw EmbedFuseError(
        .usage,
        plans.count == 1
          ? "an output of one file can't be continued where it was interrupted"
          : "only a single output can be continued where it was interrupted, but there are \(plans.count)",
        path: plans.count == 1 ? paths[0] : nil,
        remedy: "leave --resume out, or write one model directory (several files with --max-shard-size)")
    }
    for (plan, path) in zip(plans, paths) where OutputKind(path: path) == .safetensors {
      try plan.checkHeader(ofFileAt: path)
    }
    var publications: [Publication] = []
    for path in paths { publications.append(try Publication(to: path, options: options)) }
    let reportPublication = try options.reportPublication()
    var engine = try await engine(
      for: plans, options, kinds: paths.map(OutputKind.init(path:)), progress: progress)
    let pool = engine.pool

    var outputs: [FusionOutput] = []
    var files: [[(path: String, bytes: [UInt8])]] = []
    for (index, (plan, publication)) in zip(plans, publications).enumerated() {
      try Task.checkCancellation()
      files.append(try OutputKind(path: publication.path).holdsFiles ? plan.companionFiles() : [])
      let placeholder = try FusionManifest(
        plan, digests: .init(placeholdersFor: plan), files: files.last!,
        writing: optionsOfPlans[index].json(for: OutputKind(path: publication.path)))
      try Task.checkCancellation()
      outputs.append(
        try FusionOutput(
          OutputContents(plan), publication: publication, options: optionsOfPlans[index],
          deltaBase: deltaBases[index], workers: pool.width, manifest: OutputManifest(placeholder)))
    }
    let findings = try await engine.fuse(into: outputs.map(\.writer))
    var results: [FusionResult] = []
    for (index, plan) in plans.enumerated() {
      try Task.checkCancellation()
      let manifest = try FusionManifest(
        plan, digests: .init(plan, findings: findings[index]), files: files[index],
        writing: optionsOfPlans[index].json(for: OutputKind(path: paths[index])))
      if index < pins.count { try manifest.check(against: pins[index], path: paths[index]) }
      try Task.checkCancellation()
      try outputs[index].finish(files: files[index], manifest: OutputManifest(manifest))
      let report = try WeightsReport(
        plan, findings: findings[index],
        magnitudes: options.weightsReport == nil ? nil : try await plan.measuredByTensor(pool: pool))
      if let reportPublication { try report.write(into: reportPublication) }
      results.append(plan.result(at: paths[index], manifest: manifest, report: report, progress: progress))
    }
    try plans[0].log.checkUnchanged()
    try Task.checkCancellation()
    for (index, publication) in publications.enumerated() {
      results[index].notes += try publication.publish()
    }
    try reportPublication?.publish()
    return results
  }

  /// The engine for plans that are carried out together, once their steps have been prepared and what they carry over
  /// has been compared.
  static func engine(
    for plans: [FusionPlan], _ options: OutputOptions, kinds: [OutputKind], progress: FusionProgress
  ) async throws -> FusionEngine {
    let pool = WorkerPool(width: try workerCount(plans, options, kinds: kinds))
    for step in plans[0].steps { try await step.prepare(pool: pool, progress: progress) }
    try plans[0].checkCarriedTensors()
    return FusionEngine(
      variants: try plans.map { plan throws(EmbedFuseError) in try plan.variant() }, pool: pool,
      progress: progress, memory: options.memory - options.reservedMemory)
  }

  func result(
    at path: String, manifest: FusionManifest, report: WeightsReport, progress: FusionProgress
  ) -> FusionResult {
    let source = inputs[recipe.configFrom ?? 0]
    let lost = OutputKind(path: path).holdsFiles ? source.lossNotes : []
    return FusionResult(
      path: path, fusedTensors: tensors.count { $0.context != nil },
      copiedTensors: tensors.count { $0.context == nil },
      bytesRead: progress.completedBytes, bytesWritten: tensors.reduce(0) { $0 + $1.info.byteCount },
      models: recipe.models, weightShares: report.shares, notes: notes + lost + report.notes,
      rounding: report.rounding, manifest: manifest)
  }

  /// What the engine makes.
  func variant() throws(EmbedFuseError) -> FusionEngine.Variant {
    FusionEngine.Variant(
      tensors: tensors, method: try recipe.method.method(), nonFinite: recipe.nonFinite,
      intermediateType: recipe.intermediateType)
  }

  /// The engine for this plan alone, once its steps have been prepared.
  func engine(pool: WorkerPool, progress: FusionProgress) async throws -> FusionEngine {
    for step in steps { try await step.prepare(pool: pool, progress: progress) }
    return FusionEngine(variants: [try variant()], pool: pool, progress: progress, memory: 512 << 20)
  }

  /// The magnitudes of every tensor, for a report on weights that are too fine to list; nil if the method knows such
  /// magnitudes itself. It takes one more pass.
  func measuredByTensor(pool: WorkerPool) async throws -> [[Double]]? {
    guard let method = try recipe.method.method() as? DeltaGuided,
      [.element, .row].contains(method.granularity), method.power != 0
    else { return nil }
    var variant = try variant()
    variant.method = DeltaGuided(
      granularity: .tensor, magnitude: method.magnitude, balance: method.balance)
    var engine = FusionEngine(
      variants: [variant], pool: pool, progress: FusionProgress(), memory: 512 << 20)
    return try await engine.measure()
  }

  /// How many workers fit into the memory that is allowed.
  ///
  /// - Throws: `EmbedFuseError` (usage) if not even one does.
  static func workerCount(
    _ plans: [FusionPlan], _ options: OutputOptions, kinds: [OutputKind]
  ) throws(EmbedFuseError) -> Int {
    let perWorker = workerBytes(plans, kinds: kinds)
    let shared = options.reservedMemory + plans[0].inputs.reduce(0) { $0 + $1.cacheBytes }
    // Decoded chunks, mostly, of a file whose chunks are whole tensors.
    let largest = plans[0].inputs.max { $0.cacheBytes < $1.cacheBytes }
    let cause = largest.flatMap { input in
      input.cacheBytes > max(perWorker, 16 << 20)
        ? ": \(input.path.printable) alone keeps \(input.cacheBytes >> 20) MiB, since it is stored in large pieces"
        : nil
    }
    return try WorkerPool.width(
      options.workers, within: options.memory, shared: shared, perWorker: perWorker,
      of: " for \(plans[0].inputs.count.counted("input"))"
        + (plans.count > 1 ? " and \(plans.count) outputs" : "")
        + (cause ?? ""), advice: cause == nil ? "" : ", or save it with chunks of about 1 MiB")
  }

  /// The most bytes that each worker needs for some plans of the same inputs.
  static func workerBytes(_ plans: [FusionPlan], kinds: [OutputKind]) -> Int {
    WorkerPool.workerBytes + plans[0].sourceBytes + (plans[0].inputs.lazy.map(\.workerBytes).max() ?? 0)
      + zip(plans, kinds).reduce(0) { $0 + $1.0.workerBytes($1.1) }
  }

  /// The most bytes of a block of all sources.
  private var sourceBytes: Int {
    tensors.lazy.map { tensor in
      tensor.sources.reduce(0) {
        $0 + $1.tensor.info.elementType.byteCount(ofElements: BlockGrid.blockLength)
      }
    }.max() ?? 0
  }

  /// The most memory that one worker uses besides, whatever the tensors' sizes.
  private func workerBytes(_ kind: OutputKind) -> Int {
    // Some methods take whole rows, as long as they fit into a block.
    let rows = tensors.lazy.compactMap { $0.context?.grid.rowLength }.max() ?? 0
    let method = try? recipe.method.method()
    let wholeRows = method?.wantsWholeRows == true
    let tile = wholeRows ? max(4096, min(rows, BlockGrid.blockLength)) : 4096
    // A search for ranks counts keys by 16 bits, for each model and up to three ranks.
    let ranks = tensors.lazy.compactMap(\.context).contains { context in
      method?.stages(for: context).contains { if case .ranks = $0.measure { true } else { false } } ?? true
    }
    let searches = ranks ? recipe.models.count * 3 * 65_536 * 4 : 0
    let tiles = (2 * inputs.count + 2) * tile * 8 + searches
    return tiles + kind.runBytes(largest: tensors.lazy.map(\.info.byteCount).max() ?? 0)
  }

  /// The files that travel with the weights: those of the chosen input, with a model card of our own.
  func companionFiles() throws(EmbedFuseError) -> [(path: String, bytes: [UInt8])] {
    let source = inputs[recipe.configFrom ?? 0]
    var files: [(path: String, bytes: [UInt8])] = []
    for file in source.companions {
      var bytes = try file.bytes()
      if file.relativePath == FilePath.join(source.transformerFolder, "config.json") {
        let layers = recipe.slices.reduce(0) { $0 + ($1.sources.first?.layers.count ?? 0) }
        bytes = try OutputContents.config(
          bytes, announcing: recipe.elementType, layers: layers > 0 ? layers : nil, path: file.relativePath)
      }
      files.append((file.relativePath, bytes))
    }
    files.append(("README.md", Array(ModelCard(self).text.utf8)))
    return files
  }

  /// Checks that tensors which aren't fused hold the same values wherever an input has them.
  ///
  /// - Throws: `EmbedFuseError` (bad data) naming all that differ.
  private func checkCarriedTensors() throws {
    var different: [String] = []
    for row in carried {
      let ours = row[0]!
      // Every run of a training leaves these in another state; they say nothing of the model.
      if ours.isRandomState { continue }
      for (input, theirs) in zip(inputs, row).dropFirst() {
        guard let theirs, try !Self.haveEqualBytes(ours, theirs) else { continue }
        different.append(
          "\(input.path.printable): tensor \(theirs.info.name.printable) (\(theirs.info.elementType)) has other values than in \(reference.path.printable)"
        )
      }
    }
    guard different.isEmpty else {
      throw EmbedFuseError(
        .badData,
        "tensors that aren't learned differ, so the models are not of one kind:\n  "
          + different.joined(separator: "\n  "),
        remedy: "integers and buffers are carried over, never averaged; fuse models whose buffers agree")
    }
  }

  private static func haveEqualBytes(_ first: StoredTensor, _ second: StoredTensor) throws(EmbedFuseError)
    -> Bool
  {
    guard first.info.elementType == second.info.elementType else { return false }
    let grid = BlockGrid(first.info)
    for block in 0..<grid.count {
      let range = grid[block]
      let size = first.info.elementType.byteCount(ofElements: range.count)
      var (ours, theirs) = (Array(repeating: UInt8(0), count: size), Array(repeating: UInt8(0), count: size))
      var span = ours.mutableSpan
      try first.storage.read(range, into: &span)
      var other = theirs.mutableSpan
      try second.storage.read(range, into: &other)
      if ours != theirs { return false }
    }
    return true
  }
}
