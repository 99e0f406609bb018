import Checkpoints
import TensorCore

/// All that a run writes: checked, before any work, against all that it reads and one against the other.
///
/// Whether something that stands at one of these paths may be replaced is another question, which `Publication` answers.
package struct WrittenPaths: Sendable {
  /// What is written, as messages name it.
  private enum Kind: String {
    case output = "the output"
    case report = "the weights report"
    case page = "the page"
    case dependencies = "the file of dependencies"
  }

  private let entries: [(kind: Kind, path: String)]

  /// The paths of what a run writes.
  package init(
    outputs: [String] = [], weightsReport: String? = nil, page: String? = nil, dependencyFile: String? = nil
  ) {
    let others: [(Kind, String?)] = [
      (.report, weightsReport), (.page, page), (.dependencies, dependencyFile),
    ]
    entries =
      outputs.map { (.output, $0) }
      + others.compactMap { kind, path in path.map { (kind, $0) } }
  }

  /// Checks that nothing which is read is replaced or added to, and that nothing which is written takes the place of
  /// something else that is.
  ///
  /// - Parameters:
  ///   - log: the files that have been opened and the folders of models.
  ///   - manifests: the manifests, or the fused checkpoints with theirs, that outputs are held to. An output may take the
  ///     place of its own manifest, since that is written again.
  /// - Throws: `EmbedFuseError`: usage for an output whose name asks for a kind of file that can't be written; cannot
  ///   create for two paths that don't go together, of which the message names both.
  package func check(keeping log: InputLog, manifests: [String] = []) throws(EmbedFuseError) {
    for case (.output, let path) in entries { try OutputKind.check(path) }
    let written = entries.map { FilePlace($0.path) }
    let inputs = log.places.map(FilePlace.init)
    let pinned = manifests.map { FilePlace(FusionManifest.file(of: $0)) }
    for (index, (kind, place)) in zip(entries.map(\.kind), written).enumerated() {
      for other in 0..<index { try check(other, index, at: written) }
      let own = kind == .output ? [place, FilePlace(FilePath.join(place.path, CompanionFiles.manifest))] : []
      let others = pinned.filter { manifest in !own.contains { $0.isSame(as: manifest) } }
      if let input = (inputs + others).first(where: place.holds) {
        throw EmbedFuseError(
          .cannotCreate,
          kind == .output
            ? "the output is one of the inputs, or holds it (\(input.path.printable))"
            : "\(kind.rawValue) would replace a file of an input (\(input.path.printable))",
          path: place.path, remedy: "inputs are never changed: choose another name for \(kind.rawValue)")
      }
      // It would travel along with that input the next time.
      if let input = inputs.first(where: place.stands) {
        throw EmbedFuseError(
          .cannotCreate, "\(kind.rawValue) would stand in the input \(input.path.printable)",
          path: place.path, remedy: "inputs are never changed: choose a place outside of it")
      }
    }
  }

  /// Checks two of the paths against each other.
  private func check(_ first: Int, _ second: Int, at places: [FilePlace]) throws(EmbedFuseError) {
    let (one, other) = (places[first], places[second])
    guard one.holds(other) || other.holds(one) else { return }
    let kinds = (entries[first].kind, entries[second].kind)
    guard kinds.0 == .output, kinds.1 == .output else {
      throw EmbedFuseError(
        .cannotCreate,
        "\(kinds.1.rawValue) would stand in the place of \(kinds.0.rawValue) (\(one.path.printable))",
        path: other.path, remedy: "choose another name for \(kinds.1.rawValue)")
    }
    throw EmbedFuseError(
      .cannotCreate,
      one.isSame(as: other)
        ? "two outputs have this path" : "one output would stand in another (\(one.path.printable))",
      path: other.path, remedy: "give each output of the recipe a path of its own")
  }
}
