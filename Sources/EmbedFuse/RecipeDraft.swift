import Fusion

/// The inputs of a recipe while it is read.
struct RecipeDraft {
  /// The base.
  var base: String?
  /// The models, in the order in which they are met.
  var models: [String] = []
  /// What each has of its own.
  var modelParameters: [[String: TensorValue]] = []
  /// The slices.
  var slices: [Recipe.Slice] = []
  /// Where the base stands among the models, with its parameters, if it is listed.
  private var listedBase: (place: Int, parameters: [String: TensorValue])?

  init(base: String?) {
    self.base = base
  }

  /// Adds a model that is listed.
  mutating func add(_ path: String, _ parameters: [String: TensorValue]) {
    if base.map({ ModelReference.areSame($0, path) }) == true {
      listedBase = (models.count, parameters)
    } else {
      models.append(path)
      modelParameters.append(parameters)
    }
  }

  /// A model for which neither itself nor all of its slices give a weight.
  var modelWithoutWeight: String? {
    models.indices.first { k in
      guard modelParameters[k]["weight"] == nil else { return false }
      let sources = slices.flatMap { slice in
        slice.sources.filter { $0.model == k }.map { $0.parameters["weight"] ?? slice.parameters["weight"] }
      }
      return sources.isEmpty || sources.contains { $0 == nil }
    }.map { models[$0] }
  }

  /// True if the path is listed already.
  func contains(_ path: String) -> Bool {
    models.contains { ModelReference.areSame($0, path) }
      || (listedBase != nil && base.map { ModelReference.areSame($0, path) } == true)
  }

  /// The place of a model, which is added if it is new; nil for the base.
  mutating func model(at path: String) -> Int? {
    if base.map({ ModelReference.areSame($0, path) }) == true { return nil }
    if let place = models.firstIndex(where: { ModelReference.areSame($0, path) }) { return place }
    models.append(path)
    modelParameters.append([:])
    return models.count - 1
  }

  /// For a method that averages weights the base is no more than an ingredient, where it is listed; in mergekit's
  /// recipes always.
  mutating func takeBaseAsIngredient(type: any FusionMethod.Type, isMergekits: Bool) throws(EmbedFuseError) {
    guard type.description.mergeSpace == .weights, let base else { return }
    if let listedBase {
      models.insert(base, at: listedBase.place)
      modelParameters.insert(listedBase.parameters, at: listedBase.place)
    } else if isMergekits && slices.isEmpty {
      models.append(base)
      modelParameters.append([:])
    }
    guard !slices.isEmpty, slices.contains(where: { $0.sources.contains { $0.model == nil } }) else { return }
    models.append(base)
    modelParameters.append([:])
    for place in slices.indices {
      for source in slices[place].sources.indices where slices[place].sources[source].model == nil {
        slices[place].sources[source].model = models.count - 1
      }
    }
  }
}
