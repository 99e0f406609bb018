import Glibc
import Synchronization
import TensorCore

/// An output that appears under its final name only when it is whole.
///
/// It is written into a folder beside that name, `.NAME.embedfuse-PID-RANDOM.tmp`, flushed to disk, and renamed. A
/// run that fails removes the folder; one that is killed leaves it to the next run for the same output, which knows
/// by its lock (`StagingFolder`) that nobody is at work in it, and removes or continues it.
///
/// A symbolic link at the final path is never followed and never replaced: it is an error.
package final class Publication: Sendable {
  /// What is published.
  package enum Kind: Sendable {
    /// One file.
    case file
    /// A directory.
    case directory
  }

  /// The final path.
  package let path: String
  /// Where to write before publication: an empty directory, or the path of a file that is to be created.
  package let stagingPath: String

  private let staging: StagingFolder
  private let kind: Kind
  private let overwrites: Bool
  private let synchronizes: Bool
  private let isOpen = Atomic<Bool>(true)
  private let leftovers: [String]

  /// Prepares an output and removes what dead runs for it have left behind.
  ///
  /// - Parameters:
  ///   - path: the final path.
  ///   - kind: what it will be; a directory is made under the staging path, a file is not.
  ///   - overwrite: true to replace what stands at the path now, when the new one is whole: a file, an empty
  ///     directory, or one that holds a model.
  ///   - synchronize: false for scratch work that needn't outlive a power cut.
  ///   - worth: to continue what a dead run left: what the records in a folder are worth, nothing if 0. nil to remove
  ///     what dead runs left.
  /// - Throws: `EmbedFuseError`: cannot create if something stands at the path and isn't to be replaced, or if
  ///   the folder is missing or can't be written.
  package init(
    to path: String, kind: Kind, overwrite: Bool, synchronize: Bool,
    continuing worth: ((String) -> Int)? = nil
  ) throws(EmbedFuseError) {
    let path = FilePath.trimmed(path)
    self.path = path
    self.kind = kind
    overwrites = overwrite
    synchronizes = synchronize
    let folder = FilePath.folder(of: path)
    guard FilePath.isPlainName(FilePath.name(of: path)), !path.utf8.contains(0) else {
      throw EmbedFuseError(
        .cannotCreate, "doesn't end in a name that the output could be given", path: path,
        remedy: "name a file or directory that is to be made")
    }
    let length = FilePath.name(of: path).utf8.count
    guard length <= Int(NAME_MAX) else {
      throw EmbedFuseError(
        .cannotCreate, "its name has \(length) bytes, but at most \(NAME_MAX) are allowed", path: path,
        remedy: "choose a shorter name")
    }
    guard FilePath.kind(of: folder) == .directory else {
      throw EmbedFuseError(
        .cannotCreate, "the folder \(folder.printable) isn't there", path: path,
        remedy: "make it first: mkdir -p \(folder.printable)")
    }
    try Self.checkReplaceable(path, kind: kind, overwrite: overwrite)
    guard unsafe access(folder, W_OK | X_OK) == 0 else {
      throw EmbedFuseError.system(
        .cannotCreate, "the folder \(folder.printable) can't be written to", path: path,
        remedy: "choose a folder that you may write to")
    }
    let continued = worth.flatMap { StagingFolder.resuming(path, worth: $0) }
    leftovers = StagingFolder.removeDead(for: path)
    if let continued { staging = continued } else { staging = try StagingFolder(for: path) }
    stagingPath = staging.newPath
    // What a dead run had moved aside may have come back.
    try Self.checkReplaceable(path, kind: kind, overwrite: overwrite)
    if kind == .directory {
      guard unsafe mkdir(stagingPath, 0o777) == 0 || (errno == EEXIST && continued != nil) else {
        throw EmbedFuseError.system(.cannotCreate, "a folder beside it can't be made", path: path)
      }
    }
  }

  deinit { abandon() }

  /// The staging path of a file within a directory that is being published.
  package func path(for relative: String) -> String {
    FilePath.join(stagingPath, relative)
  }

  /// A folder for records of what is finished, which is not published; made by whoever keeps some.
  package var recordsPath: String { staging.recordsPath }

  /// Leaves what was written, unless it has been published, to a run that continues this one.
  package func keep() {
    guard isOpen.exchange(false, ordering: .relaxed) else { return }
    staging.keep()
  }

  /// Removes what was written, unless it has been published.
  package func abandon() {
    guard isOpen.exchange(false, ordering: .relaxed) else { return }
    staging.remove()
  }

  /// Removes what runs that have ended left beside an output, as the next run for it would.
  package static func removeLeftovers(of path: String) { StagingFolder.removeDead(for: path) }

  /// Flushes everything to disk and gives it its final name.
  ///
  /// Of several runs for one output that don't overwrite, one succeeds and the others throw.
  ///
  /// - Returns: what should be told: what of a replaced output, or of dead runs, can't be removed.
  /// - Throws: `EmbedFuseError`: cannot create if something has appeared there meanwhile and isn't to be
  ///   replaced; input/output if flushing or renaming fails. Nothing appears under the final name then, except
  ///   if only its folder could not be flushed, which the message says.
  @discardableResult
  package func publish() throws(EmbedFuseError) -> [String] {
    guard isOpen.load(ordering: .relaxed) else {
      throw EmbedFuseError(.internalError, "the output was published or abandoned before", path: path)
    }
    if synchronizes { try FileTree.synchronize(stagingPath) }
    try Self.checkReplaceable(path, kind: kind, overwrite: overwrites)
    if overwrites {
      try OutputName.replace(path, by: stagingPath, movingAsideTo: staging.oldPath)
    } else {
      try OutputName.give(path, to: stagingPath, isDirectory: kind == .directory)
    }
    isOpen.store(false, ordering: .relaxed)
    staging.discardOld()
    if synchronizes {
      do {
        try FileTree.synchronizeEntry(FilePath.folder(of: path))
      } catch {
        staging.remove()
        var error = error
        error.problem = "the output is complete and in its place, but its folder \(error.problem)"
        error.path = path
        throw error
      }
    }
    // What was replaced goes only when the new output is safe.
    return leftovers + staging.remove()
  }

  /// Checks that the path is free, or holds what an output of this kind may replace.
  ///
  /// A directory that holds no model is not replaced, so that `-o ~ --force` can't remove a home folder, and neither is
  /// one that holds several, such as a training run with its checkpoints.
  ///
  /// - Throws: `EmbedFuseError` (cannot create).
  package static func checkReplaceable(
    _ path: String, kind: Kind, overwrite: Bool
  ) throws(EmbedFuseError) {
    var info = stat()
    guard unsafe lstat(path, &info) == 0 else { return }
    guard overwrite else { throw OutputName.exists(path) }
    func refuse(_ problem: String) -> EmbedFuseError {
      EmbedFuseError(
        .cannotCreate, problem, path: path, remedy: "choose another name, or remove it yourself")
    }
    switch (info.st_mode & S_IFMT, kind) {
    case (S_IFREG, .file): return
    case (S_IFREG, _): throw refuse("is a file, which a directory does not replace")
    case (S_IFDIR, .directory): break
    case (S_IFDIR, _): throw refuse("is a directory, which a file does not replace")
    case (S_IFLNK, _): throw refuse("is a symbolic link, which is neither followed nor replaced")
    default: throw refuse("is a device, a pipe or a socket, which is not replaced")
    }
    let names = try FilePath.names(in: path)
    guard names.isEmpty || names.contains(where: { isMark($0, in: path) }) else {
      throw refuse("is a directory that holds no model, so it is not replaced even with --force")
    }
    let nested = NestedModels.names(in: path, entries: names)
    guard nested.isEmpty else {
      throw refuse(
        "is a directory that holds other models (\(nested.printableList)), so it is not replaced even with --force"
      )
    }
  }

  /// True for a file by which a directory is known to hold a model or a part of one. Many programs have a `config.json`
  /// or a `modules.json`, so these are looked into.
  private static func isMark(_ name: String, in directory: String) -> Bool {
    let path = FilePath.join(directory, name)
    switch name {
    case "embedfuse.json", "model.safetensors", "model.safetensors.index.json", "embedfuse-part.json":
      return true
    case "config.json":
      guard let config = json(at: path) else { return false }
      return config["model_type"] != nil || config["architectures"] != nil
    case "modules.json":
      return json(at: path).map { (try? SentenceModule.parse($0, path: path)) != nil } ?? false
    default: return false
    }
  }

  private static func json(at path: String) -> JSON? {
    guard FilePath.kind(of: path) == .file, let bytes = try? InputFile.record(at: path) else { return nil }
    return try? JSON.parse(bytes.span, duplicateKeys: .lastWins, path: path)
  }
}
