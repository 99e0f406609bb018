import TensorCore

/// The directory of a training run: a folder `checkpoint-STEP` for each checkpoint that was kept, as the Trainer of
/// transformers and of sentence-transformers writes it.
public struct TrainingRun: Sendable {
  /// One checkpoint of a run.
  public struct Checkpoint: Sendable, Hashable {
    /// The steps of training before it.
    public let step: Int
    /// Its directory.
    public let path: String
  }

  /// The run's directory, as the user named it.
  public let path: String
  /// The checkpoints in ascending order of their steps.
  public let checkpoints: [Checkpoint]

  /// The run in a directory; nil if it holds no checkpoint.
  public init?(at path: String) {
    guard FilePath.kind(of: path) == .directory, let names = try? FilePath.names(in: path) else { return nil }
    checkpoints =
      names.compactMap { name in
        guard let step = Self.step(ofFolder: name), FilePath.kind(of: FilePath.join(path, name)) == .directory
        else { return nil }
        return Checkpoint(step: step, path: FilePath.join(path, name))
      }.sorted { $0.step < $1.step }
    guard !checkpoints.isEmpty else { return nil }
    self.path = path
  }

  /// The step that a folder's name gives; nil for any name but `checkpoint-STEP`.
  static func step(ofFolder name: String) -> Int? {
    let prefix = "checkpoint-"
    guard name.hasPrefix(prefix), let step = Int(name.dropFirst(prefix.count)), step >= 0,
      name == prefix + String(step)
    else { return nil }
    return step
  }

  /// The steps of the checkpoints, for messages.
  var stepList: String { checkpoints.map { String($0.step) }.printableList }

  /// What is to be told where the model at a run's root is taken though there are checkpoints; empty elsewhere.
  static func finalModelNotes(_ path: String) -> [String] {
    guard let run = TrainingRun(at: path) else { return [] }
    return [
      "\(path.printable): a training run, of which the final model is taken; --select chooses among its checkpoints (\(run.stepList))"
    ]
  }
}

extension TrainingRun {
  /// The checkpoints that a selection means, in ascending order of their steps, with what should be told.
  ///
  /// - Throws: `EmbedFuseError`: usage for checkpoints or a metric that the run doesn't have, missing input or bad
  ///   data where the record of its evaluations can't be read.
  public func select(
    _ selection: CheckpointSelection
  ) throws(EmbedFuseError) -> (checkpoints: [Checkpoint], notes: [String]) {
    switch selection {
    case .last(let count):
      try check(count)
      return (checkpoints.suffix(count), [])
    case .steps(let steps):
      let known = Set(checkpoints.map(\.step))
      let absent = steps.filter { !known.contains($0) }
      guard absent.isEmpty else {
        throw EmbedFuseError(
          .usage, "has no checkpoint at \(absent.map { String($0) }.printableList)", path: path,
          remedy: "it has: \(stepList)")
      }
      return (checkpoints.filter { steps.contains($0.step) }, [])
    case .best(let metric, let count, let order):
      return try best(metric, count: count, order: order)
    }
  }

  private func check(_ count: Int) throws(EmbedFuseError) {
    guard count <= checkpoints.count else {
      throw EmbedFuseError(
        .usage, "has \(checkpoints.count) checkpoints, but \(count) are wanted", path: path,
        remedy: "it has: \(stepList)")
    }
  }

  /// The best checkpoints by a metric; of equal ones the earlier.
  private func best(
    _ name: String, count: Int, order: CheckpointSelection.Order?
  ) throws(EmbedFuseError) -> (checkpoints: [Checkpoint], notes: [String]) {
    // The last checkpoint's record holds the evaluations of all.
    let record = try newestRecord()
    let metric = record.metrics.contains(name) ? name : "eval_" + name
    var notes: [String] = []
    var measured: [(checkpoint: Checkpoint, value: Double)] = []
    var unmeasured: [Int] = []
    for checkpoint in checkpoints {
      var value = record.value(of: metric, at: checkpoint.step)
      if value == nil, let own = try? TrainerState(ofCheckpoint: checkpoint.path) {
        value = own.value(of: metric, at: checkpoint.step)
      }
      if let value { measured.append((checkpoint, value)) } else { unmeasured.append(checkpoint.step) }
    }
    guard !measured.isEmpty else {
      throw EmbedFuseError(
        .usage, "has no \(name.printable) for any of its checkpoints (\(stepList))", path: path,
        remedy: record.metrics.isEmpty
          ? "it was not evaluated where checkpoints were saved: use last:N or steps:…"
          : "its evaluations give: \(record.metrics.printableList)")
    }
    if !unmeasured.isEmpty {
      notes.append(
        "\(path.printable): \(metric.printable) was not measured at \(unmeasured.map { String($0) }.printableList), so these can't be chosen"
      )
    }
    guard count <= measured.count else {
      throw EmbedFuseError(
        .usage,
        "has \(metric.printable) for \(measured.count) checkpoints, but \(count) are wanted", path: path,
        remedy: "they are: \(measured.map { String($0.checkpoint.step) }.printableList)")
    }
    let (chosen, reason) = order.map { ($0, "as asked for") } ?? record.order(of: metric)
    let ranked = measured.sorted { first, second in
      if first.value == second.value { return first.checkpoint.step < second.checkpoint.step }
      return chosen == .min ? first.value < second.value : first.value > second.value
    }.prefix(count)
    notes.append(
      "\(path.printable): the \(chosen == .min ? "lowest" : "highest") \(metric.printable) counts as best (\(reason)): "
        + ranked.map { "\($0.value) at \($0.checkpoint.step)" }.joined(separator: ", "))
    return (ranked.map(\.checkpoint).sorted { $0.step < $1.step }, notes)
  }

  /// The record of the last checkpoint, or that of the finished run.
  private func newestRecord() throws(EmbedFuseError) -> TrainerState {
    let folders = [checkpoints[checkpoints.count - 1].path, path]
    guard let folder = folders.first(where: TrainerState.exists) else {
      throw EmbedFuseError(
        .missingInput, "holds no trainer_state.json, which records the evaluations",
        path: checkpoints[checkpoints.count - 1].path, remedy: "use last:N or steps:…")
    }
    return try TrainerState(ofCheckpoint: folder)
  }
}
