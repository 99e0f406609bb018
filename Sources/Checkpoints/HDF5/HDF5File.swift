import CHDF5
import TensorCore

/// An HDF5 file opened for reading: by the library for what it describes, and directly for the values.
final class HDF5File: Sendable {
  let path: String
  /// The library's handle; use it in `HDF5Library.locked` only.
  let id: hid_t
  /// The file itself.
  let input: InputFile
  /// Bytes in front of what HDF5 counts as the file's start. Addresses of chunks leave them out.
  let userblock: Int

  init(_ path: String) throws(EmbedFuseError) {
    self.path = path
    input = try InputFile(path)
    (id, userblock) = try HDF5Library.locked { () throws(EmbedFuseError) in
      let id = unsafe ef_h5_open_file(path)
      try HDF5Library.check(id, .badData, "it can't be opened as HDF5", path: path)
      do throws(EmbedFuseError) {
        let userblock = try HDF5Library.check(
          ef_h5_userblock(id), .badData, "its userblock can't be read", path: path)
        return (id, Int(userblock))
      } catch {
        H5Fclose(id)
        throw error
      }
    }
  }

  deinit {
    let id = id
    try? HDF5Library.locked { _ = H5Fclose(id) }
  }

  /// Checks that a range of bytes lies within the file.
  func check(
    offset: UInt64, byteCount: UInt64, of what: String, in dataset: String
  ) throws(EmbedFuseError) -> Range<Int> {
    let (end, overflow) = offset.addingReportingOverflow(byteCount)
    guard !overflow, end <= UInt64(input.byteCount) else {
      throw EmbedFuseError(
        .badData,
        "\(what) of \(byteCount) bytes from byte \(offset) on ends after the file's \(input.byteCount)",
        path: path, tensor: dataset, remedy: "the file was cut short; restore it from a copy")
    }
    return Int(offset)..<Int(end)
  }
}
