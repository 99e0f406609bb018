import EmbedFuse
import TestSupport
import Testing

/// Recipes that were made to take all memory or the whole stack.
@Suite struct HostileRecipeTests {
  private static let depth = 100_000

  private func refusal(_ text: String) throws -> EmbedFuseError {
    let error = try #require(throws: EmbedFuseError.self) { try RecipeFile(text: text, path: "r.yaml") }
    #expect(error.code == .badData, "\(error)")
    return error
  }

  @Test(arguments: ["[", "{a: ", "- ", "? ", "[{", "-\t", "- - [", "!a [", "&a ["])
  func yamlThatNestsDeeplyOnOneLine(opening: String) throws {
    _ = try refusal("models: " + String(repeating: opening, count: Self.depth))
    _ = try refusal(String(repeating: opening, count: Self.depth) + "a")
  }

  /// Each level takes a line that is longer by one: the text's length limits them to a few thousand.
  @Test(arguments: ["a:\n", "-\n", "- a:\n", "?\n"]) func yamlThatNestsDeeplyOnManyLines(line: String) throws
  {
    var text = ""
    for level in 0..<2800 {
      text += String(repeating: " ", count: level * (line.first == "-" && line.count > 2 ? 2 : 1)) + line
    }
    _ = try refusal(text)
  }

  /// Aliases of aliases, of which ten levels would stand for ten thousand million values.
  @Test func aliasesThatMultiply() throws {
    var text = "a0: &a0 [x, x, x, x, x, x, x, x, x, x]\n"
    for level in 1...10 {
      let list = (0..<10).map { _ in "*a\(level - 1)" }.joined(separator: ", ")
      text += "a\(level): &a\(level) [\(list)]\n"
    }
    #expect(try refusal(text).description.contains("too many values"))
  }

  /// A map of very many keys that is merged into another: each must not be compared with each.
  @Test func mergedMapsOfVeryManyKeys() throws {
    let keys = (0..<60_000).map { "k\($0): 1" }.joined(separator: ", ")
    let error = try refusal("models: &m {\(keys)}\nparameters: {<<: *m}\n")
    #expect(error.problem.contains("delta-guided has no parameter 'k0'"), "\(error)")
  }

  /// What made Swift's reader of regular expressions use up the stack: a level for each of these.
  private static let expressions: [(problem: String, pattern: String)] = [
    ("are the most", String(repeating: "[", count: 900)),
    ("are the most", String(repeating: "[", count: 400) + "a" + String(repeating: "]", count: 400)),
    ("are the most", "[a" + String(repeating: "--a", count: 300) + "]"),
    ("are the most", "[a" + String(repeating: "&&a", count: 300) + "]"),
    ("are the most", "[a" + String(repeating: "~~a", count: 300) + "]"),
    ("are the most", "(?:[" + String(repeating: "a--[", count: 200)),
    ("1000 are the most", String(repeating: "a", count: 1001)),
    ("no regular expression", String(repeating: "(", count: 400) + "a" + String(repeating: ")", count: 400)),
    ("no regular expression", "("),
  ]

  @Test(arguments: expressions.indices) func regularExpressionsOfVeryManyLevels(place: Int) throws {
    let (problem, pattern) = Self.expressions[place]
    let rules = TensorValue(rules: [.init(.regex(pattern), points: ["true"])])
    // From a file, by the library, and for those who try a pattern alone.
    let quoted = pattern.replacing("'", with: "''")
    let text = "method: soup\nmodels: [{model: a, weight: [{regex: '\(quoted)', value: 1}, {value: 1}]}]\n"
    _ = try refusal(text)
    let error = try #require(throws: EmbedFuseError.self) {
      try MethodSettings(Soup.self, ["normalize": rules])
    }
    #expect(error.code == .usage && error.problem.contains(problem), "\(error)")
    #expect(!NamePattern.regex(pattern).matches(["a"]))
  }

  /// The deepest that are read fit into the stack of a task, which is small.
  @Test func regularExpressionsOfAsManyLevelsAsThereMayBe() async throws {
    let nested =
      String(repeating: "(?:", count: 40) + String(repeating: "[a&&", count: 10) + "a"
      + String(repeating: "]", count: 10) + String(repeating: ")", count: 40)
    let chained =
      String(repeating: "(", count: 40) + "[a" + String(repeating: "&&a", count: 19) + "]"
      + String(repeating: ")", count: 40)
    let found = await Task.detached {
      [nested, chained].map { NamePattern.regex($0).matches(["layers.a"]) }
    }.value
    #expect(found == [true, true])
  }

  /// Recipes that name inputs and layers by numbers, and types, as those in manifests do, with what is said of them.
  private static let numbers: [(problem: String, change: @Sendable (inout Recipe) -> Void)] = [
    ("layers of model 1", { $0.slices = [slice(model: 1, layers: 0..<1)] }),
    ("layers of model -1", { $0.slices = [slice(model: -1, layers: 0..<1)] }),
    ("asks for the layers -9223372036854775808", { $0.slices = [slice(model: 0, layers: .min ..< .max)] }),
    ("asks for the layers -9223372036854775808", { $0.slices = [slice(model: 0, layers: .min..<1)] }),
    ("there is none", { ($0.base, $0.slices) = (nil, [slice(model: 0, layers: 0..<1)]) }),
    ("parameters of 2 models", { $0.modelParameters = [[:], [:]] }),
    ("from input 2", { $0.configFrom = 2 }),
    ("from input -1", { $0.configFrom = -1 }),
    ("rounded to U16", { $0.intermediateType = .u16 }),
    ("rounded to I32", { $0.elementType = .i32 }),
    ("1000 are the most", { $0.weights = [longRule] }),
    ("1000 are the most", { $0.method.values["normalize"] = longRule }),
    (
      "1000 are the most",
      {
        $0.slices = [
          Recipe.Slice(sources: [.init(model: 0, layers: 0..<1)], parameters: ["normalize": longRule])
        ]
      }
    ),
  ]

  private static let longRule = TensorValue(
    rules: [.init(.regex(String(repeating: "a", count: 1001)), points: ["true"])])

  private static func slice(model: Int, layers: Range<Int>) -> Recipe.Slice {
    Recipe.Slice(sources: [.init(model: nil, layers: 0..<1), .init(model: model, layers: layers)])
  }

  @Test(arguments: numbers.indices) func numbersThatNameNothing(place: Int) throws {
    let folder = try TemporaryFolder()
    try PropertyTests.model(folder("base.safetensors"), seed: 1) { _, _ in 0 }
    try PropertyTests.model(folder("ft.safetensors"), seed: 1) { _, _ in 1 }
    let text = "method: soup\nbase: \(folder("base.safetensors"))\nmodels: [\(folder("ft.safetensors"))]\n"
    var recipe = try RecipeFile(text: text, path: "r.yaml").outputs[0].recipe
    _ = try FusionPlan(recipe)
    Self.numbers[place].change(&recipe)
    let error = try #require(throws: EmbedFuseError.self) { try FusionPlan(recipe) }
    #expect(error.code == .usage && error.description.contains(Self.numbers[place].problem), "\(error)")
  }
}
