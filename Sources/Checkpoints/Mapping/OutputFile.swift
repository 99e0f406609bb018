import CLinux
import Glibc
import Synchronization
import TensorCore

/// A new file being written at given positions, by several workers at once.
///
/// Of a file that will be flushed the system is told to begin writing to disk every 16 MiB, so that the flush finds
/// little to do.
package final class OutputFile: Sendable {
  /// Where it is written.
  package let path: String
  private let descriptor: Int32
  private let isFlushed: Bool
  private let isOpen = Atomic<Bool>(true)
  private let writtenBytes = Atomic<Int>(0)
  private static let writebackBytes = 16 << 20

  /// Creates a file that doesn't exist yet, and reserves its space.
  ///
  /// - Parameters:
  ///   - path: where; nothing may stand there, not even a link.
  ///   - byteCount: the file's size, if it is known.
  ///   - isFlushed: false if nobody will wait for the disk.
  /// - Throws: `EmbedFuseError`: cannot create if the file can't be made; input/output if the disk is too full for
  ///   it, telling how much is free.
  package convenience init(
    creating path: String, byteCount: Int = 0, isFlushed: Bool = true
  ) throws(EmbedFuseError) {
    try self.init(path, flags: O_CREAT | O_EXCL, isFlushed: isFlushed)
    if byteCount > 0 { try reserve(byteCount) }
  }

  private init(_ path: String, flags: Int32, isFlushed: Bool) throws(EmbedFuseError) {
    self.path = path
    self.isFlushed = isFlushed
    var descriptor: Int32
    repeat {
      descriptor = unsafe open(path, O_RDWR | flags | O_CLOEXEC, 0o666)
    } while descriptor < 0 && errno == EINTR
    self.descriptor = descriptor
    guard descriptor >= 0 else {
      throw EmbedFuseError.system(.cannotCreate, "can't be created", path: path)
    }
  }

  deinit {
    if isOpen.load(ordering: .relaxed) { Glibc.close(descriptor) }
  }

  /// Reserves space where the file system can; writes the size alone where it can't.
  private func reserve(_ byteCount: Int) throws(EmbedFuseError) {
    while clinux_allocate(descriptor, Int64(byteCount)) != 0 {
      switch errno {
      case EINTR: continue
      case EOPNOTSUPP, ENOSYS:
        guard ftruncate(descriptor, off_t(byteCount)) == 0 else {
          throw EmbedFuseError.system(
            .inputOutput, "can't be given its size of \(byteCount) bytes", path: path)
        }
        return
      default:
        let number = errno
        throw EmbedFuseError.system(
          .inputOutput, "\(byteCount) bytes are needed, and \(freeSpace)", path: path, number: number)
      }
    }
  }

  /// What the file system has left for this user, for messages.
  private var freeSpace: String {
    var info = statvfs()
    guard unsafe fstatvfs(descriptor, &info) == 0 else { return "the file system does not say what is free" }
    return "\(UInt64(info.f_bavail) * UInt64(info.f_frsize)) are free on the file system"
  }

  /// Writes bytes from byte `offset` on.
  ///
  /// - Throws: `EmbedFuseError`: input/output, naming the position and what to do.
  package func write(_ bytes: Span<UInt8>, at offset: Int) throws(EmbedFuseError) {
    var done = 0
    while done < bytes.count {
      let written = unsafe bytes.withUnsafeBufferPointer { buffer in
        unsafe pwrite(descriptor, buffer.baseAddress! + done, bytes.count - done, off_t(offset + done))
      }
      if written > 0 {
        done += written
      } else if written == 0 || errno != EINTR {
        let number = written == 0 ? ENOSPC : errno
        throw EmbedFuseError.system(
          .inputOutput, "can't be written", path: path, offset: offset + done,
          number: number)
      }
    }
    guard isFlushed else { return }
    let total = writtenBytes.add(done, ordering: .relaxed)
    if total.oldValue / Self.writebackBytes != total.newValue / Self.writebackBytes {
      // Only a hint: where it fails, the last flush does the work.
      _ = clinux_start_writeback(descriptor)
    }
  }

  /// Closes the file, after which nothing may be written any more. Does nothing if it is closed.
  ///
  /// - Throws: `EmbedFuseError`: input/output, since file systems over a network tell only now that they have no
  ///   room.
  package func close() throws(EmbedFuseError) {
    guard isOpen.exchange(false, ordering: .relaxed) else { return }
    // Linux frees the descriptor even where EINTR says that it was interrupted.
    guard Glibc.close(descriptor) == 0 || errno == EINTR else {
      throw EmbedFuseError.system(.inputOutput, "can't be completed", path: path)
    }
  }

  /// Writes a whole small file.
  package static func write(_ bytes: [UInt8], to path: String) throws(EmbedFuseError) {
    let file = try OutputFile(creating: path)
    try file.write(bytes.span, at: 0)
    try file.close()
  }

  /// Writes bytes behind the last one of a file.
  static func append(_ bytes: [UInt8], at end: Int, to path: String) throws(EmbedFuseError) {
    let file = try OutputFile(path, flags: 0, isFlushed: false)
    try file.write(bytes.span, at: end)
    try file.close()
  }

  /// Makes a directory, and those above it as far as they are missing.
  package static func makeDirectories(_ path: String) throws(EmbedFuseError) {
    if FilePath.kind(of: path) == .directory { return }
    let parent = FilePath.folder(of: path)
    if parent != path { try makeDirectories(parent) }
    guard unsafe mkdir(path, 0o777) == 0 || errno == EEXIST else {
      throw EmbedFuseError.system(.cannotCreate, "the directory can't be made", path: path)
    }
  }
}
