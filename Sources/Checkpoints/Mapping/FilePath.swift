import Glibc
import TensorCore

/// Paths as text, and what the file system says of them. Taken apart by their bytes, as the system does: a slash before a
/// combining accent still separates.
package enum FilePath {
  /// What stands at a path, symbolic links followed.
  package enum Kind: Sendable {
    /// A regular file.
    case file
    /// A directory.
    case directory
    /// A device, a pipe or a socket.
    case other
  }

  /// What stands at a path; nil if nothing does.
  package static func kind(of path: String) -> Kind? {
    var info = stat()
    guard unsafe stat(path, &info) == 0 else { return nil }
    switch info.st_mode & S_IFMT {
    case S_IFREG: return .file
    case S_IFDIR: return .directory
    default: return .other
    }
  }

  /// The working directory; nil if it is gone.
  package static var workingDirectory: String? { resolved(".") }

  /// True if the last component of the path is a symbolic link.
  static func isLink(_ path: String) -> Bool {
    var info = stat()
    return unsafe lstat(path, &info) == 0 && info.st_mode & S_IFMT == S_IFLNK
  }

  /// True if both paths lead to the same file or directory.
  package static func isSame(_ first: String, _ second: String) -> Bool {
    var a = stat()
    var b = stat()
    guard unsafe stat(first, &a) == 0, unsafe stat(second, &b) == 0 else { return false }
    return a.st_dev == b.st_dev && a.st_ino == b.st_ino
  }

  /// True if `path` is `folder` or stands anywhere below it, symbolic links followed; false if either is missing.
  package static func isWithin(_ path: String, _ folder: String) -> Bool {
    guard let path = resolved(path), let folder = resolved(folder) else { return false }
    return path.hasSameBytes(as: folder) || path.utf8.starts(with: (folder == "/" ? "/" : folder + "/").utf8)
  }

  /// The absolute path without symbolic links that leads to the same place; nil if nothing stands there.
  static func resolved(_ path: String) -> String? {
    guard let text = unsafe realpath(path, nil) else { return nil }
    defer { unsafe free(text) }
    return unsafe String(cString: text)
  }

  /// `folder/name`; the name alone if the folder is empty.
  package static func join(_ folder: String, _ name: String) -> String {
    if folder.isEmpty { return name }
    if name.isEmpty { return folder }
    return folder.hasSuffix("/") ? folder + name : folder + "/" + name
  }

  /// The path without slashes at its end.
  package static func trimmed(_ path: String) -> String {
    var path = path[...]
    while path.count > 1, path.hasSuffix("/") { path = path.dropLast() }
    return String(path)
  }

  /// The folder that holds `path`: `.` if it names none.
  package static func folder(of path: String) -> String {
    let path = trimmed(path)
    guard let slash = path.utf8.lastIndex(of: UInt8(ascii: "/")) else { return "." }
    return slash == path.startIndex ? "/" : String(path[..<slash])
  }

  /// The last component of a path.
  package static func name(of path: String) -> String {
    trimmed(path).utf8.split(separator: UInt8(ascii: "/")).last.map { String(Substring($0)) } ?? "/"
  }

  /// A path as given, but of an absolute one only the last component: what files record must not tell about the
  /// machine.
  package static func portable(_ path: String) -> String {
    path.hasPrefix("/") ? name(of: path) : path
  }

  /// True if this names a file of the same folder: not empty, no separator, not `.` or `..`.
  static func isPlainName(_ name: String) -> Bool {
    !name.isEmpty && name != "." && name != ".."
      && !name.utf8.contains(where: { $0 == 0x2F || $0 == 0x5C || $0 == 0 })
  }

  /// True if this stays within the folder that it is relative to.
  static func isWithinFolder(_ relative: String) -> Bool {
    !relative.hasPrefix("/")
      && relative.split(separator: "/", omittingEmptySubsequences: false).allSatisfy {
        isPlainName(String($0))
      }
  }

  /// The names in a directory, sorted by their bytes, without `.` and `..`. In a name that isn't UTF-8 replacement
  /// characters stand for what can't be read, so that nothing is found under it.
  package static func names(in directory: String) throws(EmbedFuseError) -> [String] {
    guard let stream = unsafe opendir(directory) else {
      throw EmbedFuseError.system(.missingInput, "the directory can't be read", path: directory)
    }
    defer { unsafe closedir(stream) }
    return unsafe rawNames(in: stream).map { name in
      String(decoding: name.dropLast().lazy.map { UInt8(bitPattern: $0) }, as: UTF8.self)
    }.sorted { $0.utf8.lexicographicallyPrecedes($1.utf8) }
  }

  /// The names in an open directory as they are, each with a zero at its end, without `.` and `..`.
  @unsafe static func rawNames(in stream: OpaquePointer) -> [[CChar]] {
    var names: [[CChar]] = []
    while let entry = unsafe readdir(stream) {
      let name = unsafe withUnsafePointer(to: &entry.pointee.d_name) {
        unsafe $0.withMemoryRebound(to: CChar.self, capacity: 256) {
          unsafe Array(UnsafeBufferPointer(start: $0, count: strlen($0) + 1))
        }
      }
      let dot = CChar(bitPattern: UInt8(ascii: "."))
      if name != [dot, 0] && name != [dot, dot, 0] { names.append(name) }
    }
    return names
  }
}

extension [String] {
  /// The texts separated by commas, control characters escaped, at most 20 of them.
  package var printableList: String {
    prefix(20).map(\.printable).joined(separator: ", ") + (count > 20 ? " and \(count - 20) more" : "")
  }

  /// As lines of a message, indented, the first twenty of them.
  var messageLines: String {
    prefix(20).map { "\n  \($0)" }.joined() + (count > 20 ? "\n  and \(count - 20) more" : "")
  }
}
