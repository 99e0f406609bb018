import TensorCore

/// What `trainer_state.json` records of a run's evaluations.
struct TrainerState: Sendable {
  /// One evaluation: the step, and what was measured by name.
  private struct Evaluation: Sendable {
    let step: Int
    let values: [String: Double]
  }

  private let evaluations: [Evaluation]
  /// The value by which the run chose its best checkpoint, and that checkpoint's step.
  private let best: (value: Double, step: Int)?

  /// The names of what was measured, sorted, without times and speeds.
  let metrics: [String]

  private static let fileName = "trainer_state.json"

  /// True if a folder holds a record.
  static func exists(in folder: String) -> Bool {
    FilePath.kind(of: FilePath.join(folder, fileName)) == .file
  }

  /// Reads the record in a checkpoint's folder.
  ///
  /// - Throws: `EmbedFuseError`: missing input where there is none, bad data where it isn't one.
  init(ofCheckpoint folder: String) throws(EmbedFuseError) {
    let path = FilePath.join(folder, Self.fileName)
    let file = try InputFile(path)
    let bytes = Self.withoutNonFinite(try file.bytes())
    let state = try JSON.parse(bytes.span, duplicateKeys: .lastWins, path: path)
    guard let history = state["log_history"]?.arrayValue else {
      throw EmbedFuseError(
        .badData, "holds no log_history, the list of evaluations", path: path, remedy: "use last:N or steps:…"
      )
    }
    evaluations = history.compactMap { entry in
      guard let step = entry["step"]?.intValue, let members = entry.objectValue?.members else { return nil }
      let values = members.reduce(into: [String: Double]()) { values, member in
        if member.key.hasPrefix("eval_"), let value = member.value.doubleValue { values[member.key] = value }
      }
      return values.isEmpty ? nil : Evaluation(step: step, values: values)
    }
    let costs = ["_runtime", "_per_second", "_time"]
    metrics = Set(evaluations.flatMap { $0.values.keys }).filter { name in
      !costs.contains { name.hasSuffix($0) }
    }.sorted()
    // The checkpoint's path is one of the machine that trained: only its name means something here.
    let folderName = state["best_model_checkpoint"]?.stringValue?
      .split(whereSeparator: { $0 == "/" || $0 == "\\" }).last
    let step =
      state["best_global_step"]?.intValue ?? folderName.flatMap { TrainingRun.step(ofFolder: String($0)) }
    if let value = state["best_metric"]?.doubleValue, let step { best = (value, step) } else { best = nil }
  }

  /// What was measured after so many steps; of several measurements the last.
  func value(of metric: String, at step: Int) -> Double? {
    evaluations.last { $0.step == step && $0.values[metric] != nil }?.values[metric]
  }

  /// Which end of a metric is the good one, and how that is known: the run chose its best checkpoint by it, or its
  /// name says so.
  func order(of metric: String) -> (CheckpointSelection.Order, reason: String) {
    let values = evaluations.compactMap { $0.values[metric] }
    if let best, value(of: metric, at: best.step) == best.value, let least = values.min(),
      let greatest = values.max(), least < greatest
    {
      let reason = "the run chose its best checkpoint by it"
      if best.value == least { return (.min, reason) }
      if best.value == greatest { return (.max, reason) }
    }
    let words = metric.lowercased().split { !$0.isLetter && !$0.isNumber }
    let errors: Set<Substring> = [
      "loss", "error", "err", "mse", "rmse", "mae", "perplexity", "ppl", "wer", "cer", "distance",
      "divergence",
    ]
    return words.contains(where: errors.contains)
      ? (.min, "by its name; add ':max' if that is wrong")
      : (.max, "by its name; add ':min' if that is wrong")
  }

  /// The text with `null` for the NaN and Infinity that Python writes into JSON where a loss was lost.
  static func withoutNonFinite(_ text: [UInt8]) -> [UInt8] {
    var result: [UInt8] = []
    result.reserveCapacity(text.count)
    var isString = false
    var place = 0
    let words = ["NaN", "-Infinity", "Infinity"].map { Array($0.utf8) }
    while place < text.count {
      let byte = text[place]
      if isString, byte == UInt8(ascii: "\\"), place + 1 < text.count {
        result += [byte, text[place + 1]]
        place += 2
        continue
      }
      if byte == UInt8(ascii: "\"") { isString.toggle() }
      if !isString, byte == UInt8(ascii: "N") || byte == UInt8(ascii: "I") || byte == UInt8(ascii: "-"),
        let word = words.first(where: { text[place...].starts(with: $0) })
      {
        result += Array("null".utf8)
        place += word.count
      } else {
        result.append(byte)
        place += 1
      }
    }
    return result
  }
}
