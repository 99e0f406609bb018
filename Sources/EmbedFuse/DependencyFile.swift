import Checkpoints
import TensorCore

/// A file of dependencies for make, as compilers write it with `-MD -MP`: what an output was made from, and an empty rule
/// for each of these files, so that one which is removed later doesn't stop make.
public struct DependencyFile: Sendable {
  /// The text of the file.
  public let text: String

  /// The dependencies of some outputs.
  ///
  /// - Parameters:
  ///   - targets: the paths of the outputs. A directory is represented by its manifest, since the time of a directory
  ///     says nothing.
  ///   - inputs: the files that they were made from. A target among them is left out.
  /// - Throws: `EmbedFuseError` (cannot create) for a name that make has no spelling for: one with a line break, or one
  ///   that ends in a backslash or `&`, or in parentheses, which to make is a member of an archive.
  public init(targets: [String], inputs: [String]) throws(EmbedFuseError) {
    let targets = targets.map { path in
      OutputKind(path: path) == .directory
        ? FilePath.join(FilePath.trimmed(path), CompanionFiles.manifest) : path
    }
    var known = Set(targets)
    let inputs = inputs.filter { known.insert($0).inserted }
    for path in targets + inputs {
      guard let problem = Self.unspeakable(in: path) else { continue }
      throw EmbedFuseError(
        .cannotCreate, "\(problem), which a file of dependencies can't hold", path: path,
        remedy: "rename it, or leave --depfile out")
    }
    var text = Self.characters.filter { character, _, _ in
      (targets + inputs).contains { $0.unicodeScalars.contains(character) }
    }.map { "\($1) := \($2)\n" }.joined()
    text += targets.map { Self.escaped($0, isTarget: true) }.joined(separator: " ") + ":"
    for input in inputs { text += " \\\n  " + Self.escaped(input, isTarget: false) }
    text += "\n"
    for input in inputs { text += "\n" + Self.escaped(input, isTarget: true) + ":\n" }
    self.text = text
  }

  /// Characters that no backslash makes part of every name, and the variables that stand for them: into those make
  /// doesn't look for assignments and recipes. What it does to names later takes their own backslashes away.
  private static let characters: [(character: Unicode.Scalar, variable: String, value: String)] = [
    ("=", "embedfuse_equals", "="), (";", "embedfuse_semicolon", "\\;"), ("\t", "embedfuse_tab", "\\\t#"),
  ]

  /// What make has no spelling for in a path; nil if it has one.
  private static func unspeakable(in path: String) -> String? {
    if path.utf8.contains(where: { $0 == 0x0A || $0 == 0x0D }) { return "has a line break in its name" }
    if path.hasSuffix("\\") || path.hasSuffix("&") { return "has a name that ends in '\(path.suffix(1))'" }
    if path.hasSuffix(")"), path.dropFirst().contains("(") {
      return "has a name that ends in parentheses"
    }
    return nil
  }

  /// A path as make reads it.
  private static func escaped(_ path: String, isTarget: Bool) -> String {
    var result = path.hasPrefix("~") ? "./" : ""
    var slashes = 0
    for character in path.unicodeScalars {
      // Backslashes in front of what is escaped are escaped themselves.
      let escapes = String(repeating: "\\", count: slashes)
      if let (_, variable, value) = characters.first(where: { $0.character == character }) {
        result += (value.hasPrefix("\\") ? escapes : "") + "$(\(variable))"
      } else {
        switch character {
        case "$": result += "$"
        // A percent sign stands for itself but in targets, where it makes a pattern; a bar but in what they depend on.
        case "%" where !isTarget, "|" where isTarget: break
        case " ", "#", ":", "*", "?", "[", "%", "|": result += escapes + "\\"
        default: break
        }
        result.unicodeScalars.append(character)
      }
      slashes = character == "\\" ? slashes + 1 : 0
    }
    return result
  }

  /// Checks, before anything is made, that such a file could be written, as far as the inputs are known: an existing one is
  /// replaced if it is a file of dependencies, or empty.
  ///
  /// - Throws: `EmbedFuseError` (cannot create).
  public static func check(
    _ path: String, targets: [String], inputs: [String] = []
  ) throws(EmbedFuseError) {
    _ = try DependencyFile(targets: targets, inputs: inputs)
    try checkReplaceable(path)
    try Publication(to: path, kind: .file, overwrite: true, synchronize: false).abandon()
  }

  /// Checks that no other file would be lost. Unlike outputs these are replaced at every build, so nobody could be asked
  /// for `--force` each time.
  private static func checkReplaceable(_ path: String) throws(EmbedFuseError) {
    guard FilePath.kind(of: path) == .file else { return }
    let file = try InputFile(path, isInput: false)
    guard file.byteCount > 0 else { return }
    guard file.byteCount <= 64 << 20, Self.isRule(try file.bytes()) else {
      throw EmbedFuseError(
        .cannotCreate, "exists and is no file of dependencies, so it is not replaced", path: path,
        remedy: "remove it, or choose another name for the file of dependencies")
    }
  }

  /// True for what `init` or a compiler makes: a rule over several lines without commands, then rules for nothing.
  private static func isRule(_ bytes: [UInt8]) -> Bool {
    var lines = bytes.split(separator: 0x0A, omittingEmptySubsequences: false)
      .drop { $0.starts(with: "embedfuse_".utf8) && $0.contains(UInt8(ascii: "=")) }
    guard let first = lines.popFirst(), first.suffix(3).elementsEqual(": \\".utf8) else { return false }
    var isContinued = true
    for line in lines {
      if isContinued {
        guard line.starts(with: "  ".utf8) else { return false }
        isContinued = line.suffix(2).elementsEqual(" \\".utf8)
      } else if let last = line.last, last != UInt8(ascii: ":") {
        return false
      }
    }
    return !isContinued
  }

  /// Writes the file, in one step.
  ///
  /// - Parameter synchronize: false to leave out the flush to disk. After a power cut make would take an empty file for
  ///   one without dependencies.
  /// - Throws: `EmbedFuseError` if it can't be written; cannot create if another kind of file stands there.
  public func write(to path: String, synchronize: Bool = true) throws(EmbedFuseError) {
    try Self.checkReplaceable(path)
    let publication = try Publication(to: path, kind: .file, overwrite: true, synchronize: synchronize)
    try OutputFile.write(Array(text.utf8), to: publication.stagingPath)
    try publication.publish()
  }
}
