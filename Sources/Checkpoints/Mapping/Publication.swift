import CLinux
import Glibc
import Synchronization
import TensorCore

/// An output that appears under its final name only when it is whole.
///
/// It is written beside that name, as `.NAME.embedfuse-PID-NUMBER.tmp`, flushed to disk, and renamed. A run that
/// fails removes what it wrote; one that is killed leaves only the staging name, which the next run for the same
/// output removes once its process is gone.
public final class Publication: Sendable {
  /// What is published.
  public enum Kind: Sendable {
    /// One file.
    case file
    /// A directory.
    case directory
  }

  /// The final path.
  public let path: String
  /// Where to write before publication.
  public let stagingPath: String

  private let kind: Kind
  private let overwrites: Bool
  private let synchronizes: Bool
  private let isOpen = Atomic<Bool>(true)
  private static let number = Atomic<Int>(0)

  /// Prepares an output and removes what dead runs for it have left behind.
  ///
  /// - Parameters:
  ///   - path: the final path.
  ///   - kind: what it will be; the staging directory is made, a staging file is not.
  ///   - overwrite: true to replace what stands at the path now, when the new one is whole.
  ///   - synchronize: false for scratch work that needn't outlive a power cut.
  /// - Throws: `EmbedFuseError`: cannot create if something stands at the path and isn't to be replaced, or if
  ///   the folder is missing or can't be written.
  public init(to path: String, kind: Kind, overwrite: Bool, synchronize: Bool) throws(EmbedFuseError) {
    let path = FilePath.trimmed(path)
    self.path = path
    self.kind = kind
    overwrites = overwrite
    synchronizes = synchronize
    let folder = FilePath.folder(of: path)
    let number = Self.number.wrappingAdd(1, ordering: .relaxed).oldValue
    stagingPath = FilePath.join(folder, ".\(FilePath.name(of: path)).embedfuse-\(getpid())-\(number).tmp")
    guard FilePath.kind(of: folder) == .directory else {
      throw EmbedFuseError(
        .cannotCreate, "the folder \(folder.printable) isn't there", path: path,
        remedy: "make it first: mkdir -p \(folder.printable)")
    }
    try Self.checkReplaceable(path, kind: kind, overwrite: overwrite)
    guard unsafe access(folder, W_OK | X_OK) == 0 else {
      throw EmbedFuseError.system(
        .cannotCreate, "the folder \(folder.printable) can't be written to", path: path)
    }
    try Self.removeLeftovers(of: path)
    if kind == .directory {
      guard unsafe mkdir(stagingPath, 0o777) == 0 else {
        throw EmbedFuseError.system(.cannotCreate, "a folder beside it can't be made", path: path)
      }
    }
  }

  deinit { abandon() }

  /// The staging path of a file within a directory that is being published.
  public func path(for relative: String) -> String {
    FilePath.join(stagingPath, relative)
  }

  /// Removes what was written, unless it has been published.
  public func abandon() {
    guard isOpen.exchange(false, ordering: .relaxed) else { return }
    FileTree.remove(stagingPath)
  }

  /// Flushes everything to disk and gives it its final name.
  ///
  /// - Throws: `EmbedFuseError`: cannot create if something has appeared there meanwhile and isn't to be
  ///   replaced; input/output if flushing or renaming fails. Nothing appears under the final name then.
  public func publish() throws(EmbedFuseError) {
    if synchronizes { try FileTree.synchronize(stagingPath) }
    if overwrites {
      try replace()
    } else if unsafe clinux_rename_new(stagingPath, path) != 0 {
      try renameWithoutFlags()
    }
    isOpen.store(false, ordering: .relaxed)
    if synchronizes { try FileTree.synchronizeEntry(FilePath.folder(of: path)) }
  }
}

// MARK: - Renaming

extension Publication {
  private var renameError: EmbedFuseError {
    errno == EEXIST || errno == ENOTEMPTY
      ? Self.exists(path) : .system(.inputOutput, "can't be given its name", path: path)
  }

  private static func exists(_ path: String) -> EmbedFuseError {
    EmbedFuseError(
      .cannotCreate, "the output exists already", path: path,
      remedy: "choose another name, or use --force to replace it when the new one is complete")
  }

  /// For file systems without `renameat2`'s flags. A directory can't be renamed onto one that holds something;
  /// a file could, so it is linked to its name instead.
  private func renameWithoutFlags() throws(EmbedFuseError) {
    guard errno == EINVAL || errno == ENOSYS else { throw renameError }
    switch kind {
    case .directory:
      guard unsafe rename(stagingPath, path) == 0 else { throw renameError }
    case .file:
      guard unsafe link(stagingPath, path) == 0 else { throw renameError }
      unsafe unlink(stagingPath)
    }
  }

  /// Puts the new output in the place of an old one. Where the file system can't exchange two names, a directory
  /// is moved aside first.
  private func replace() throws(EmbedFuseError) {
    if kind == .file || FilePath.kind(of: path) == nil {
      guard unsafe rename(stagingPath, path) == 0 else { throw renameError }
    } else if unsafe clinux_rename_exchange(stagingPath, path) == 0 {
      FileTree.remove(stagingPath)
    } else {
      let aside = stagingPath + ".old"
      guard unsafe rename(path, aside) == 0 else { throw renameError }
      guard unsafe rename(stagingPath, path) == 0 else {
        let error = renameError
        unsafe rename(aside, path)
        throw error
      }
      FileTree.remove(aside)
    }
  }

  /// Checks that the path is free, or holds what an output of this kind may replace.
  private static func checkReplaceable(
    _ path: String, kind: Kind, overwrite: Bool
  ) throws(EmbedFuseError) {
    var info = stat()
    guard unsafe lstat(path, &info) == 0 else { return }
    guard overwrite else { throw exists(path) }
    let isDirectory = info.st_mode & S_IFMT == S_IFDIR
    guard info.st_mode & S_IFMT != S_IFLNK, isDirectory == (kind == .directory) else {
      throw EmbedFuseError(
        .cannotCreate,
        "is a \(isDirectory ? "directory" : "link or file of another kind"), which the output would not replace alike",
        path: path,
        remedy: "choose another name, or remove it yourself")
    }
    let marks = ["config.json", "modules.json", "embedfuse.json", "model.safetensors"]
    if isDirectory, let names = try? FilePath.names(in: path), !names.isEmpty,
      !names.contains(where: marks.contains)
    {
      throw EmbedFuseError(
        .cannotCreate, "is a directory that holds no model, so it is not replaced even with --force",
        path: path,
        remedy: "choose another name, or remove it yourself")
    }
  }

  /// Removes staging names for this output whose process is gone.
  private static func removeLeftovers(of path: String) throws(EmbedFuseError) {
    let folder = FilePath.folder(of: path)
    let prefix = ".\(FilePath.name(of: path)).embedfuse-"
    for name in try FilePath.names(in: folder) where name.hasPrefix(prefix) && name.contains(".tmp") {
      guard let process = Int32(name.dropFirst(prefix.count).prefix(while: \.isNumber)) else { continue }
      if process != getpid(), kill(process, 0) != 0, errno == ESRCH {
        FileTree.remove(FilePath.join(folder, name))
      }
    }
  }
}
