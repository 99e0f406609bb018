import CHDF5
import TensorCore

/// An HDF5 file opened for reading: by the library for what it describes, and directly for the values.
///
/// It may stand within another file, stored as it is: then the library sees the part through a mapping.
final class HDF5File: Sendable {
  /// The path in messages.
  let path: String
  /// The library's handle; use it in `HDF5Library.locked` only.
  let id: hid_t
  /// The file itself.
  let input: InputFile
  /// The bytes of `input` that are the HDF5 file.
  private let part: Range<Int>
  /// Bytes in front of what HDF5 counts as the file's start. Addresses of chunks leave them out.
  let userblock: Int

  /// Opens a file.
  convenience init(_ path: String) throws(EmbedFuseError) {
    let input = try InputFile(path)
    try self.init(input, part: 0..<input.byteCount, path: path) {
      unsafe ef_h5_open_file(path)
    } probe: { seconds in
      unsafe ef_h5_probe(
        path, nil, input.byteCount, seconds, HDF5Object.textLimit, HDF5Object.listedChunks)
    }
  }

  /// Opens the part of a file that is an HDF5 file; `path` names it in messages.
  convenience init(_ part: Range<Int>, of input: InputFile, path: String) throws(EmbedFuseError) {
    let start = try input.withMappedBytes(part) { bytes in
      unsafe bytes.withUnsafeBytes { UInt(bitPattern: $0.baseAddress) }
    }
    // The mapping lasts as long as `input`, and the library only reads.
    try self.init(input, part: part, path: path) {
      unsafe ef_h5_open_image(UnsafeMutableRawPointer(bitPattern: start), part.count)
    } probe: { seconds in
      unsafe ef_h5_probe(
        nil, UnsafeMutableRawPointer(bitPattern: start), part.count, seconds, HDF5Object.textLimit,
        HDF5Object.listedChunks)
    }
  }

  private init(
    _ input: InputFile, part: Range<Int>, path: String, open: () -> hid_t,
    probe: (_ seconds: UInt32) -> Int32
  ) throws(EmbedFuseError) {
    self.path = path
    self.input = input
    self.part = part
    (id, userblock) = try HDF5Library.locked { () throws(EmbedFuseError) in
      // A sound file takes thousandths of a second; where no process can be started, the file is taken as it is.
      guard probe(UInt32(clamping: 1 + part.count >> 24)) != 0 else {
        throw EmbedFuseError(
          .badData, "the HDF5 library fails on it: it is damaged, or made to do harm", path: path,
          remedy: "download or copy it again")
      }
      let id = open()
      guard id >= 0 else {
        var error = HDF5Library.lastError(.badData, "it can't be opened as HDF5", path: path)
        error.remedy = error.remedy ?? "it is of another kind, or damaged: download or copy it again"
        throw error
      }
      do throws(EmbedFuseError) {
        let userblock = try HDF5Library.check(
          ef_h5_userblock(id), .badData, "its userblock can't be read", path: path)
        return (id, Int(userblock))
      } catch {
        ef_h5_close_file(id)
        throw error
      }
    }
  }

  deinit {
    let id = id
    try? HDF5Library.locked { _ = ef_h5_close_file(id) }
  }

  /// Checks that a range of bytes lies within the file, and returns which of `input` they are.
  func check(
    offset: UInt64, byteCount: UInt64, of what: String, in dataset: String
  ) throws(EmbedFuseError) -> Range<Int> {
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
