import CZlib
import Foundation

/// Writes zip archives byte by byte, so that a test can also write broken ones.
struct ZipBuilder {
  /// One entry; what is nil follows from the data.
  struct Entry {
    var name: [UInt8]
    var data: [UInt8]
    var deflated = false
    var flags: UInt16 = 0
    var method: UInt16?
    var byteCount: UInt32?
    var compressedByteCount: UInt32?
    var checksum: UInt32?
    var extra: [UInt8] = []
    /// What the local header says instead.
    var localName: [UInt8]?
    var localChecksum: UInt32?
    var offset: UInt32?

    init(_ name: String, _ data: [UInt8], deflated: Bool = false) {
      self.name = Array(name.utf8)
      self.data = data
      self.deflated = deflated
    }
  }

  var entries: [Entry] = []
  /// Written instead of the directory's true place and count.
  var directoryOffset: UInt32?
  var entryCount: UInt16?
  /// Puts a zip64 end record and its locator before the end record.
  var zip64 = false
  var disk: UInt16 = 0

  static func deflate(_ data: [UInt8], level: Int32 = 6) -> [UInt8] {
    // A zlib stream is a raw one between a header of two bytes and a checksum of four.
    var size = compressBound(UInt(data.count))
    var target = [UInt8](repeating: 0, count: Int(size))
    _ = unsafe compress2(&target, &size, data, UInt(data.count), level)
    return Array(target[2..<Int(size) - 4])
  }

  static func crc(_ data: [UInt8]) -> UInt32 { unsafe UInt32(crc32_z(0, data, data.count)) }

  var bytes: [UInt8] {
    var archive: [UInt8] = []
    var directory: [UInt8] = []
    func little<Value: FixedWidthInteger>(_ value: Value) -> [UInt8] {
      (0..<Value.bitWidth / 8).map { UInt8(truncatingIfNeeded: value >> (8 * $0)) }
    }
    for entry in entries {
      let stored = entry.deflated ? Self.deflate(entry.data) : entry.data
      let method = entry.method ?? (entry.deflated ? 8 : 0)
      let checksum = entry.checksum ?? Self.crc(entry.data)
      let start = UInt32(archive.count)
      let sizes =
        little(entry.compressedByteCount ?? UInt32(stored.count))
        + little(entry.byteCount ?? UInt32(entry.data.count))
      let name = entry.localName ?? entry.name
      archive += [0x50, 0x4B, 3, 4, 20, 0] + little(entry.flags) + little(method) + [0, 0, 0, 0]
      archive += little(entry.localChecksum ?? checksum) + sizes + little(UInt16(name.count)) + [0, 0] + name
      archive += stored
      directory += [0x50, 0x4B, 1, 2, 20, 0, 20, 0] + little(entry.flags) + little(method) + [0, 0, 0, 0]
      directory +=
        little(checksum) + sizes + little(UInt16(entry.name.count)) + little(UInt16(entry.extra.count))
      directory += [UInt8](repeating: 0, count: 10) + little(entry.offset ?? start) + entry.name + entry.extra
    }
    let start = archive.count
    archive += directory
    let end = archive.count
    if zip64 {
      archive += [0x50, 0x4B, 6, 6] + little(UInt64(44)) + [45, 0, 45, 0] + little(UInt64(0))
      archive +=
        little(UInt64(entries.count)) + little(UInt64(entries.count)) + little(UInt64(directory.count))
      archive += little(UInt64(start)) + [0x50, 0x4B, 6, 7, 0, 0, 0, 0] + little(UInt64(end)) + [1, 0, 0, 0]
    }
    let count = little(entryCount ?? (zip64 ? 0xFFFF : UInt16(entries.count)))
    archive += [0x50, 0x4B, 5, 6] + little(disk) + little(disk) + count + count
    archive +=
      little(UInt32(directory.count)) + little(directoryOffset ?? (zip64 ? 0xFFFF_FFFF : UInt32(start)))
    return archive + [0, 0]
  }
}
