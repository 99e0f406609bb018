import Checkpoints
import TensorCore

/// The folder beside an output in which its parts wait until they are put together: `OUT.parts`.
struct PartsFolder: Sendable {
  /// The output's path.
  let output: String
  /// The folder.
  let path: String

  /// The folder for an output, which need not be there.
  init(for output: String) {
    self.output = FilePath.trimmed(output)
    path = self.output + ".parts"
  }

  /// Where a part stands once it is finished.
  func path(of part: OutputPart) -> String { FilePath.join(path, part.folderName) }

  /// The records of the finished parts, in order.
  ///
  /// - Throws: `EmbedFuseError`: missing input or bad data for a part without a record that can be read.
  func records() throws(EmbedFuseError) -> [PartRecord] {
    guard FilePath.kind(of: path) == .directory else { return [] }
    var records: [PartRecord] = []
    for name in try FilePath.names(in: path) {
      guard let part = OutputPart(folderName: name) else { continue }
      let record = try PartRecord(ofPartAt: path(of: part))
      guard record.part == part else {
        throw EmbedFuseError(
          .badData, "says that it is part \(record.part)", path: path(of: part),
          remedy: "a part's folder keeps its name: make the part again")
      }
      records.append(record)
    }
    return records
  }

  /// Checks that parts belong together.
  ///
  /// - Throws: `EmbedFuseError` (bad data) naming the parts that don't, and what differs.
  func check(_ records: [PartRecord], against identity: FusionIdentity, count: Int, _ whose: String)
    throws(EmbedFuseError)
  {
    var problems: [String] = []
    for record in records {
      if record.part.count != count { problems.append("part \(record.part) is not one of \(count)") }
      let differences = record.identity.differences(from: identity)
      if !differences.isEmpty {
        problems.append("part \(record.part) differs in \(differences.joined(separator: ", "))")
      }
    }
    guard problems.isEmpty else {
      throw EmbedFuseError(
        .badData, "holds parts that don't belong to \(whose):\n  " + problems.joined(separator: "\n  "),
        path: path,
        remedy: "remove them and make them again; with --force a part takes the place of another")
    }
  }

  /// Removes the finished parts, and the folder unless somebody is still at work in it.
  func remove(_ records: [PartRecord], synchronize: Bool) {
    // A run that dies here leaves parts whole or under a name that is no part's.
    let removed = records.map { FilePath.join(path, ".\($0.part.folderName).removed") }
    for (record, name) in zip(records, removed) {
      FinishedFile.remove(name)
      FinishedFile.rename(path(of: record.part), to: name)
    }
    if synchronize, let first = removed.first { try? FinishedFile.synchronizeName(of: first) }
    for (record, name) in zip(records, removed) {
      FinishedFile.remove(name)
      Publication.removeLeftovers(of: path(of: record.part))
    }
    FinishedFile.removeIfEmpty(path)
  }
}
