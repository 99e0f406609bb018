import Glibc
import TensorCore

extension EmbedFuseError {
  /// An error of the system call that has just failed, with the text for `errno`, or for the number that was kept.
  static func system(
    _ code: Code, _ problem: String, path: String? = nil, offset: Int? = nil, remedy: String? = nil,
    number: Int32 = Glibc.errno
  ) -> EmbedFuseError {
    let text = unsafe String(cString: strerror(number))
    return EmbedFuseError(
      code, "\(problem): \(text)", path: path.map(StagingFolder.published), offset: offset,
      remedy: remedy ?? Self.remedy(for: number, reading: code == .missingInput), errno: number)
  }

  /// Lets work on very many tensors end soon after its task is cancelled.
  ///
  /// - Throws: `EmbedFuseError` with the number ECANCELED if it is.
  package static func checkCancellation() throws(EmbedFuseError) {
    if Task.isCancelled { throw .system(.inputOutput, "the work was stopped", number: ECANCELED) }
  }

  /// True for what `checkCancellation` throws.
  package var isCancellation: Bool { errno == ECANCELED }

  /// What to do about an error of the system.
  private static func remedy(for number: Int32, reading: Bool) -> String? {
    switch number {
    case ENOSPC: "free some space, or choose another place for the output"
    case EDQUOT: "your disk quota is used up; free some space, or choose another place for the output"
    case EFBIG: "the file system or the shell's limit (ulimit -f) doesn't allow a file of this size"
    case EROFS: "the file system is read-only; choose another place for the output"
    case EACCES, EPERM:
      reading
        ? "check your rights to the file and to the folders above it"
        : "choose a place where you may write"
    case EMFILE: "raise the limit of open files (ulimit -n), or read inputs of fewer files"
    case ENFILE: "the whole system has too many files open; try again when others have ended"
    case ENOMEM: "free some memory, or raise the limit (ulimit -v)"
    case ENODEV: "its file system has no mappings; copy the file to another one"
    case EIO: "the disk, or the way to it, fails: see the system's log (dmesg), and use another one"
    case ESTALE: "the file was replaced on its server; start again"
    case EXDEV, EBUSY: "choose another name or folder for the output"
    case ENAMETOOLONG: "choose a shorter name"
    case ENOENT, ENOTDIR: reading ? "check the name and where you are" : "the folder has gone; start again"
    default: nil
    }
  }
}
