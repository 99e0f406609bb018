import TensorCore

/// The input files that a piece of work has opened, the state in which it found them, and the folders of its models.
///
/// Whoever sets `current` for a task finds every file in it that the task and its children open.
package final class InputLog: Sendable {
  /// Where the files that this task opens are noted; nil for nowhere.
  @TaskLocal package static var current: InputLog?

  private struct Entry {
    var identity: FileIdentity
    /// The file, as long as somebody reads it.
    weak var file: InputFile?
    /// True if the file was another, or in another state, when it was opened again.
    var differs = false
  }

  private let entries = Locked<[ExactString: Entry]>([:])
  private let folders = Locked<Set<String>>([])

  /// A log of nothing.
  package init() {}

  /// The paths of the files that were opened, as they were given, sorted.
  package var paths: [String] {
    entries.withLock { $0.keys.map(\.text).sorted { $0.utf8.lexicographicallyPrecedes($1.utf8) } }
  }

  /// The state in which a file was opened, or in which it is now if it wasn't; nil if there is none.
  package func identity(of path: String) -> FileIdentity? {
    entries.withLock { $0[ExactString(path)]?.identity } ?? FileIdentity(of: path)
  }

  /// The folders of models that were opened, then the files, as they were given: all that must stay as it is.
  package var places: [String] { folders.withLock { $0.sorted() } + paths }

  /// Notes the folder of a model, of which not every file need be read.
  package func note(folder: String) {
    folders.withLock { _ = $0.insert(folder) }
  }

  /// Runs `body`; the files that it opens are noted here.
  package func noting<Result>(
    _ body: () throws(EmbedFuseError) -> Result
  ) throws(EmbedFuseError) -> Result {
    try Self.$current.withValue(self) { Swift.Result { () throws(EmbedFuseError) in try body() } }.get()
  }

  func note(_ file: InputFile, _ identity: FileIdentity) {
    let path = ExactString(file.path)
    entries.withLock { entries in
      guard let known = entries[path] else {
        entries[path] = Entry(identity: identity, file: file)
        return
      }
      if known.identity.hasSameContent(as: identity) {
        entries[path]!.file = file
      } else {
        entries[path]!.differs = true
      }
    }
  }

  /// Checks that no file changed after it was opened. One that was replaced or removed is no matter, since it was read
  /// to its end under its old identity.
  ///
  /// - Throws: `EmbedFuseError` (input/output) naming the files that changed.
  package func checkUnchanged() throws(EmbedFuseError) {
    let changed = entries.withLock { entries in
      entries.filter { path, entry in
        if entry.differs { return true }
        if let now = entry.file?.identity { return !now.hasSameContent(as: entry.identity) }
        guard let now = FileIdentity(of: path.text), now.inode == entry.identity.inode else { return false }
        return !now.hasSameContent(as: entry.identity)
      }.keys.map(\.text).sorted()
    }
    guard let first = changed.first else { return }
    throw EmbedFuseError(
      .inputOutput,
      changed.count == 1
        ? "changed while it was read"
        : "and \(changed.count - 1) other inputs changed while they were read: \(Array(changed.dropFirst()).printableList)",
      path: first, remedy: "another program writes to it; start again when it is done")
  }
}
