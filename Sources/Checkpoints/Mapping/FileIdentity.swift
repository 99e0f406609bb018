import Glibc

/// Which file it is and in which state, as far as the file system tells without reading it.
///
/// Whatever is written to a file changes its `ctime`, which no program can set; replacing it changes the inode. Two
/// equal identities therefore mean equal content, except for a write within the same tick of the file system's clock.
public struct FileIdentity: Sendable, Hashable {
  /// The file system.
  public let device: UInt64
  /// The file within it.
  public let inode: UInt64
  /// Its size in bytes.
  public let byteCount: Int
  /// Nanoseconds since 1970 of the last change of its content.
  public let modified: Int64
  /// Nanoseconds since 1970 of the last change of its content, name or rights.
  public let changed: Int64

  init(_ info: stat) {
    device = UInt64(info.st_dev)
    inode = UInt64(info.st_ino)
    byteCount = Int(info.st_size)
    modified = Int64(info.st_mtim.tv_sec) * 1_000_000_000 + Int64(info.st_mtim.tv_nsec)
    changed = Int64(info.st_ctim.tv_sec) * 1_000_000_000 + Int64(info.st_ctim.tv_nsec)
  }

  /// The identity of what stands at a path, symbolic links followed; nil if nothing does.
  public init?(of path: String) {
    var info = stat()
    guard unsafe stat(path, &info) == 0 else { return nil }
    self.init(info)
  }

  /// True if both are the same file with content of the same time and size, whatever became of its names and rights.
  func hasSameContent(as other: FileIdentity) -> Bool {
    device == other.device && inode == other.inode && byteCount == other.byteCount
      && modified == other.modified
  }
}
