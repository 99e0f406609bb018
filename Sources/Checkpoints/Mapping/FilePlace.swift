/// Where a path leads, whether something stands there or not: for comparing paths that may be spelled in several ways,
/// or lead to one file through links.
package struct FilePlace: Sendable {
  /// The path as it was given.
  package let path: String
  /// The place of the name itself: its folder without symbolic links, and the name.
  private let entry: String
  /// Where it leads, symbolic links followed.
  private let target: String
  /// What stands there.
  private let identity: FileIdentity?
  private let isDirectory: Bool

  /// The place that a path has now.
  package init(_ path: String) {
    self.path = path
    let name = FilePath.name(of: path)
    let resolved = FilePath.resolved(path)
    if FilePath.isPlainName(name), let folder = FilePath.resolved(FilePath.folder(of: path)) {
      entry = FilePath.join(folder, name)
    } else {
      entry = resolved ?? FilePath.trimmed(path)
    }
    target = resolved ?? entry
    identity = FileIdentity(of: path)
    isDirectory = FilePath.kind(of: path) == .directory
  }

  /// True if both are one file or directory, be it by a hard link, or would be.
  package func isSame(as other: FilePlace) -> Bool {
    if let identity, let theirs = other.identity {
      return identity.device == theirs.device && identity.inode == theirs.inode
    }
    return entry == other.entry
  }

  /// True if what replaces this one takes the other along: it is the same, or stands in this directory, itself or as a
  /// link.
  package func holds(_ other: FilePlace) -> Bool {
    isSame(as: other) || Self.isWithin(other.target, target) || Self.isWithin(other.entry, target)
  }

  /// True if the other is a directory, and this one stands in it or would.
  package func stands(in other: FilePlace) -> Bool {
    other.isDirectory && Self.isWithin(entry, other.target)
  }

  private static func isWithin(_ path: String, _ folder: String) -> Bool {
    path.utf8.starts(with: (folder == "/" ? "/" : folder + "/").utf8)
  }
}
