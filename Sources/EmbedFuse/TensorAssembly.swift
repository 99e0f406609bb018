import Checkpoints
import Fusion
import TensorCore

/// Decides how every tensor of the output is made: from which tensors of the inputs, under which settings.
struct TensorAssembly {
  let recipe: Recipe
  let rows: [InputAlignment.Row]
  let method: any FusionMethod
  /// True if the base's values are read.
  let readsBase: Bool

  /// A place among the layers.
  private struct Layer {
    let prefix: String
    let number: Int
    let rest: String
  }

  /// One input tensor among those that are fused.
  private struct Ingredient {
    /// The place among the inputs.
    let input: Int
    /// The model, or nil for the base.
    let model: Int?
    let tensor: StoredTensor?
    /// The names by which the model's own rules may know it.
    let names: [String]
    let levels: [ParameterResolver.Level]
  }

  /// What a recipe's settings come to for a tensor.
  private struct Settings {
    let parameters: [ResolvedParameter]
    let values: [String: [Double]]
    let priors: [Double]
    let models: [Int]
  }

  /// What is carried on from one tensor to the next.
  private struct Course {
    /// How many tensors have been found to be fused.
    var fused = 0
    /// The settings of all tensors, once they are known and if none can have others.
    var settings: Settings?
    var matcher = NameMatcher()
  }

  private var offset: Int { recipe.base == nil ? 0 : 1 }

  /// True if no setting depends on a tensor's name or place.
  private var isUniform: Bool {
    let values = [recipe.method.values] + recipe.modelParameters
    return recipe.slices.isEmpty && recipe.weights.allSatisfy { $0.constant != nil }
      && values.allSatisfy { $0.values.allSatisfy { $0.constant != nil } }
  }

  /// The tensors of the output, in the order of the base; with slices, layer by layer in the place of the layers.
  func tensors() throws(EmbedFuseError) -> [PlannedTensor] {
    let tensors = try planned()
    try method.validate(all: tensors.compactMap(\.context))
    return tensors
  }

  private func planned() throws(EmbedFuseError) -> [PlannedTensor] {
    var course = Course()
    guard recipe.slices.isEmpty else { return try assembled(&course) }
    let layers = rows.map(Self.layer)
    let counts = Self.counts(of: layers)
    var result: [PlannedTensor] = []
    result.reserveCapacity(rows.count)
    for (row, layer) in zip(rows, layers) {
      try EmbedFuseError.checkCancellation()
      let depth = layer.map { layer in
        let count = counts[layer.prefix] ?? 1
        return count > 1 ? Double(layer.number) / Double(count - 1) : 1
      }
      result.append(
        try planned(
          row, named: row.name, from: plainIngredients(of: row, resolved: course.settings != nil),
          shared: [("recipe", recipe.method.values)],
          layer: LayerName.of(row.comparableName, module: row.module), depth: depth, &course))
    }
    return result
  }

  /// The layer of a row's tensor, if it belongs to one of the transformer's.
  private static func layer(of row: InputAlignment.Row) -> Layer? {
    guard row.module.isEmpty, let parts = LayerName.parts(of: row.comparableName) else { return nil }
    let wrapper = row.name.dropLast(row.comparableName.count)
    return Layer(
      prefix: wrapper.isEmpty ? parts.prefix : wrapper + parts.prefix, number: parts.number, rest: parts.rest)
  }

  /// How many layers there are, by what stands before their number.
  private static func counts(of layers: [Layer?]) -> [String: Int] {
    layers.reduce(into: [:]) { counts, layer in
      guard let layer else { return }
      counts[layer.prefix] = max(counts[layer.prefix] ?? 0, layer.number + 1)
    }
  }

  /// Every input's tensor of a row, without what decides its settings if they are resolved.
  private func plainIngredients(of row: InputAlignment.Row, resolved: Bool) -> [Ingredient] {
    row.sources.enumerated().map { input, tensor in
      let model = input >= offset && input < offset + recipe.models.count ? input - offset : nil
      guard !resolved else {
        return Ingredient(input: input, model: model, tensor: tensor, names: [], levels: [])
      }
      return Ingredient(
        input: input, model: model, tensor: tensor, names: names(of: row, as: tensor),
        levels: model.map { [("model \($0 + 1)", parameters(ofModel: $0))] } ?? [])
    }
  }

  private func names(of row: InputAlignment.Row, as tensor: StoredTensor?) -> [String] {
    var names = [row.name, row.comparableName]
    if let name = tensor?.info.name, !names.contains(name) { names.append(name) }
    return names
  }

  /// What a model has of its own.
  private func parameters(ofModel k: Int) -> [String: TensorValue] {
    var values = recipe.modelParameters.isEmpty ? [:] : recipe.modelParameters[k]
    if !recipe.weights.isEmpty { values["weight"] = recipe.weights[k] }
    return values
  }

  /// One tensor of the output.
  private func planned(
    _ row: InputAlignment.Row, named name: String, from ingredients: [Ingredient],
    shared: [ParameterResolver.Level], layer: String, depth: Double?, _ course: inout Course
  ) throws(EmbedFuseError) -> PlannedTensor {
    let reference = ingredients.first { $0.model == nil && $0.input == 0 } ?? ingredients[0]
    guard let stored = reference.tensor ?? row.sources[0] else {
      throw EmbedFuseError(.badData, "no input has the tensor", tensor: name)
    }
    let type = stored.info.elementType
    guard type.isFusable, ingredients.allSatisfy({ $0.tensor != nil }) else {
      return PlannedTensor(
        info: try info(name, stored, as: type), making: .copy,
        sources: [PlannedTensor.Source(input: reference.tensor == nil ? 0 : reference.input, tensor: stored)],
        hasBase: false, models: [], parameters: [])
    }
    let settings: Settings
    if let known = course.settings {
      settings = known
    } else {
      settings = try self.settings(
        of: ingredients, names: outputNames(name, of: row), shared: shared, depth: depth, &course.matcher)
    }
    if isUniform { course.settings = settings }
    let outputType = recipe.elementType ?? outputType(of: ingredients, reference: type)
    var context = TensorContext(
      index: course.fused, name: name, shape: stored.info.shape, layer: layer, depth: depth,
      priors: settings.priors, parameters: settings.values,
      isDoublePrecision: outputType == .f64
        || ingredients.contains { $0.model != nil && $0.tensor!.info.elementType == .f64 })
    try method.validate(context)
    if method.weighsByRatios(context) { context = try context.withModeratePriors() }
    course.fused += 1
    let read = ingredients.filter { $0.model != nil || $0.input > 0 || readsBase || offset == 0 }
    return PlannedTensor(
      info: try info(name, stored, as: outputType), making: .fuse(context),
      sources: read.map { PlannedTensor.Source(input: $0.input, tensor: $0.tensor!) },
      hasBase: readsBase && offset == 1, models: settings.models, parameters: settings.parameters)
  }

  private func settings(
    of ingredients: [Ingredient], names: [String], shared: [ParameterResolver.Level], depth: Double?,
    _ matcher: inout NameMatcher
  ) throws(EmbedFuseError) -> Settings {
    let models = ingredients.filter { $0.model != nil }
    let resolved = try ParameterResolver(
      description: recipe.method.description, names: names, depth: depth ?? 0,
      shared: shared, models: models.map { ($0.names, $0.levels) },
      paths: models.map { recipe.models[$0.model!] }
    ).resolve(&matcher)
    let values = resolved.reduce(into: [String: [Double]]()) { $0[$1.name] = $1.values }
    return Settings(
      parameters: resolved, values: values, priors: values["weight"] ?? models.map { _ in 1 },
      models: models.map { $0.model! })
  }

  /// The names by which rules for all models know a tensor: in full, and without a wrapper prefix.
  private func outputNames(_ name: String, of row: InputAlignment.Row) -> [String] {
    let wrapper = row.name.dropLast(row.comparableName.count)
    return wrapper.isEmpty || !name.hasPrefix(wrapper)
      ? [name] : [name, String(name.dropFirst(wrapper.count))]
  }

  /// The type of a fused tensor where none is given: the base's, or what torch promotes the inputs to.
  private func outputType(of ingredients: [Ingredient], reference: ElementType) -> ElementType {
    guard recipe.promotesTypes else { return reference }
    let types = Set(ingredients.compactMap { $0.tensor?.info.elementType })
    if types.count == 1 { return types.first! }
    return types.contains(.f64) ? .f64 : .f32
  }

  private func info(
    _ name: String, _ stored: StoredTensor, as type: ElementType
  ) throws(EmbedFuseError) -> TensorInfo {
    guard let info = TensorInfo(name: name, elementType: type, shape: stored.info.shape) else {
      throw EmbedFuseError(.badData, "its size as \(type) does not end at a byte", tensor: name)
    }
    return info
  }
}

// MARK: - Slices

extension TensorAssembly {
  /// The tensors of an output that is put together from slices: what stands outside of the layers comes from the first
  /// slice's inputs (embeddings) or the last one's (all else).
  private func assembled(_ course: inout Course) throws(EmbedFuseError) -> [PlannedTensor] {
    let counts = Self.counts(of: rows.map(Self.layer))
    guard counts.count == 1, let (prefix, available) = counts.first else {
      throw EmbedFuseError(
        .usage,
        counts.isEmpty
          ? "slices take layers, but the tensors' names show none"
          : "slices take layers, but there are several kinds: \(counts.keys.sorted().map(\.printable).joined(separator: ", "))",
        remedy: "fuse whole models, without slices")
    }
    try check(available: available)
    let layers = try layers()
    var result: [PlannedTensor] = []
    var done = false
    for row in rows {
      guard Self.layer(of: row) != nil else {
        let isFirst = row.name.lowercased().contains("embed")
        let slice = isFirst ? recipe.slices.first! : recipe.slices.last!
        result.append(
          try planned(
            row, named: row.name, from: ingredients(of: slice) { _ in row }, shared: shared(slice),
            layer: LayerName.of(row.comparableName, module: row.module), depth: nil, &course))
        continue
      }
      guard !done else { continue }
      done = true
      // All layers stand where the first input's do, in the order of the slices.
      var number = 0
      for slice in recipe.slices {
        let length = slice.sources[0].layers.count
        for place in 0..<length {
          try check(slice, at: place, in: layers)
          let first = layers[slice.sources[0].layers.lowerBound + place]!
          for rest in first.rests {
            let ingredients = ingredients(of: slice) { layers[$0.layers.lowerBound + place]!.rows[rest]! }
            result.append(
              try planned(
                first.rows[rest]!, named: "\(prefix).\(number).\(rest)", from: ingredients,
                shared: shared(slice), layer: "\(prefix).\(number)",
                depth: length > 1 ? Double(place) / Double(length - 1) : 1, &course))
          }
          number += 1
        }
      }
    }
    return result
  }

  /// The tensors of a layer of the first input, by what follows the number.
  private struct LayerRows {
    /// What follows it, in the input's order.
    var rests: [String] = []
    var rows: [String: InputAlignment.Row] = [:]
  }

  /// The layers by their numbers.
  private func layers() throws(EmbedFuseError) -> [Int: LayerRows] {
    var layers: [Int: LayerRows] = [:]
    for row in rows {
      guard let layer = Self.layer(of: row) else { continue }
      guard layers[layer.number, default: LayerRows()].rows.updateValue(row, forKey: layer.rest) == nil else {
        throw EmbedFuseError(
          .badData, "stands for the same tensor of layer \(layer.number) as another", tensor: row.name,
          remedy: "number the layers without zeros in front")
      }
      layers[layer.number]!.rests.append(layer.rest)
    }
    return layers
  }

  private func shared(_ slice: Recipe.Slice) -> [ParameterResolver.Level] {
    [("slice", slice.parameters), ("recipe", recipe.method.values)]
  }

  private func check(available: Int) throws(EmbedFuseError) {
    for (place, slice) in recipe.slices.enumerated() {
      guard let first = slice.sources.first?.layers, !first.isEmpty else {
        throw EmbedFuseError(.usage, "slice \(place + 1) has no layers")
      }
      for layers in slice.sources.map(\.layers) {
        // Before they are counted: a manifest may name any range.
        guard layers.lowerBound >= 0, layers.upperBound <= available else {
          throw EmbedFuseError(
            .usage,
            "slice \(place + 1) asks for the layers \(layers.lowerBound) to \(layers.upperBound &- 1), but there are \(available)",
            remedy: "layer ranges count from 0 and don't include their end")
        }
        guard layers.count == first.count else {
          throw EmbedFuseError(
            .usage,
            "slice \(place + 1) takes \(first.count) layers of one source and \(layers.count) of another",
            remedy: "all sources of a slice must have as many layers")
        }
      }
      let bases = slice.sources.count { $0.model == nil }
      guard bases <= 1 else {
        throw EmbedFuseError(
          .usage, "slice \(place + 1) lists the base \(bases) times", remedy: "list it once, with its layers")
      }
      guard !readsBase || bases == 1 else {
        throw EmbedFuseError(
          .usage, "slice \(place + 1) doesn't list the base among its sources",
          remedy: recipe.method.description.mergeSpace == .weights && !method.needsBase
            ? "its values take the place of NaN and infinity with --nonfinite base: use --nonfinite error or allow"
            : "\(recipe.method.name) compares with the base: add it, with its layers")
      }
    }
  }

  /// Checks that the layers of all sources at a place of a slice hold tensors of the same names and shapes.
  private func check(
    _ slice: Recipe.Slice, at place: Int, in layers: [Int: LayerRows]
  ) throws(EmbedFuseError) {
    let first = slice.sources[0].layers.lowerBound + place
    for number in slice.sources.map({ $0.layers.lowerBound + place }) {
      guard let own = layers[number], let ours = layers[first] else {
        throw misfit("there is no layer \(layers[first] == nil ? first : number) among the layers of a slice")
      }
      guard number != first else { continue }
      for rest in ours.rests {
        guard let row = ours.rows[rest], let other = own.rows[rest] else {
          throw misfit("layer \(number) lacks \(rest.printable), which layer \(first) has")
        }
        let (found, expected) = (other.sources[0]!.info, row.sources[0]!.info)
        guard found.shape == expected.shape, found.elementType.isFusable == expected.elementType.isFusable
        else {
          throw misfit(
            "\(other.name.printable) is \(found.elementType) \(found.shape), but \(row.name.printable) \(expected.elementType) \(expected.shape)"
          )
        }
      }
      if let extra = own.rests.first(where: { ours.rows[$0] == nil }) {
        throw misfit("layer \(number) has \(extra.printable), which layer \(first) lacks")
      }
    }
  }

  private func misfit(_ problem: String) -> EmbedFuseError {
    EmbedFuseError(.badData, problem, remedy: "fuse layers of one kind with each other")
  }

  /// What a tensor of a slice is fused from: the base first, the models in the order of the slice; of each source the
  /// tensor that `row` gives.
  private func ingredients(
    of slice: Recipe.Slice, row: (Recipe.Slice.Source) -> InputAlignment.Row
  ) -> [Ingredient] {
    let sources = slice.sources.filter { $0.model == nil } + slice.sources.filter { $0.model != nil }
    return sources.map { source in
      let input = source.model.map { $0 + offset } ?? 0
      let own = row(source)
      let tensor = own.sources[input]
      return Ingredient(
        input: input, model: source.model, tensor: tensor, names: names(of: own, as: tensor),
        levels: source.model.map {
          [("source", source.parameters), ("model \($0 + 1)", parameters(ofModel: $0))]
        } ?? [])
    }
  }
}
