import TensorCore

/// Digests of all bytes of a file, which stand behind its last byte where the format ends before the file does.
///
/// HDF5 leaves gaps and keeps lists of free space that none of a checkpoint's values, names and texts depend on, and a Zstandard frame has
/// bits that say nothing: damage there is found by the file's bytes alone. The large pieces, which are chunks of tensors, have
/// digests of their own, taken when each was written, so that a finished file needn't be read again.
///
/// A seal is a table of the pieces in ascending order, each with its offset, its size and its digest; their number; the digest
/// of all bytes outside the pieces, with the table and the number; and a mark. Numbers have 8 bytes, least significant first, digests
/// 16, most significant first.
package struct FileSeal: Sendable {
  /// Some bytes of a file with their digest.
  struct Piece: Sendable {
    var range: Range<Int>
    var digest: ContentDigest

    fileprivate static let byteCount = 32
  }

  /// The last bytes of a file that has a seal.
  private static let mark = Array("embedfuse digest".utf8)
  /// The number of pieces, the digest of the rest, and the mark.
  private static let footerByteCount = 8 + 16 + mark.count

  private let file: InputFile
  private let pieces: [Piece]
  /// The digest of what is outside the pieces, as the seal says.
  private let rest: ContentDigest

  /// Writes a seal behind a finished file.
  ///
  /// - Parameter pieces: those that have digests already, none of them overlapping another.
  /// - Throws: `EmbedFuseError` (input/output).
  static func append(to path: String, pieces: [Piece]) throws(EmbedFuseError) {
    let pieces = pieces.sorted { $0.range.lowerBound < $1.range.lowerBound }
    var seal: [UInt8] = []
    for piece in pieces {
      seal += UInt64(piece.range.lowerBound).littleEndianBytes + UInt64(piece.range.count).littleEndianBytes
      piece.digest.append(to: &seal)
    }
    seal += UInt64(pieces.count).littleEndianBytes
    let file = try InputFile(path, isInput: false)
    try digest(of: file, outside: pieces, upTo: file.byteCount, and: seal.span).append(to: &seal)
    try OutputFile.append(seal + mark, at: file.byteCount, to: path)
  }

  /// Reads the seal of a file.
  ///
  /// - Throws: `EmbedFuseError` (bad data) if there is none, or a damaged one.
  package init(of path: String) throws(EmbedFuseError) {
    file = try InputFile(path)
    let footerStart = file.byteCount - Self.footerByteCount
    guard footerStart >= 0 else { throw Self.isMissing(in: path) }
    let footer = try file.bytes(footerStart..<file.byteCount)
    guard footer.suffix(Self.mark.count).elementsEqual(Self.mark) else { throw Self.isMissing(in: path) }
    guard let count = footer.span.count(at: 0), count <= footerStart / Piece.byteCount else {
      throw Self.isDamaged(path)
    }
    let table = try file.bytes(footerStart - count * Piece.byteCount..<footerStart)
    var pieces: [Piece] = []
    for start in stride(from: 0, to: table.count, by: Piece.byteCount) {
      guard let offset = table.span.count(at: start), let size = table.span.count(at: start + 8),
        offset >= pieces.last?.range.upperBound ?? 0, offset <= footerStart - table.count,
        size <= footerStart - table.count - offset
      else { throw Self.isDamaged(path) }
      pieces.append(
        Piece(range: offset..<offset + size, digest: ContentDigest(table[(start + 16)...])))
    }
    self.pieces = pieces
    rest = ContentDigest(footer[8...])
  }

  /// How many checks there are.
  package var count: Int { pieces.count + 1 }

  /// Carries out one of the checks, which together cover every byte.
  ///
  /// - Parameter index: 0 for all that is outside the pieces, then one for each piece.
  /// - Throws: `EmbedFuseError`: bad data if bytes are not those that were written; input/output if they can't be read.
  package func check(_ index: Int) throws(EmbedFuseError) {
    guard index > 0 else {
      let seal = file.byteCount - Self.footerByteCount - pieces.count * Piece.byteCount
      let table = try file.bytes(seal..<file.byteCount - Self.footerByteCount + 8)
      guard try Self.digest(of: file, outside: pieces, upTo: seal, and: table.span) == rest else {
        throw Self.isDamaged(file.path)
      }
      return
    }
    let piece = pieces[index - 1]
    var stream = try DigestStream(of: file.path)
    try file.forEachPiece(of: piece.range) { bytes, _ in stream.update(bytes) }
    guard stream.digest == piece.digest else { throw Self.isDamaged(file.path, at: piece.range.lowerBound) }
  }

  /// The digest of the bytes below `end` that belong to no piece, and of the seal's own as far as it covers them.
  private static func digest(
    of file: InputFile, outside pieces: [Piece], upTo end: Int, and seal: Span<UInt8>
  ) throws(EmbedFuseError) -> ContentDigest {
    var stream = try DigestStream(of: file.path)
    var start = 0
    for next in pieces.map(\.range) + [end..<end] {
      try file.forEachPiece(of: start..<next.lowerBound) { bytes, _ in stream.update(bytes) }
      start = next.upperBound
    }
    stream.update(seal)
    return stream.digest
  }

  private static func isMissing(in path: String) -> EmbedFuseError {
    EmbedFuseError(
      .badData,
      "the digests of its bytes are missing at its end: it was cut short, damaged, or written anew by another program",
      path: path, remedy: "copy it again, or fuse again")
  }

  private static func isDamaged(_ path: String, at offset: Int? = nil) -> EmbedFuseError {
    EmbedFuseError(
      .badData, "its bytes are not those that were written, though its tensors may be", path: path,
      offset: offset, remedy: "copy it again, or fuse again")
  }
}

extension Span<UInt8> {
  /// The number whose 8 bytes start at `offset`; nil if it is none that counts bytes.
  fileprivate func count(at offset: Int) -> Int? { Int(exactly: littleEndian(UInt64.self, at: offset)) }
}
