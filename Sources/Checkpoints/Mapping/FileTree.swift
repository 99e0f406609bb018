import Glibc
import TensorCore

/// Files and directories with all that they hold.
enum FileTree {
  /// Removes a file, or a directory with what it holds; links are removed, not followed. Does nothing if there
  /// is nothing.
  static func remove(_ path: String) {
    if unsafe unlink(path) == 0 || errno == ENOENT { return }
    for name in (try? FilePath.names(in: path)) ?? [] { remove(FilePath.join(path, name)) }
    unsafe rmdir(path)
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
