import TensorCore

/// The records that a zip archive describes a stored file with (PKWARE's APPNOTE 6.3.10).
///
/// Sizes and places always stand in zip64 fields: whatever the size of an archive, it is of one form.
struct ZipRecord: Sendable {
  /// The path within the archive.
  let name: [UInt8]
  /// Bytes of the file.
  let byteCount: Int
  /// The archive's byte at which the record before the file starts.
  let offset: Int
  /// A remark, which readers show but don't act upon.
  let comment: String

  private static let saturated = UInt32.max.littleEndianBytes

  /// The archive's byte at which the file starts.
  var dataOffset: Int { offset + 30 + name.count + 20 }

  /// The record that stands before the file.
  func localHeader(checksum: CRC32) -> [UInt8] {
    let sizes = UInt64(byteCount).littleEndianBytes + UInt64(byteCount).littleEndianBytes
    return UInt32(0x0403_4B50).littleEndianBytes + fixedPart(checksum, extraCount: 20) + name
      + Self.zip64(sizes)
  }

  /// The record in the directory at the archive's end.
  func directoryEntry(checksum: CRC32) -> [UInt8] {
    let fields = [byteCount, byteCount, offset].flatMap { UInt64($0).littleEndianBytes }
    let remark = Array(comment.utf8)
    var bytes = UInt32(0x0201_4B50).littleEndianBytes
    // Made by version 4.5 on Unix.
    bytes += UInt16(0x032D).littleEndianBytes + fixedPart(checksum, extraCount: 28)
    bytes += UInt16(remark.count).littleEndianBytes + UInt16(0).littleEndianBytes
    // A regular file, readable by all, on the first volume.
    bytes += UInt16(0).littleEndianBytes + UInt32(0o100644 << 16).littleEndianBytes + Self.saturated
    return bytes + name + Self.zip64(fields) + remark
  }

  /// What both records have in common: version 4.5, UTF-8, stored, 1 January 1980, checksum, sizes.
  private func fixedPart(_ checksum: CRC32, extraCount: Int) -> [UInt8] {
    let isASCII = name.allSatisfy { $0 < 0x80 }
    let words: [UInt16] = [45, isASCII ? 0 : 0x800, 0, 0, 0x21]
    return words.flatMap(\.littleEndianBytes) + checksum.value.littleEndianBytes + Self.saturated
      + Self.saturated + UInt16(name.count).littleEndianBytes + UInt16(extraCount).littleEndianBytes
  }

  private static func zip64(_ fields: [UInt8]) -> [UInt8] {
    UInt16(1).littleEndianBytes + UInt16(fields.count).littleEndianBytes + fields
  }

  /// The records that end an archive whose directory of `count` entries takes `byteCount` bytes from `offset` on.
  static func end(count: Int, byteCount: Int, offset: Int) -> [UInt8] {
    var bytes = UInt32(0x0606_4B50).littleEndianBytes + UInt64(44).littleEndianBytes
    bytes += UInt16(0x032D).littleEndianBytes + UInt16(45).littleEndianBytes
    bytes += UInt64(0).littleEndianBytes
    bytes += [count, count, byteCount, offset].flatMap { UInt64($0).littleEndianBytes }
    bytes += UInt32(0x0706_4B50).littleEndianBytes + UInt32(0).littleEndianBytes
    bytes += UInt64(offset + byteCount).littleEndianBytes + UInt32(1).littleEndianBytes
    bytes += UInt32(0x0605_4B50).littleEndianBytes + UInt32(0).littleEndianBytes
    bytes += saturated + saturated + saturated + UInt16(0).littleEndianBytes
    return bytes
  }
}
