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
  ///   - inputs: the files that they were made from.
  /// - Throws: `EmbedFuseError` (cannot create) for a name with a line break, which make has no spelling for.
  public init(targets: [String], inputs: [String]) throws(EmbedFuseError) {
    let targets = targets.map { path in
      OutputKind(path: path) == .directory
        ? FilePath.join(FilePath.trimmed(path), CompanionFiles.manifest) : path
    }
    if let path = (targets + inputs).first(where: { $0.utf8.contains(where: { $0 == 0x0A || $0 == 0x0D }) }) {
      throw EmbedFuseError(
        .cannotCreate, "has a line break in its name, which a file of dependencies can't hold", path: path,
        remedy: "rename it, or leave --depfile out")
    }
    var text = targets.map { Self.escaped($0, isTarget: true) }.joined(separator: " ") + ":"
    for input in inputs { text += " \\\n  " + Self.escaped(input, isTarget: false) }
    text += "\n"
    for input in inputs { text += "\n" + Self.escaped(input, isTarget: true) + ":\n" }
    self.text = text
  }

  /// A path as make reads it.
  private static func escaped(_ path: String, isTarget: Bool) -> String {
    var result = path.hasPrefix("~") ? "./" : ""
    var slashes = 0
    for character in path.unicodeScalars {
      switch character {
      case "$": result += "$$"
      case " ", "\t", "#", ":", "*", "?", "[", "%":
        // A percent sign stands for itself but in targets, where it makes a pattern.
        if character != "%" || isTarget {
          // Backslashes in front of what is escaped are escaped themselves.
          result += String(repeating: "\\", count: slashes + 1)
        }
        result.unicodeScalars.append(character)
      default: result.unicodeScalars.append(character)
      }
      slashes = character == "\\" ? slashes + 1 : 0
    }
    return result
  }

  /// Checks, before anything is made, that a file for these targets could be written.
  ///
  /// - Throws: `EmbedFuseError` (cannot create).
  public static func check(_ path: String, targets: [String]) throws(EmbedFuseError) {
    _ = try DependencyFile(targets: targets, inputs: [])
    try Publication(to: path, kind: .file, overwrite: true, synchronize: false).abandon()
  }

  /// Writes the file, in one step.
  ///
  /// - Parameter synchronize: false to leave out the flush to disk. After a power cut make would take an empty file for
  ///   one without dependencies.
  /// - Throws: `EmbedFuseError` if it can't be written.
  public func write(to path: String, synchronize: Bool = true) throws(EmbedFuseError) {
    let publication = try Publication(to: path, kind: .file, overwrite: true, synchronize: synchronize)
    try OutputFile.write(Array(text.utf8), to: publication.stagingPath)
    try publication.publish()
  }
}
