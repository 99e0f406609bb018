import CLinux
import Glibc
import TensorCore

/// A new file being written at given positions, by several workers at once.
public final class OutputFile: Sendable {
  /// Where it is written.
  public let path: String
  private let descriptor: Int32

  /// Creates a file that doesn't exist yet, and reserves its space.
  ///
  /// - Throws: `EmbedFuseError`: cannot create if the file can't be made or the disk is too full for it.
  public init(creating path: String, byteCount: Int = 0) throws(EmbedFuseError) {
    self.path = path
    descriptor = unsafe open(path, O_RDWR | O_CREAT | O_EXCL | O_CLOEXEC, 0o666)
    guard descriptor >= 0 else {
      throw EmbedFuseError.system(.cannotCreate, "can't be created", path: path)
    }
    if byteCount > 0 { try reserve(byteCount) }
  }

  deinit { close(descriptor) }

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
        throw EmbedFuseError.system(
          .inputOutput, "there is no room for its \(byteCount) bytes", path: path,
          remedy: Self.remedy(for: errno))
      }
    }
  }

  private static func remedy(for number: Int32) -> String? {
    switch number {
    case ENOSPC: "free some space, or choose another place for the output"
    case EDQUOT: "your disk quota is used up; free some space, or choose another place for the output"
    case EFBIG: "the file system or the shell's limit (ulimit -f) doesn't allow a file of this size"
    default: nil
    }
  }

  /// Writes bytes from byte `offset` on.
  ///
  /// - Throws: `EmbedFuseError`: input/output, naming the position and what to do.
  public func write(_ bytes: Span<UInt8>, at offset: Int) throws(EmbedFuseError) {
    var done = 0
    while done < bytes.count {
      let written = unsafe bytes.withUnsafeBufferPointer { buffer in
        unsafe pwrite(descriptor, buffer.baseAddress! + done, bytes.count - done, off_t(offset + done))
      }
      if written > 0 {
        done += written
      } else if written == 0 || errno != EINTR {
        let remedy = Self.remedy(for: errno)
        throw EmbedFuseError.system(
          .inputOutput, "can't be written", path: path, offset: offset + done, remedy: remedy)
      }
    }
  }

  /// Flushes the file to disk.
  public func synchronize() throws(EmbedFuseError) {
    guard fsync(descriptor) == 0 else {
      throw EmbedFuseError.system(.inputOutput, "can't be flushed to disk", path: path)
    }
  }

  /// Writes a whole small file.
  public static func write(_ bytes: [UInt8], to path: String) throws(EmbedFuseError) {
    try OutputFile(creating: path).write(bytes.span, at: 0)
  }

  /// Makes a directory, and those above it as far as they are missing.
  public static func makeDirectories(_ path: String) throws(EmbedFuseError) {
    if FilePath.kind(of: path) == .directory { return }
    let parent = FilePath.folder(of: path)
    if parent != path { try makeDirectories(parent) }
    guard unsafe mkdir(path, 0o777) == 0 || errno == EEXIST else {
      throw EmbedFuseError.system(.cannotCreate, "the directory can't be made", path: path)
    }
  }
}
