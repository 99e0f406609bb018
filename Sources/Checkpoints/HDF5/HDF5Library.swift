import CHDF5
import Glibc
import TensorCore

/// The one way into the HDF5 library, which allows one call at a time and keeps its error messages per thread.
///
/// It is loaded when it is first entered: most runs need neither it nor the libraries that come with it.
package enum HDF5Library {
  private static let gate = Locked(())

  /// Begins to load the library on another thread, for a caller who will need it soon. If it can't be loaded, whoever
  /// enters it learns that.
  package static func startLoading() { ef_h5_load_early() }

  /// Calls `body` while no other thread is in the library; `body` must not block, and not call this again.
  ///
  /// - Throws: unavailable if the library can't be loaded; what `body` throws.
  static func locked<Result: Sendable>(
    _ body: () throws(EmbedFuseError) -> Result
  ) throws(EmbedFuseError) -> Result {
    try gate.withLock { _ throws(EmbedFuseError) in
      guard ef_h5_load() >= 0 else {
        throw EmbedFuseError(
          .unavailable,
          "the HDF5 library can't be loaded: \(unsafe String(cString: ef_h5_load_problem()))",
          remedy:
            "install it (Debian: apt-get install hdf5-tools; Fedora: dnf install hdf5), or keep to other formats, such as .safetensors"
        )
      }
      ef_h5_enter()
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

  /// The library's last failure on this thread.
  static func lastError(
    _ code: EmbedFuseError.Code, _ action: String, path: String, tensor: String? = nil
  ) -> EmbedFuseError {
    var buffer = [CChar](repeating: 0, count: 2048)
    unsafe buffer.withUnsafeMutableBufferPointer { unsafe ef_h5_error_text($0.baseAddress, $0.count) }
    let text = String(decoding: buffer.prefix { $0 != 0 }.map(UInt8.init(bitPattern:)), as: UTF8.self)
    return error(code, action, text, path: path, tensor: tensor)
  }

  /// A failure of the library with its messages `text`: the operating system's reason where there is one, otherwise the
  /// innermost messages.
  static func error(
    _ code: EmbedFuseError.Code, _ action: String, _ text: String, path: String, tensor: String? = nil
  ) -> EmbedFuseError {
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
