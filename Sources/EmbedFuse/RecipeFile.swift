import Checkpoints
import Fusion
import TensorCore

/// A recipe as a file: what to fuse, and what to write where.
///
/// The file is YAML. embedfuse's own keys and those of mergekit 0.1.5 are understood alike; docs/recipes.md describes
/// them. A file may hold several documents: those with a `name` are steps, which later documents take as models.
public struct RecipeFile: Sendable {
  /// One fusion that the file asks for.
  public struct Output: Sendable {
    /// Where it is to be written; nil if the file doesn't say.
    public var path: String?
    /// The recipe.
    public var recipe: Recipe
  }

  /// The fusions that are written, all from the same inputs.
  public var outputs: [Output]
  /// What should be told about how the file was read.
  public var warnings: [String]

  /// One recipe that comes from elsewhere than a file.
  public init(_ recipe: Recipe) {
    outputs = [Output(path: nil, recipe: recipe)]
    warnings = []
  }

  /// Reads a recipe file.
  ///
  /// - Parameters:
  ///   - path: the file.
  ///   - lenient: true to warn of unknown keys instead of refusing them.
  ///   - followsMergekit: true for mergekit's results where these are fragile; nil where the recipe is written as
  ///     mergekit's are, with `merge_method`.
  ///   - seed: the key of random numbers, if the recipe gives none.
  /// - Throws: `EmbedFuseError`: missing input; bad data with the line, and the nearest name for a wrong one.
  public init(
    path: String, lenient: Bool = false, followsMergekit: Bool? = nil, seed: UInt64? = nil
  ) throws(EmbedFuseError) {
    let file = try InputFile(path)
    guard file.byteCount <= 16 << 20 else {
      throw EmbedFuseError(
        .badData, "is too large for a recipe", path: path, remedy: "name a recipe, which is a short text")
    }
    let bytes = try file.bytes()
    guard let text = String(validating: bytes, as: UTF8.self) else {
      throw EmbedFuseError(.badData, "is no UTF-8 text", path: path, remedy: "save the recipe as UTF-8")
    }
    try self.init(text: text, path: path, lenient: lenient, followsMergekit: followsMergekit, seed: seed)
  }

  /// Reads the text of a recipe file; `path` is for messages.
  public init(
    text: String, path: String, lenient: Bool = false, followsMergekit: Bool? = nil, seed: UInt64? = nil
  ) throws(EmbedFuseError) {
    var reader = RecipeReader(
      path: path, isLenient: lenient, followsMergekit: followsMergekit, seed: seed)
    var steps: [Recipe.Step] = []
    var outputs: [Output] = []
    let documents = try RecipeNode.documents(text, path: path).filter { !$0.isNull }
    guard !documents.isEmpty else {
      throw EmbedFuseError(.badData, "holds no recipe", path: path, remedy: "see docs/recipes.md")
    }
    for (place, document) in documents.enumerated() {
      let (name, found) = try reader.read(document)
      if let name, place < documents.count - 1 {
        guard found.count == 1, found[0].path == nil, found[0].recipe.relativeTo == nil else {
          throw EmbedFuseError(
            .badData, "line \(document.line): the step '\(name.printable)' has outputs of its own",
            path: path,
            remedy: "only the last document may say what is written")
        }
        guard !steps.contains(where: { $0.name == name }) else {
          throw EmbedFuseError(
            .badData, "line \(document.line): there are two steps named '\(name.printable)'", path: path,
            remedy: "give each a name of its own")
        }
        steps.append(Recipe.Step(name: name, recipe: found[0].recipe))
      } else {
        guard place == documents.count - 1 else {
          throw EmbedFuseError(
            .badData, "line \(document.line): this document has no name, but others follow", path: path,
            remedy: "give it a name, by which the later ones can take it as a model")
        }
        outputs = found
      }
    }
    for place in outputs.indices { outputs[place].recipe.steps = steps }
    let taken = Set((steps.map(\.recipe) + outputs.map(\.recipe)).flatMap(\.inputs))
    for step in steps where !taken.contains(step.name) {
      reader.warnings.append(
        "\(path.printable): the step '\(step.name.printable)' is taken by none of the others")
    }
    self.outputs = outputs
    warnings = reader.warnings
  }
}
