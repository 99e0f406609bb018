import Checkpoints
import Fusion
import TensorCore

/// The magnitudes and weights of every group, and each model's share of the whole.
struct WeightsReport: Sendable {
  /// The report as it is written.
  let json: JSON
  /// Each model's share of the weight, over all elements.
  let shares: [Double]
  /// What rounding did.
  let rounding: RoundingReport
  /// What the shares give reason to say.
  let notes: [String]

  /// A report on a fusion.
  ///
  /// At row and element granularity the groups are too many to list; each tensor is summed up instead.
  ///
  /// - Parameter magnitudes: those of every tensor, where they had to be measured for the report; nil for what the
  ///   method knows.
  /// - Throws: `EmbedFuseError` (usage) if a model's weight isn't finite, although all inputs are.
  init(
    _ plan: FusionPlan, findings: [FusionEngine.Finding], magnitudes measured: [[Double]]? = nil
  ) throws(EmbedFuseError) {
    var whole = WeightTally(modelCount: plan.modelCount)
    let rounding = RoundingReport(plan, findings: findings)
    let counts = rounding.tensors.reduce(into: [String: JSON]()) { $0[$1.name] = $1.counts.json }
    var tensors: [JSON] = []
    for (index, (tensor, finding)) in zip(plan.tensors, findings).enumerated() {
      guard let context = tensor.context, let tally = finding.tally else { continue }
      try Self.check(tally, of: tensor.models, in: plan, tensor: tensor.info.name)
      whole.merge(tally, models: tensor.models)
      let magnitudes = measured?[index] ?? finding.magnitudes
      var entry: JSON.Object = [
        "name": .string(tensor.info.name), "layer": .string(context.layer),
        "elements": .number(tally.elementCount),
        "weights": .array(tally.means.map { .number($0) }),
      ]
      if !magnitudes.isEmpty { entry["magnitudes"] = .array(magnitudes.map { .number($0) }) }
      if tally.minima.allSatisfy(\.isFinite), tally.minima != tally.maxima {
        entry["least"] = .array(tally.minima.map { .number($0) })
        entry["greatest"] = .array(tally.maxima.map { .number($0) })
      }
      entry["rounding"] = counts[tensor.info.name]
      tensors.append(.object(entry))
    }
    try Self.check(whole, of: Array(plan.recipe.models.indices), in: plan)
    shares = whole.means
    self.rounding = rounding
    var settings: JSON.Object = ["method": .string(plan.recipe.method.name)]
    for (name, value) in plan.recipe.method.parameterValues { settings[name] = .string(value) }
    json = [
      "models": .array(plan.recipe.models.map { .string(FusionManifest.portable($0)) }),
      "settings": .object(settings),
      "shares": .array(shares.map { .number($0) }),
      "rounding": rounding.total.json,
      "tensors": .array(tensors),
    ]
    notes = Self.notes(plan, shares: shares)
  }

  private static func check(
    _ tally: WeightTally, of models: [Int], in plan: FusionPlan, tensor: String? = nil
  ) throws(EmbedFuseError) {
    guard plan.recipe.nonFinite != .allow, let place = tally.sums.firstIndex(where: { !$0.isFinite })
    else { return }
    throw EmbedFuseError(
      .usage,
      "the weight that \(plan.recipe.models[models[place]].printable) gets is \(tally.sums[place].isNaN ? "NaN" : "infinite"): the arithmetic has left the range of binary64",
      tensor: tensor,
      remedy: "choose weights, lambda and other parameters of ordinary size; deltas must be below 1e150")
  }

  private static func notes(_ plan: FusionPlan, shares: [Double]) -> [String] {
    guard let method = (try? plan.recipe.method.method()) as? DeltaGuided, shares.count > 1,
      let dominant = shares.indices.first(where: { shares[$0] > 0.8 })
    else { return [] }
    let remedy =
      method.balance == .none ? "; --balance model counts where a model moved, not how far in all" : ""
    return [
      "\(plan.recipe.models[dominant].printable) takes \(Int(limiting: (shares[dominant] * 100).rounded())) % of the weight\(remedy)"
    ]
  }
}

extension WeightsReport {
  /// Writes the report into its place, yet unpublished.
  func write(into publication: Publication) throws(EmbedFuseError) {
    try OutputFile.write(json.prettyBytes, to: publication.stagingPath)
  }
}

extension OutputOptions {
  /// Prepares the place of the report before any work, if one is asked for.
  ///
  /// - Throws: `EmbedFuseError` (cannot create) if something stands there that isn't to be replaced.
  func reportPublication() throws(EmbedFuseError) -> Publication? {
    guard let weightsReport else { return nil }
    return try Publication(to: weightsReport, kind: .file, overwrite: overwrite, synchronize: synchronize)
  }
}
