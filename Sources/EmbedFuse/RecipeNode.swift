import TensorCore
import Yams

/// A value in a recipe file with the line where it stands.
struct RecipeNode: Sendable {
  /// What it is.
  indirect enum Kind: Sendable {
    /// A number, a flag or a text, as written; flags in the spelling `true` or `false`.
    case scalar(String)
    /// Nothing, or `null`.
    case null
    /// A list.
    case list([RecipeNode])
    /// Keys with their values.
    case map([(key: String, line: Int, value: RecipeNode)])
  }

  /// What it is.
  let kind: Kind
  /// Its line, from 1.
  let line: Int

  /// The most bytes and nested values of a recipe.
  private static let limits = (bytes: 4 << 20, depth: 100, nodes: 1_000_000)

  /// The documents of a YAML text.
  ///
  /// - Throws: `EmbedFuseError` (bad data) with the line where it breaks the rules of YAML.
  static func documents(_ text: String, path: String) throws(EmbedFuseError) -> [RecipeNode] {
    guard text.utf8.count <= limits.bytes, nesting(of: text) <= limits.depth else {
      throw EmbedFuseError(
        .badData, "is longer than \(limits.bytes >> 20) MiB or nested more than \(limits.depth) deep",
        path: path,
        remedy: "a recipe is a short text")
    }
    var documents: [Node] = []
    do {
      // With an encoding named, none is looked for in the environment, which takes longer than reading a short text.
      let parser = try Parser(yaml: text, resolver: .basic, encoding: .utf8)
      while let document = try parser.nextRoot() { documents.append(document) }
    } catch {
      throw invalid(error, path: path)
    }
    var left = limits.nodes
    var result: [RecipeNode] = []
    for document in documents { result.append(try RecipeNode(document, path: path, left: &left)) }
    return result
  }

  /// What the reader of YAML found wrong, and where.
  private static func invalid(_ error: any Error, path: String) -> EmbedFuseError {
    switch error as? YamlError {
    case .scanner(let context, let problem, let mark, _), .parser(let context, let problem, let mark, _),
      .composer(let context, let problem, let mark, _):
      let begun = context.map { " (\($0.text), from line \($0.mark.line))" } ?? ""
      return EmbedFuseError(
        .badData, "line \(mark.line), column \(mark.column): is no YAML: \(problem)\(begun)", path: path,
        remedy: "indent with spaces, never tabs, what belongs together alike; close brackets and quotes")
    case .duplicatedKeysInMapping(let keys, let context):
      return EmbedFuseError(
        .badData,
        "line \(context.mark.line): the map that starts here has the key '\(keys[0].printable)' twice",
        path: path, remedy: "keep one of the two")
    default:
      return EmbedFuseError(
        .badData, "is no YAML: \(String(describing: error).printable)", path: path,
        remedy: "save the recipe as UTF-8, without control characters")
    }
  }

  /// How deep brackets and list marks nest, from above.
  private static func nesting(of text: String) -> Int {
    var (depth, deepest) = (0, 0)
    for line in text.split(separator: "\n", omittingEmptySubsequences: true) {
      var marks = 0
      for character in line.utf8 {
        switch character {
        case UInt8(ascii: "["), UInt8(ascii: "{"): depth += 1
        case UInt8(ascii: "]"), UInt8(ascii: "}"): depth = max(0, depth - 1)
        case UInt8(ascii: "-"), UInt8(ascii: "?"): marks += 1
        case UInt8(ascii: " "): break
        default: deepest = max(deepest, depth + (marks > 50 ? marks : 0))
        }
        if character != UInt8(ascii: " ") && character != UInt8(ascii: "-") && character != UInt8(ascii: "?")
        {
          marks = marks > 50 ? marks : -1_000_000
        }
      }
      deepest = max(deepest, depth + max(0, marks > 50 ? marks : 0))
    }
    return deepest
  }

  /// A value at a line.
  init(kind: Kind, line: Int) {
    self.kind = kind
    self.line = line
  }

  private init(_ node: Node, path: String, left: inout Int) throws(EmbedFuseError) {
    line = node.mark?.line ?? 1
    left -= 1
    guard left > 0 else {
      throw EmbedFuseError(.badData, "holds too many values", path: path, remedy: "use fewer aliases")
    }
    switch node {
    case .scalar(let scalar):
      kind = Self.scalar(scalar.string, isPlain: scalar.style == .plain || scalar.style == .any)
    case .sequence(let sequence):
      var items: [RecipeNode] = []
      for item in sequence { items.append(try RecipeNode(item, path: path, left: &left)) }
      kind = .list(items)
    case .mapping(let mapping):
      var entries: [(key: String, line: Int, value: RecipeNode)] = []
      for (key, value) in mapping {
        guard let name = key.scalar?.string else {
          throw EmbedFuseError(
            .badData, "line \(key.mark?.line ?? line): a key must be a word", path: path,
            remedy: "write 'key: value', the key without brackets")
        }
        entries.append((name, key.mark?.line ?? line, try RecipeNode(value, path: path, left: &left)))
      }
      kind = .map(try Self.merged(entries, path: path))
    case .alias:
      throw EmbedFuseError(
        .badData, "line \(line): an alias stands for nothing", path: path,
        remedy: "mark what it stands for with &NAME before it")
    }
  }

  /// The entries with those of the maps that the key `<<` names, where they have none of their own (YAML 1.1's merge key).
  private static func merged(
    _ entries: [(key: String, line: Int, value: RecipeNode)], path: String
  ) throws(EmbedFuseError) -> [(key: String, line: Int, value: RecipeNode)] {
    guard entries.contains(where: { $0.key == "<<" }) else { return entries }
    var result = entries.filter { $0.key != "<<" }
    var names = Set(result.map(\.key))
    for (_, line, value) in entries.filter({ $0.key == "<<" }) {
      for map in value.items ?? [value] {
        guard let own = map.entries else {
          throw EmbedFuseError(
            .badData, "line \(line): << must name a map, or a list of maps", path: path,
            remedy: "mark the map with &NAME, and write <<: *NAME")
        }
        for entry in own where names.insert(entry.key).inserted { result.append(entry) }
      }
    }
    return result
  }

  /// A plain scalar may be nothing or a flag, in all spellings of YAML 1.1, which PyYAML reads.
  private static func scalar(_ text: String, isPlain: Bool) -> Kind {
    guard isPlain else { return .scalar(text) }
    switch text {
    case "", "~", "null", "Null", "NULL": return .null
    case "true", "True", "TRUE", "yes", "Yes", "YES", "on", "On", "ON": return .scalar("true")
    case "false", "False", "FALSE", "no", "No", "NO", "off", "Off", "OFF": return .scalar("false")
    default: return .scalar(text)
    }
  }

  /// The text of a scalar.
  var text: String? {
    if case .scalar(let text) = kind { text } else { nil }
  }

  /// The items of a list.
  var items: [RecipeNode]? {
    if case .list(let items) = kind { items } else { nil }
  }

  /// The entries of a map.
  var entries: [(key: String, line: Int, value: RecipeNode)]? {
    if case .map(let entries) = kind { entries } else { nil }
  }

  /// True for nothing.
  var isNull: Bool {
    if case .null = kind { true } else { false }
  }
}
