import Glibc
import TensorCore

/// Files and directories with all that they hold.
enum FileTree {
  /// Folders nested deeper than this are not removed: each takes a descriptor.
  private static let depthLimit = 200

  /// Removes a file, or a directory with what it holds, whatever its names; links are removed, never followed, not even
  /// where they can't be removed. What can't be removed stays, and all else goes.
  ///
  /// - Returns: false if something is left.
  @discardableResult
  static func remove(_ path: String) -> Bool {
    remove(path.utf8CString.map { $0 }, in: AT_FDCWD, depth: 0)
  }

  /// The same for a name in an open directory. Each level is opened by its name in the one above and must be a directory
  /// then, so that nobody can slip in a link meanwhile.
  private static func remove(_ name: [CChar], in parent: Int32, depth: Int) -> Bool {
    if unsafe unlinkat(parent, name, 0) == 0 || errno == ENOENT { return true }
    guard depth < depthLimit else { return false }
    var folder: Int32
    repeat {
      folder = unsafe openat(parent, name, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC)
    } while folder < 0 && errno == EINTR
    if folder >= 0, let stream = unsafe fdopendir(folder) {
      for inner in unsafe FilePath.rawNames(in: stream) { _ = remove(inner, in: folder, depth: depth + 1) }
      unsafe closedir(stream)
    } else if folder >= 0 {
      close(folder)
    }
    return unsafe unlinkat(parent, name, AT_REMOVEDIR) == 0 || errno == ENOENT
  }

  /// Flushes a file, or a directory with what it holds, to disk.
  static func synchronize(_ path: String) throws(EmbedFuseError) {
    if FilePath.kind(of: path) == .directory {
      for name in try FilePath.names(in: path) { try synchronize(FilePath.join(path, name)) }
    }
    try synchronizeEntry(path)
  }

  /// Flushes one file or directory to disk, unless its file system can't flush a thing of this kind.
  static func synchronizeEntry(_ path: String) throws(EmbedFuseError) {
    var descriptor: Int32
    repeat { descriptor = unsafe open(path, O_RDONLY | O_CLOEXEC) } while descriptor < 0 && errno == EINTR
    guard descriptor >= 0 else { throw .system(.inputOutput, "can't be opened to flush it", path: path) }
    defer { close(descriptor) }
    guard flush(descriptor) == 0 || errno == EINVAL else {
      throw .system(.inputOutput, "can't be flushed to disk", path: path)
    }
  }

  /// `fsync(2)`, again if a signal interrupts it.
  static func flush(_ descriptor: Int32) -> Int32 {
    var result: Int32
    repeat { result = fsync(descriptor) } while result != 0 && errno == EINTR
    return result
  }
}
