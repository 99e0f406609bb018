import TensorCore

/// Where the central directory of a zip archive stands, as the end record and its zip64 twin say.
struct ZipDirectory {
  /// Bytes of a directory at most: over half a million entries.
  static let byteLimit = 64 << 20

  let file: InputFile
  let offset: Int
  let byteCount: Int
  let entryCount: Int

  private static let endSignature: UInt32 = 0x0605_4B50
  private static let locatorSignature: UInt32 = 0x0706_4B50
  private static let end64Signature: UInt32 = 0x0606_4B50

  /// Finds the directory.
  ///
  /// - Throws: `EmbedFuseError` (bad data) if there is none, or if it doesn't stand within the file.
  init(of file: InputFile) throws(EmbedFuseError) {
    func refuse(_ problem: String, at offset: Int? = nil) -> EmbedFuseError {
      EmbedFuseError(
        .badData, problem, path: file.path, offset: offset,
        remedy: "the file is damaged or was not written to its end: download or copy it again")
    }
    // The end record: 22 bytes and a comment of at most 65535; torch takes junk after it, so we do.
    let tailStart = max(0, file.byteCount - (1 << 17))
    let tail = try file.bytes(tailStart..<file.byteCount)
    let span = tail.span
    guard let place = Self.endRecord(in: span) else {
      throw refuse("the zip archive has no directory at its end")
    }
    let end = tailStart + place
    guard span.littleEndian(UInt16.self, at: place + 4) == 0,
      span.littleEndian(UInt16.self, at: place + 6) == 0
    else { throw refuse("the zip archive is one of several volumes", at: end) }
    var count = UInt64(span.littleEndian(UInt16.self, at: place + 10))
    var size = UInt64(span.littleEndian(UInt32.self, at: place + 12))
    var start = UInt64(span.littleEndian(UInt32.self, at: place + 16))
    var limit = end
    if place >= 20, span.littleEndian(UInt32.self, at: place - 20) == Self.locatorSignature {
      let found = Int(clamping: span.littleEndian(UInt64.self, at: place - 12))
      guard found <= end - 20 - 56 else { throw refuse("the zip64 end record is missing", at: end - 20) }
      let record = try file.bytes(found..<found + 56)
      let fields = record.span
      guard fields.littleEndian(UInt32.self, at: 0) == Self.end64Signature else {
        throw refuse("the zip64 end record is missing", at: found)
      }
      guard fields.littleEndian(UInt32.self, at: 16) == 0, fields.littleEndian(UInt32.self, at: 20) == 0
      else { throw refuse("the zip archive is one of several volumes", at: found) }
      let wide = (
        count: fields.littleEndian(UInt64.self, at: 32), size: fields.littleEndian(UInt64.self, at: 40),
        start: fields.littleEndian(UInt64.self, at: 48)
      )
      guard count == 0xFFFF || count == wide.count, size == 0xFFFF_FFFF || size == wide.size,
        start == 0xFFFF_FFFF || start == wide.start
      else { throw refuse("the zip archive's two end records contradict each other", at: found) }
      (count, size, start, limit) = (wide.count, wide.size, wide.start, found)
    }
    guard let offset = Int(exactly: start), let byteCount = Int(exactly: size), byteCount <= limit,
      offset <= limit - byteCount
    else { throw refuse("the directory of the zip archive doesn't stand within the file", at: end) }
    guard byteCount <= Self.byteLimit, count <= UInt64(byteCount / 46) else {
      throw refuse(
        "the directory of the zip archive has \(byteCount) bytes for \(count) entries; at least 46 each and at most \(Self.byteLimit) are allowed",
        at: end)
    }
    self.file = file
    self.offset = offset
    self.byteCount = byteCount
    entryCount = Int(count)
  }

  /// Where the last end record whose comment fits starts.
  private static func endRecord(in tail: Span<UInt8>) -> Int? {
    var place = tail.count - 22
    while place >= 0 {
      if tail[place] == 0x50, tail.littleEndian(UInt32.self, at: place) == endSignature,
        place + 22 + Int(tail.littleEndian(UInt16.self, at: place + 20)) <= tail.count
      {
        return place
      }
      place -= 1
    }
    return nil
  }
}
