import Glibc
import TensorCore

/// Giving a finished file a second name, so that it can be published without being written again.
package enum FinishedFile {
  /// Links a file to a new name, or copies it where the file system has no links.
  ///
  /// - Throws: `EmbedFuseError`: cannot create if something has the name; input/output if the file can't be read or
  ///   the copy not written.
  package static func place(_ path: String, at newPath: String) throws(EmbedFuseError) {
    try OutputFile.makeDirectories(FilePath.folder(of: newPath))
    if unsafe link(path, newPath) == 0 { return }
    guard [EPERM, EXDEV, EMLINK, ENOSYS, EOPNOTSUPP].contains(errno) else {
      throw .system(.cannotCreate, "can't be given the name \(newPath.printable)", path: path)
    }
    try copy(path, to: newPath)
  }

  /// Copies a file, 1 MiB at a time.
  static func copy(_ path: String, to newPath: String) throws(EmbedFuseError) {
    let input = try InputFile(path, isInput: false)
    let output = try OutputFile(creating: newPath, byteCount: input.byteCount)
    try input.forEachPiece(of: 0..<input.byteCount) { piece, position throws(EmbedFuseError) in
      try output.write(piece, at: position)
    }
    try output.close()
  }

  /// Flushes the name of a file or directory to disk, as far as its file system can.
  package static func synchronizeName(of path: String) throws(EmbedFuseError) {
    try FileTree.synchronizeEntry(FilePath.folder(of: path))
  }

  /// Gives a file or directory another name, if it can.
  package static func rename(_ path: String, to newPath: String) { unsafe Glibc.rename(path, newPath) }

  /// Removes a file, or a directory with what it holds. Does nothing if there is nothing.
  package static func remove(_ path: String) { FileTree.remove(path) }

  /// Removes all files below a directory but some, given by their paths relative to it. Does nothing if it isn't there.
  package static func removeOthers(in directory: String, keeping kept: Set<String>, below folder: String = "")
  {
    for name in (try? FilePath.names(in: FilePath.join(directory, folder))) ?? [] {
      let relative = FilePath.join(folder, name)
      let path = FilePath.join(directory, relative)
      if FilePath.kind(of: path) == .directory, !FilePath.isLink(path) {
        removeOthers(in: directory, keeping: kept, below: relative)
        removeIfEmpty(path)
      } else if !kept.contains(relative) {
        FileTree.remove(path)
      }
    }
  }

  /// Removes a directory if it is empty.
  package static func removeIfEmpty(_ directory: String) { unsafe rmdir(directory) }
}
