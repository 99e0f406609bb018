import CZlib
import TensorCore

/// A zip archive: PKWARE's APPNOTE 6.3.10 with zip64, stored and deflated entries, one volume, no encryption.
///
/// The central directory is the authority; local headers that contradict it, entries that overlap and names that
/// occur twice are refused, because readers differ in what they make of them.
struct ZipArchive: Sendable {
  let file: InputFile
  /// The entries in the order of the central directory.
  let entries: [ZipEntry]

  private let places: [ExactString: Int]
  private let streams: InflateStreams

  /// Reads the directory of an archive and checks every entry against its local header.
  ///
  /// - Throws: `EmbedFuseError` (bad data) for a file that is no zip archive or breaks the format.
  init(_ file: InputFile) throws(EmbedFuseError) {
    self.file = file
    let directory = try ZipDirectory(of: file)
    entries = try directory.entries()
    var places: [ExactString: Int] = [:]
    for (index, entry) in entries.enumerated() {
      guard places.updateValue(index, forKey: ExactString(entry.name)) == nil else {
        throw EmbedFuseError(
          .badData, "the zip archive has two entries named \(entry.name.printable)", path: file.path)
      }
    }
    self.places = places
    streams = InflateStreams(file)
  }

  /// The entry of this name, byte for byte; nil if there is none.
  subscript(name: String) -> ZipEntry? {
    places[ExactString(name)].map { entries[$0] }
  }

  /// The way to an entry's bytes, at any position: deflated ones are inflated as they are asked for.
  func source(of entry: ZipEntry) -> any ByteSource {
    switch entry.method {
    case .stored: FileBytes(file: file, offset: entry.dataOffset, byteCount: entry.byteCount)
    case .deflated: InflatedBytes(entry: entry, streams: streams)
    }
  }

  /// The storage of a tensor whose elements start at byte `offset` of an entry: little-endian, row-major.
  func storage(of entry: ZipEntry, from offset: Int, elementType: ElementType) -> any TensorStorage {
    source(of: entry).storage(from: offset, elementType: elementType)
  }

  /// All bytes of an entry, checked against its CRC-32 where it has one.
  ///
  /// - Throws: `EmbedFuseError` (bad data) if it has more than `limit` bytes, or other bytes than were written.
  func contents(of entry: ZipEntry, limit: Int) throws(EmbedFuseError) -> [UInt8] {
    guard entry.byteCount <= limit else {
      throw EmbedFuseError(
        .badData,
        "the entry \(entry.name.printable) has \(entry.byteCount) bytes; at most \(limit) are read of such a file",
        path: file.path, offset: entry.headerOffset)
    }
    let bytes = try source(of: entry).bytes(0..<entry.byteCount)
    if entry.checksum != 0 {
      let span = bytes.span
      let checksum = unsafe span.withUnsafeBufferPointer { unsafe crc32_z(0, $0.baseAddress, $0.count) }
      guard UInt32(truncatingIfNeeded: checksum) == entry.checksum else {
        throw EmbedFuseError(
          .badData, "the bytes of the entry \(entry.name.printable) don't give its CRC-32", path: file.path,
          offset: entry.dataOffset, remedy: "the file is damaged: download or copy it again")
      }
    }
    return bytes
  }
}
