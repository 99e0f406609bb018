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
    #expect(error.problem.contains("names no method"), "\(error)")
  }
}
