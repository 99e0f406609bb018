import Fusion
import TensorCore

extension RecipeReader {
  /// The fusions that a document asks for: one, or those under `outputs`.
  mutating func outputs(
    _ entries: [String: (line: Int, value: RecipeNode)], recipe: Recipe, shared: [String: TensorValue],
    seed: UInt64
  ) throws(EmbedFuseError) -> [RecipeFile.Output] {
    guard let outputs = entries["outputs"], !outputs.value.isNull else {
      return [RecipeFile.Output(path: try text(entries["output"], "an output"), recipe: recipe)]
    }
    if let output = entries["output"] {
      throw error(output.line, "the recipe has both 'output' and 'outputs'", remedy: "keep one of the two")
    }
    var result: [RecipeFile.Output] = []
    for item in try items(of: outputs, "outputs") {
      for output in try variants(item, recipe: recipe, shared: shared) {
        guard !result.contains(where: { $0.path == output.path }) else {
          throw error(
            item.line, "two outputs have the path \((output.path ?? "").printable)",
            remedy: "a grid's path must name each of its keys, as in fused-{lambda}")
        }
        result.append(output)
      }
    }
    return result
  }

  /// The fusions of one entry of `outputs`: one, or one for each point of its grid.
  private mutating func variants(
    _ item: RecipeNode, recipe: Recipe, shared: [String: TensorValue]
  ) throws(EmbedFuseError) -> [RecipeFile.Output] {
    let entries = try entries(of: item, keys: Self.outputKeys, what: "an output")
    guard let path = try text(entries["path"], "a path") else {
      throw error(item.line, "an output must have a path", remedy: "add 'path: PATH'")
    }
    guard entries["models"] == nil else {
      throw error(
        item.line, "all outputs are made from the same models",
        remedy: "give models weights, or write two recipes")
    }
    var points: [[(key: String, value: String)]] = [[]]
    if let grid = entries["grid"] {
      guard let axes = grid.value.entries, !axes.isEmpty else {
        throw error(
          grid.line, "a grid must be keys with lists of values",
          remedy: "for example 'grid: {lambda: [0.5, 1.0]}'")
      }
      for (key, line, values) in axes {
        let texts = (values.items ?? []).compactMap(\.text)
        guard !texts.isEmpty, texts.count == values.items?.count else {
          throw error(
            line, "'\(key.printable)' of a grid must be a list of values",
            remedy: "for example '\(key.printable): [0.5, 1.0]'")
        }
        points = points.flatMap { point in texts.map { point + [(key, $0)] } }
        guard points.count <= 10_000 else {
          throw error(
            line, "the grid has more than 10,000 points", remedy: "give fewer values, or fewer keys")
        }
      }
    }
    var result: [RecipeFile.Output] = []
    for point in points {
      result.append(
        try variant(entries, line: item.line, path: path, at: point, recipe: recipe, shared: shared))
    }
    return result
  }

  private mutating func variant(
    _ entries: [String: (line: Int, value: RecipeNode)], line: Int, path: String,
    at point: [(key: String, value: String)], recipe: Recipe, shared: [String: TensorValue]
  ) throws(EmbedFuseError) -> RecipeFile.Output {
    var recipe = recipe
    var name = entries["method"] ?? entries["merge_method"]
    var values: [(key: String, value: String)] = []
    var path = path
    var seedText = try text(entries["seed"], "seed")
    for (key, value) in point {
      path = path.replacing("{\(key)}", with: value.replacing("/", with: "-"))
      if key == "seed" {
        seedText = value
      } else if key == "method" || key == "merge_method" {
        name = (line, RecipeNode(kind: .scalar(value), line: line))
      } else {
        values.append((key, value))
      }
    }
    if let open = path.firstMatch(of: /\{[^{}\/]*\}/) {
      throw error(
        line, "the path names '\(String(open.0).printable)', which is no key of the grid",
        remedy: point.isEmpty
          ? "add a grid" : "its keys are: \(point.map(\.key.printable).joined(separator: ", "))")
    }
    do throws(EmbedFuseError) {
      var type = recipe.method.type
      if let text = try text(name, "a method") { type = try MethodSettings.method(named: text) }
      var parameters: [String: TensorValue] = [:]
      // What the whole recipe gives holds as far as this output's method has such a parameter.
      for (key, value) in shared where type.description.parameter(named: key) != nil {
        parameters[key] = value
      }
      for (key, value) in try self.parameters(entries["parameters"], of: type) { parameters[key] = value }
      for (key, value) in values {
        guard let parameter = type.description.parameter(named: key) else {
          throw error(
            line, "\(type.description.name) has no parameter '\(key.printable)', a key of the grid",
            remedy: "its parameters are: \(type.description.parameters.map(\.name).joined(separator: ", "))")
        }
        parameters[parameter.name] = TensorValue(value)
      }
      var seed = recipe.method.seed
      if let seedText {
        guard let number = UInt64(seedText) else {
          throw error(
            line, "seed is '\(seedText.printable)', but must be a whole number", remedy: "give 0 or more")
        }
        seed = self.seed ?? number
      }
      if baseIsIngredient && type.description.mergeSpace != .weights {
        throw error(
          line, "\(type.description.name) measures from the base, which is one of the models of this recipe",
          remedy: "write a recipe of its own for it")
      }
      for place in recipe.slices.indices {
        for (key, _) in values {
          recipe.slices[place].parameters[key] = nil
          for source in recipe.slices[place].sources.indices {
            recipe.slices[place].sources[source].parameters[key] = nil
          }
        }
      }
      recipe.modelParameters = recipe.modelParameters.map { own in
        own.filter { key, _ in
          type.description.parameter(named: key) != nil && !values.contains { $0.key == key }
        }
      }
      recipe.method = try MethodSettings(
        type, parameters, seed: seed, followsMergekit: recipe.method.followsMergekit)
    } catch {
      throw error.problem.hasPrefix("line ") ? error : self.error(line, error.problem, remedy: error.remedy)
    }
    if let type = try elementType(entries["dtype"]) { recipe.elementType = type }
    recipe.relativeTo = try text(entries["relative_to"], "relative_to") ?? recipe.relativeTo
    return RecipeFile.Output(path: path, recipe: recipe)
  }
}
