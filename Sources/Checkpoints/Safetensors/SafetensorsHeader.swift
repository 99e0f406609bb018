import TensorCore

/// The header of a safetensors file: an 8-byte little-endian length N, N bytes of JSON, then the data.
///
/// Validated as the reference implementation (safetensors 0.8) does, and more strictly in two points: a tensor
/// name that stands twice, and a tensor described by an array instead of an object, are rejected. So are names that
/// differ only in how their characters are composed.
struct SafetensorsHeader {
  /// The longest header that the format allows.
  static let lengthLimit = 100_000_000

  /// A tensor with the first byte of its values, counted from the start of the file.
  struct Entry {
    let info: TensorInfo
    let offset: Int
  }

  /// The tensors in the order of their values.
  let entries: [Entry]
  /// The strings of `__metadata__`.
  let metadata: [String: String]

  /// Reads and validates the header of an open file.
  ///
  /// The header is read in place, tensor by tensor, so that memory goes to its tensors only.
  ///
  /// - Throws: `EmbedFuseError`: bad data naming the tensor and the byte, for whatever the format forbids.
  init(of file: InputFile) throws(EmbedFuseError) {
    let length = try Self.length(of: file)
    let contents = try file.withMappedBytes(8..<8 + length) { text throws(EmbedFuseError) in
      try Self.contents(of: text, path: file.path)
    }
    metadata = contents.metadata
    entries = try Self.layOut(contents.tensors, dataStart: 8 + length, file: file)
  }

  static let notSafetensors = "check that this is a safetensors file, and download or copy it again"

  /// The header's length, checked against the file's size.
  private static func length(of file: InputFile) throws(EmbedFuseError) -> Int {
    guard file.byteCount >= 8 else {
      throw EmbedFuseError(
        .badData, "the file has \(file.byteCount) bytes, but the header's length alone takes 8",
        path: file.path, remedy: "the file is empty or cut off; download or copy it again")
    }
    let length = try file.bytes(0..<8).reversed().reduce(UInt64(0)) { $0 << 8 | UInt64($1) }
    guard length <= lengthLimit else {
      throw EmbedFuseError(
        .badData, "the header's length is \(length), but at most \(lengthLimit) is allowed", path: file.path,
        offset: 0, remedy: notSafetensors)
    }
    let available = file.byteCount - 8
    guard Int(length) <= available else {
      throw EmbedFuseError(
        .badData,
        "the header's length is \(length), but only \(available) bytes follow it: \(Int(length) - available) are missing",
        path: file.path, offset: 0, remedy: "the file is cut off; download or copy it again")
    }
    return Int(length)
  }
}
