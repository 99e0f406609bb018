import CLinux
import Glibc
import TensorCore

/// Giving a finished output its final name, in one step wherever the file system can.
///
/// `renameat2(2)` knows two flags for this, which NFS and some others lack; each has a way without.
enum OutputName {
  /// Gives a new output a name that nothing has.
  ///
  /// - Throws: `EmbedFuseError`: cannot create if something has the name; input/output for all else.
  static func give(_ path: String, to newPath: String, isDirectory: Bool) throws(EmbedFuseError) {
    if unsafe clinux_rename_new(newPath, path) == 0 { return }
    guard lacksFlags else { throw failure(path) }
    try giveWithoutFlags(path, to: newPath, isDirectory: isDirectory)
  }

  /// The same by the older calls: a directory can't be renamed onto one that holds something; a file could, so
  /// it is linked to its name instead. Where there are no hard links, another run may come between the look and
  /// the renaming.
  static func giveWithoutFlags(
    _ path: String, to newPath: String, isDirectory: Bool
  ) throws(EmbedFuseError) {
    if isDirectory {
      guard unsafe rename(newPath, path) == 0 else { throw failure(path) }
    } else if unsafe link(newPath, path) == 0 {
      unsafe unlink(newPath)
    } else {
      guard [EPERM, ENOSYS, EOPNOTSUPP].contains(errno) else { throw failure(path) }
      var info = stat()
      guard unsafe lstat(path, &info) != 0 else { throw exists(path) }
      guard unsafe rename(newPath, path) == 0 else { throw failure(path) }
    }
  }

  /// Puts a new output in the place of an old one, which is left at `newPath` or `oldPath` if it is a directory,
  /// and is gone if it is a file. If there is none, only gives the name.
  static func replace(
    _ path: String, by newPath: String, movingAsideTo oldPath: String
  ) throws(EmbedFuseError) {
    // Onto a file, an empty directory or nothing, a plain rename will do.
    if unsafe rename(newPath, path) == 0 { return }
    guard errno == ENOTEMPTY || errno == EEXIST else { throw failure(path) }
    if unsafe clinux_rename_exchange(newPath, path) == 0 { return }
    guard lacksFlags else { throw failure(path) }
    try replaceWithoutFlags(path, by: newPath, movingAsideTo: oldPath)
  }

  /// The same for a directory by two renames. A run that dies between them leaves the old one at `oldPath`,
  /// from where the next run brings it back.
  static func replaceWithoutFlags(
    _ path: String, by newPath: String, movingAsideTo oldPath: String
  ) throws(EmbedFuseError) {
    guard unsafe rename(path, oldPath) == 0 else { throw failure(path) }
    guard unsafe rename(newPath, path) == 0 else {
      let error = failure(path)
      unsafe rename(oldPath, path)
      throw error
    }
  }

  /// Something has the output's name and isn't to be replaced.
  static func exists(_ path: String) -> EmbedFuseError {
    EmbedFuseError(
      .cannotCreate, "the output exists already", path: path,
      remedy: "choose another name, or use --force to replace it when the new one is complete")
  }

  /// True if `renameat2` has just failed because file system or kernel don't know its flags.
  private static var lacksFlags: Bool { [EINVAL, ENOSYS, EOPNOTSUPP].contains(errno) }

  private static func failure(_ path: String) -> EmbedFuseError {
    switch errno {
    case EEXIST, ENOTEMPTY, ENOTDIR, EISDIR: exists(path)
    default: .system(.inputOutput, "the output is complete, but can't be given its name", path: path)
    }
  }
}
