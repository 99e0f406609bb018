import CHDF5
import Glibc
import TensorCore

/// An HDF5 file opened for reading: what it describes comes from a process of its own, its values from the file itself.
///
/// It may stand within another file, stored as it is: then the library sees the part through a mapping.
final class HDF5File: Sendable {
  /// The path in messages.
  let path: String
  /// The file itself.
  let input: InputFile
  /// The bytes of `input` that are the HDF5 file; nil if all are, and the library opens it by its path.
  private let part: Range<Int>?
  /// The library's handle, which is there once it was asked for.
  private let handle = Locked<hid_t>(-1)

  /// Opens a file.
  init(_ path: String) throws(EmbedFuseError) {
    input = try InputFile(path)
    part = nil
    self.path = path
  }

  /// Opens the part of a file that is an HDF5 file; `path` names it in messages.
  init(_ part: Range<Int>, of input: InputFile, path: String) {
    self.input = input
    self.part = part
    self.path = path
  }

  deinit {
    let id = handle.withLock { $0 }
    if id >= 0 { try? HDF5Library.locked { _ = ef_h5_close_file(id) } }
  }

  /// The error for a file that the library can't describe: it crashes, or never comes back, or was stopped.
  ///
  /// - Parameter status: what waitpid(2) tells of the process in which it was tried.
  static func failure(_ path: String, status: Int32 = 0) -> EmbedFuseError {
    let how: String
    switch (signal: status & 0x7F, exitCode: Int(status >> 8)) {
    case (0, 0): how = ""
    case (0, EF_H5_TOO_LARGE): how = " (it takes too much memory)"
    case (0, EF_H5_TOO_LONG): how = " (it lists more than the file can hold)"
    case (0, EF_H5_STUCK):
      return EmbedFuseError(
        .inputOutput, "the process that looks at it waits without an end", path: path,
        remedy: "start again, or copy the file to a local disk first")
    case (SIGXCPU, _): how = " (it computes without an end)"
    case (0, _): how = " (it crashes)"
    case (let signal, _) where [SIGSEGV, SIGBUS, SIGFPE, SIGILL, SIGABRT, SIGTRAP].contains(signal):
      how = " (it crashes with signal \(signal))"
    case (SIGKILL, _):
      return EmbedFuseError(
        .inputOutput, "the process that looks at it was killed: probably memory is short", path: path,
        remedy: "free some memory, then start again")
    case (let signal, _):
      return EmbedFuseError(
        .inputOutput, "the process that looks at it was ended by signal \(signal)", path: path,
        remedy: "start again")
    }
    return EmbedFuseError(
      .badData, "the HDF5 library fails on it\(how): it is damaged, or made to do harm", path: path,
      remedy: "download or copy it again")
  }

  /// The error for a file that no process describes since the system, or the caller, didn't let it.
  private static func failure(_ path: String, number: Int32) -> EmbedFuseError {
    guard number != ECANCELED else {
      return .system(.inputOutput, "it was not opened", path: path, number: number)
    }
    return .system(
      .inputOutput, "no process can be started to look at it", path: path,
      remedy: number == EAGAIN
        ? "raise the limit of processes (ulimit -u), or start again when others have ended" : nil,
      number: number)
  }

  /// Where the library sees a part of the file: a mapping that lasts as long as `input`, which the library only reads;
  /// nil if it opens the file by its path.
  private func start() throws(EmbedFuseError) -> UInt? {
    guard let part else { return nil }
    return try input.withMappedBytes(part) { bytes in
      unsafe bytes.withUnsafeBytes { UInt(bitPattern: $0.baseAddress) }
    }
  }

  /// Lets `body` look at what the library says of the file, as `HDF5Description` reads it.
  ///
  /// - Throws: bad data if the library fails on the file; an error of the system if no process could look at it, with
  ///   the number ECANCELED if the task is cancelled; what `body` throws.
  func withDescription<Result>(
    _ body: (RawSpan) throws(EmbedFuseError) -> Result
  ) throws(EmbedFuseError) -> Result {
    let (limits, start) = (HDF5Description.limits, try start())
    let (address, count, status, error) = try HDF5Library.locked {
      let description =
        if let part, let start {
          unsafe ef_h5_describe(
            nil, UnsafeMutableRawPointer(bitPattern: start), part.count, limits, Self.isCancelled)
        } else {
          unsafe ef_h5_describe(path, nil, input.byteCount, limits, Self.isCancelled)
        }
      return unsafe (
        UInt(bitPattern: description.bytes), description.count, description.status, description.error
      )
    }
    guard let description = unsafe UnsafeMutableRawPointer(bitPattern: address) else {
      throw error == 0 ? Self.failure(path, status: status) : Self.failure(path, number: error)
    }
    defer { unsafe free(description) }
    return try body(unsafe UnsafeRawBufferPointer(start: description, count: count).bytes)
  }

  /// Whether the task of the calling thread is cancelled.
  private static let isCancelled: @convention(c) () -> Int32 = { Task.isCancelled ? 1 : 0 }

  /// Lets `body` use the library's handle of the file, in `HDF5Library.locked`.
  ///
  /// The library is trusted with what the process that described the file came through: where values stand that it
  /// alone finds or decodes.
  func inLibrary<Result: Sendable>(
    _ body: (hid_t) throws(EmbedFuseError) -> Result
  ) throws(EmbedFuseError) -> Result {
    let start = try start()
    return try HDF5Library.locked { () throws(EmbedFuseError) in
      let id = handle.withLock { id in
        if id < 0 {
          id =
            if let part, let start {
              unsafe ef_h5_open_image(UnsafeMutableRawPointer(bitPattern: start), part.count)
            } else {
              unsafe ef_h5_open_file(path)
            }
        }
        return id
      }
      return try body(HDF5Library.check(id, .badData, "it can't be opened as HDF5", path: path))
    }
  }

  /// Checks that a range of bytes lies within the file, and returns which of `input` they are.
  func check(
    offset: UInt64, byteCount: UInt64, of what: String, in dataset: String
  ) throws(EmbedFuseError) -> Range<Int> {
    let part = part ?? 0..<input.byteCount
    let (end, overflow) = offset.addingReportingOverflow(byteCount)
    guard !overflow, end <= UInt64(part.count) else {
      throw EmbedFuseError(
        .badData,
        "\(what) of \(byteCount) bytes from byte \(offset) on ends after the file's \(part.count)",
        path: path, tensor: dataset, remedy: "the file was cut short; restore it from a copy")
    }
    return part.lowerBound + Int(offset)..<part.lowerBound + Int(end)
  }
}
