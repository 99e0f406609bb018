import Checkpoints
import TensorCore

// The inputs of a recipe that stand on disk, for recipes whose inputs are elsewhere now.

extension Recipe {
  /// The paths of the inputs that stand on disk: the base, the models, their companions, then those of each step.
  public var storedInputs: [String] {
    recipesWithSteps.flatMap { recipe, made in
      recipe.inputs.filter { !ModelReference.isMade($0, by: made) }
    }
  }

  /// The recipe itself, then those of its steps, each with the names of the steps that it may take.
  private var recipesWithSteps: [(recipe: Recipe, made: [String])] {
    let names = steps.map(\.name)
    return [(self, names)] + steps.enumerated().map { ($1.recipe, Array(names[..<$0])) }
  }

  /// The recipe with other paths, in the order of `storedInputs`, of which there must be as many.
  func replacingInputs(_ paths: [String]) -> Recipe {
    var rest = paths[...]
    var replaced = recipesWithSteps.map { recipe, made in
      func place(_ path: String) -> String {
        ModelReference.isMade(path, by: made) ? path : rest.removeFirst()
      }
      var recipe = recipe
      recipe.base = recipe.base.map(place)
      recipe.models = recipe.models.map(place)
      recipe.companions = recipe.companions.map(place)
      return recipe
    }
    var result = replaced.removeFirst()
    result.steps = zip(steps, replaced).map { Step(name: $0.name, recipe: $1) }
    return result
  }

  /// The recipe that a manifest records.
  ///
  /// - Parameters:
  ///   - manifest: the manifest of the fusion that is to be repeated.
  ///   - inputs: where the inputs are, in the order of the manifest (`storedInputs`); empty to look for them by the
  ///     manifest's names.
  ///   - folders: where to look for them besides here.
  ///   - options: how the inputs' files are read.
  /// - Throws: `EmbedFuseError`: bad data if the manifest holds no recipe; usage if there are more or fewer paths than
  ///   inputs; missing input naming all that isn't there.
  public init(
    repeating manifest: FusionManifest, inputs: [String] = [], in folders: [String] = [],
    options: OpeningOptions = OpeningOptions()
  ) throws(EmbedFuseError) {
    let recipe = try Recipe(manifest: manifest, path: CompanionFiles.manifest)
    self = try recipe.locatingInputs(inputs, in: folders)
    opening = options
    opening.stateDictKey = options.stateDictKey ?? recipe.opening.stateDictKey
  }

  /// The recipe of a manifest with its inputs where they are: at `paths` if these are given, else as the manifest names
  /// them, from here or from one of the folders.
  ///
  /// - Throws: `EmbedFuseError`: usage if there are more or fewer paths than inputs; missing input naming all that
  ///   isn't there.
  private func locatingInputs(_ paths: [String], in folders: [String]) throws(EmbedFuseError) -> Recipe {
    let named = storedInputs
    guard paths.isEmpty else {
      guard paths.count == named.count else {
        throw EmbedFuseError(
          .usage, "\(paths.count) inputs are named, but the manifest has \(named.count)",
          remedy: "name them in this order: \(named.map(\.printable).joined(separator: ", "))")
      }
      return replacingInputs(paths)
    }
    var (found, missing): ([String], [String]) = ([], [])
    for name in named {
      let candidates = [name] + folders.map { ModelReference.joined($0, name) }
      if let path = candidates.first(where: ModelReference.isThere) {
        found.append(path)
      } else {
        missing.append(name)
      }
    }
    guard missing.isEmpty else {
      throw EmbedFuseError(
        .missingInput,
        "\(missing.map(\.printable).joined(separator: ", ")): not to be found here"
          + (folders.isEmpty ? "" : " or in \(folders.map(\.printable).joined(separator: ", "))"),
        remedy:
          "name all inputs in the order of the manifest, wherever they are: \(named.map(\.printable).joined(separator: " "))"
      )
    }
    return replacingInputs(found)
  }
}

extension ModelReference {
  /// True if this names a step, or adapters over one.
  static func isMade(_ name: String, by steps: [String]) -> Bool {
    if steps.contains(name) { return true }
    guard let (model, _) = parts(of: name, steps: steps) else { return false }
    return isMade(model, by: steps)
  }

  /// True if something stands at a path, or at all paths that `+` joins.
  static func isThere(_ name: String) -> Bool {
    exists(name) || name.split(separator: "+").allSatisfy { exists(String($0)) }
  }

  /// The reference with each of its paths in a folder, unless they are absolute.
  static func joined(_ folder: String, _ name: String) -> String {
    func join(_ path: String) -> String { path.hasPrefix("/") ? path : FilePath.join(folder, path) }
    let whole = join(name)
    return exists(whole) ? whole : name.split(separator: "+").map { join(String($0)) }.joined(separator: "+")
  }
}
