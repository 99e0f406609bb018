import TensorCore

extension ZipDirectory {
  private static let entrySignature: UInt32 = 0x0201_4B50
  private static let headerSignature: UInt32 = 0x0403_4B50

  /// The entries, each checked against its local header, and all against each other.
  func entries() throws(EmbedFuseError) -> [ZipEntry] {
    let bytes = try file.bytes(offset..<offset + byteCount)
    let span = bytes.span
    var entries: [ZipEntry] = []
    entries.reserveCapacity(entryCount)
    var place = 0
    for _ in 0..<entryCount { entries.append(try entry(in: span, at: &place)) }
    guard place == byteCount else {
      throw refuse(
        "the directory of the zip archive goes on after its \(entryCount) entries", at: offset + place)
    }
    var end = 0
    for entry in entries.sorted(by: { $0.headerOffset < $1.headerOffset }) {
      guard entry.headerOffset >= end else {
        throw refuse(
          "the entry \(entry.name.printable) of the zip archive overlaps the one before it",
          at: entry.headerOffset)
      }
      end = entry.dataOffset + entry.compressedByteCount
    }
    return entries
  }

  private func refuse(_ problem: String, at offset: Int) -> EmbedFuseError {
    EmbedFuseError(.badData, problem, path: file.path, offset: offset)
  }

  /// Reads one record of the directory and moves `place` behind it.
  private func entry(in span: Span<UInt8>, at place: inout Int) throws(EmbedFuseError) -> ZipEntry {
    let start = place
    guard byteCount - start >= 46, span.littleEndian(UInt32.self, at: start) == Self.entrySignature else {
      throw refuse("the directory of the zip archive has no entry here, where one is due", at: offset + start)
    }
    let nameLength = Int(span.littleEndian(UInt16.self, at: start + 28))
    let extraLength = Int(span.littleEndian(UInt16.self, at: start + 30))
    let commentStart = start + 46 + nameLength + extraLength
    let end = commentStart + Int(span.littleEndian(UInt16.self, at: start + 32))
    guard end <= byteCount else {
      throw refuse("an entry of the zip archive's directory goes beyond it", at: offset + start)
    }
    place = end
    let nameBytes = Array(copying: span.extracting(start + 46..<start + 46 + nameLength))
    guard let name = String(validating: nameBytes, as: UTF8.self) else {
      throw refuse("the name of an entry of the zip archive is no UTF-8", at: offset + start + 46)
    }
    let flags = span.littleEndian(UInt16.self, at: start + 8)
    guard flags & 0x2041 == 0 else {
      throw refuse("the entry \(name.printable) of the zip archive is encrypted", at: offset + start)
    }
    let methodCode = span.littleEndian(UInt16.self, at: start + 10)
    guard let method = ZipEntry.Method(rawValue: methodCode) else {
      throw EmbedFuseError(
        .badData,
        "the entry \(name.printable) of the zip archive is compressed by method \(methodCode); stored (0) and deflated (8) can be read",
        path: file.path, offset: offset + start, remedy: "pack the archive again without compression")
    }
    let extraStart = start + 46 + nameLength
    guard
      let sizes = Sizes(
        byteCount: span.littleEndian(UInt32.self, at: start + 24),
        compressed: span.littleEndian(UInt32.self, at: start + 20),
        header: span.littleEndian(UInt32.self, at: start + 42),
        extra: span.extracting(extraStart..<extraStart + extraLength))
    else { throw refuse("the sizes of the entry \(name.printable) don't fit the file", at: offset + start) }
    let comment = String(validating: Array(copying: span.extracting(commentStart..<end)), as: UTF8.self)
    return try checked(
      name, nameBytes, method, flags, sizes, checksum: span.littleEndian(UInt32.self, at: start + 16),
      comment: comment ?? "")
  }

  /// The three numbers of an entry that may be too wide for its record.
  private struct Sizes {
    var byteCount: Int
    var compressed: Int
    var header: Int

    /// Takes from the zip64 extra field (id 1) what is saturated; nil if that lacks it or `Int` can't hold it.
    init?(byteCount: UInt32, compressed: UInt32, header: UInt32, extra: Span<UInt8>) {
      var values = [UInt64(byteCount), UInt64(compressed), UInt64(header)]
      var place = 0
      var wide: Range<Int>?
      while extra.count - place >= 4 {
        let length = Int(extra.littleEndian(UInt16.self, at: place + 2))
        guard extra.count - place - 4 >= length else { return nil }
        if wide == nil, extra.littleEndian(UInt16.self, at: place) == 1 {
          wide = place + 4..<place + 4 + length
        }
        place += 4 + length
      }
      for index in 0..<3 where values[index] == 0xFFFF_FFFF {
        guard let field = wide, field.count >= 8 else { return nil }
        values[index] = extra.littleEndian(UInt64.self, at: field.lowerBound)
        wide = field.lowerBound + 8..<field.upperBound
      }
      guard let byteCount = Int(exactly: values[0]), let compressed = Int(exactly: values[1]),
        let header = Int(exactly: values[2])
      else { return nil }
      (self.byteCount, self.compressed, self.header) = (byteCount, compressed, header)
    }
  }

  /// The entry, if its local header says the same and its data stand before the directory.
  private func checked(
    _ name: String, _ nameBytes: [UInt8], _ method: ZipEntry.Method, _ flags: UInt16, _ sizes: Sizes,
    checksum: UInt32, comment: String
  ) throws(EmbedFuseError) -> ZipEntry {
    let shown = name.printable
    guard sizes.header <= offset - 30 - nameBytes.count else {
      throw refuse("the entry \(shown) of the zip archive starts beyond its data", at: sizes.header)
    }
    let header = try file.bytes(sizes.header..<sizes.header + 30 + nameBytes.count)
    let span = header.span
    guard span.littleEndian(UInt32.self, at: 0) == Self.headerSignature else {
      throw refuse("the entry \(shown) of the zip archive has no header here", at: sizes.header)
    }
    let sameName =
      Int(span.littleEndian(UInt16.self, at: 26)) == nameBytes.count
      && header[30...].elementsEqual(nameBytes)
    guard sameName, span.littleEndian(UInt16.self, at: 8) == method.rawValue,
      (span.littleEndian(UInt16.self, at: 6) ^ flags) & 0x2009 == 0
    else {
      throw refuse(
        "the header of the entry \(shown) contradicts the zip archive's directory", at: sizes.header)
    }
    // With flag 3 the sizes follow the data, and are zero here. Saturated ones stand in the extra field.
    let own = (
      checksum: span.littleEndian(UInt32.self, at: 14), compressed: span.littleEndian(UInt32.self, at: 18),
      byteCount: span.littleEndian(UInt32.self, at: 22)
    )
    let deferred = flags & 8 != 0
    func agrees(_ value: UInt32, _ expected: Int) -> Bool {
      value == 0xFFFF_FFFF || Int(value) == expected || deferred && value == 0
    }
    guard agrees(own.compressed, sizes.compressed), agrees(own.byteCount, sizes.byteCount),
      own.checksum == checksum || deferred && own.checksum == 0
    else {
      throw refuse(
        "the header of the entry \(shown) contradicts the zip archive's directory", at: sizes.header)
    }
    let dataOffset = sizes.header + 30 + nameBytes.count + Int(span.littleEndian(UInt16.self, at: 28))
    guard dataOffset <= offset, sizes.compressed <= offset - dataOffset else {
      throw refuse("the entry \(shown) of the zip archive goes beyond its data", at: sizes.header)
    }
    // Deflate gives at most 1032 bytes for one.
    let possible =
      method == .stored
      ? sizes.byteCount == sizes.compressed : sizes.byteCount / 1032 <= sizes.compressed
    guard possible else {
      throw refuse(
        "the entry \(shown) of the zip archive can't have \(sizes.byteCount) bytes in \(sizes.compressed)",
        at: sizes.header)
    }
    return ZipEntry(
      name: name, method: method, checksum: checksum, compressedByteCount: sizes.compressed,
      byteCount: sizes.byteCount, headerOffset: sizes.header, dataOffset: dataOffset,
      comment: comment)
  }
}
