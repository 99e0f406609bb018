import CHDF5
import Glibc
import TensorCore

/// The one way into the HDF5 library, which allows one call at a time and keeps its error messages per thread.
enum HDF5Library {
  private static let gate = Locked(())

  /// Calls `body` while no other thread is in the library; `body` must not block, and not call this again.
  static func locked<Result: Sendable>(
    _ body: () throws(EmbedFuseError) -> Result
  ) throws(EmbedFuseError) -> Result {
    try gate.withLock { _ throws(EmbedFuseError) in
      guard ef_h5_enter() >= 0 else {
        throw EmbedFuseError(.internalError, "the HDF5 library could not be opened")
      }
      return try body()
    }
  }

  /// `value`, the result of an HDF5 call, unless it is negative and so reports a failure.
  @discardableResult
  static func check<Value: SignedInteger>(
    _ value: Value, _ code: EmbedFuseError.Code, _ action: String, path: String, tensor: String? = nil
  ) throws(EmbedFuseError) -> Value {
    guard value < 0 else { return value }
    throw lastError(code, action, path: path, tensor: tensor)
  }

  /// The library's last failure on this thread: the operating system's reason where there is one, otherwise the
  /// innermost messages.
  static func lastError(
    _ code: EmbedFuseError.Code, _ action: String, path: String, tensor: String? = nil
  ) -> EmbedFuseError {
    var buffer = [CChar](repeating: 0, count: 2048)
    unsafe buffer.withUnsafeMutableBufferPointer { unsafe ef_h5_error_text($0.baseAddress, $0.count) }
    let text = String(decoding: buffer.prefix { $0 != 0 }.map(UInt8.init(bitPattern:)), as: UTF8.self)
    guard let number = systemErrorNumber(in: text) else {
      return EmbedFuseError(
        code, action + (text.isEmpty ? "" : ": HDF5: \(text)"), path: StagingFolder.published(path),
        tensor: tensor,
        remedy: code == .inputOutput ? "look whether the disk is full or fails; then start again" : nil)
    }
    var error = EmbedFuseError.system(code, action, path: path, number: number)
    error.tensor = tensor
    return error
  }

  /// HDF5 mentions the number of a failed system call as `errno = 28`.
  private static func systemErrorNumber(in text: String) -> Int32? {
    let key = Array("errno = ".utf8)
    let bytes = Array(text.utf8)
    for start in bytes.indices where bytes[start...].starts(with: key) {
      return Int32(
        String(decoding: bytes[(start + key.count)...].prefix { (48...57).contains($0) }, as: UTF8.self))
    }
    return nil
  }
}
