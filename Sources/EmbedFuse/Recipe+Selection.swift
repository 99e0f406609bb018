import Checkpoints
import Fusion
import TensorCore

extension Recipe {
  /// The recipe with the selected checkpoints in the place of each training run among its models: each is a fine-tune
  /// with the run's parameters.
  ///
  /// - Returns: the recipe, which selects no more, and what should be told.
  /// - Throws: `EmbedFuseError`: usage if there is no run, or if it lacks what is selected; missing input or bad data
  ///   where the record of its evaluations can't be read.
  public func selectingCheckpoints() throws(EmbedFuseError) -> (recipe: Recipe, notes: [String]) {
    guard let selection else { return (self, []) }
    var notes: [String] = []
    var runs = 0
    var chosen: [[String]] = []
    for model in models {
      guard !steps.contains(where: { $0.name == model }), let run = TrainingRun(at: model) else {
        chosen.append([model])
        continue
      }
      runs += 1
      let (checkpoints, told) = try run.select(selection)
      chosen.append(checkpoints.map(\.path))
      notes += told
    }
    guard runs > 0 else {
      throw EmbedFuseError(
        .usage,
        "--select \(selection) chooses among a run's checkpoints, but none of the models is a training run",
        remedy: "name the directory that holds the checkpoint-… folders")
    }
    return (try replacingModels(by: chosen), notes)
  }

  /// The recipe with several models in the place of each.
  private func replacingModels(by chosen: [[String]]) throws(EmbedFuseError) -> Recipe {
    var result = self
    result.selection = nil
    result.models = chosen.flatMap { $0 }
    func spread<Value>(_ values: [Value]) -> [Value] {
      // A weight for each checkpoint may be given just as well.
      guard values.count == models.count else { return values }
      return zip(values, chosen).flatMap { value, paths in paths.map { _ in value } }
    }
    result.weights = spread(weights)
    result.modelParameters = spread(modelParameters)
    let isOneEach = chosen.allSatisfy { $0.count == 1 }
    guard isOneEach || (companions.isEmpty && slices.isEmpty) else {
      throw EmbedFuseError(
        .usage,
        "the selection gives several checkpoints for one model, but \(slices.isEmpty ? "each model has a file of its own" : "slices take one model each")",
        remedy: "list the checkpoints themselves as models")
    }
    let first = base == nil ? 0 : 1
    if let configFrom, configFrom >= first, configFrom - first < chosen.count {
      result.configFrom = first + chosen[..<(configFrom - first)].reduce(0) { $0 + $1.count }
    }
    return result
  }
}
