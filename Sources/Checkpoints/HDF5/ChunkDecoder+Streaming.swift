import CZstd
import TensorCore

extension ChunkDecoder {
  /// Chunks above this many bytes are decoded piece by piece, so that they stand in memory but once.
  static let streamingBytes = 4 << 20
  /// Bytes of a piece, before and after decompression.
  private static let pieceBytes = 256 << 10

  /// True if a chunk of this pipeline can be decoded piece by piece.
  static func streams(_ filters: [ChunkFilter]) -> Bool {
    var filters = filters[...]
    if case .shuffle = filters.first { filters.removeFirst() }
    return filters.count == 1 && (filters.first == .deflate || filters.first == .zstd)
  }

  /// Writes the values of a whole chunk to `chunk`, reading and decompressing its bytes in pieces.
  ///
  /// - Parameter applied: the filters of the chunk, for which `streams` is true.
  func stream(
    _ stored: Range<Int>, of file: InputFile, applied: [ChunkFilter], into chunk: inout MutableSpan<UInt8>
  ) throws(EmbedFuseError) {
    var target = Target(count: chunk.count)
    if case .shuffle(let width) = applied[0] { target.width = width }
    if applied.last == .deflate {
      let inflater = try sharedInflater()
      inflater.restart()
      try place("the deflated data", stored, of: file, &target, into: &chunk) {
        input, piece throws(EmbedFuseError) in
        try inflater.advance(input, into: &piece, from: 0)
      }
    } else {
      let header = try file.bytes(stored.prefix(18))
      try Self.checkContentSize(
        unsafe ZSTD_getFrameContentSize(header, header.count), expected: target.count)
      _ = unsafe ZSTD_DCtx_reset(context, ZSTD_reset_session_only)
      try place("the zstd frame", stored, of: file, &target, into: &chunk) {
        input, piece throws(EmbedFuseError) in
        try advance(input, into: &piece)
      }
    }
  }

  /// Where the next bytes of a chunk belong.
  private struct Target {
    /// Bytes of the chunk.
    let count: Int
    /// Bytes of an element if they are shuffled.
    var width = 1
    /// Bytes that have come.
    var done = 0

    /// Puts the first `count` bytes of `piece` into their places.
    mutating func place(_ piece: Span<UInt8>, _ count: Int, into chunk: inout MutableSpan<UInt8>) {
      let elements = self.count / width
      unsafe chunk.withUnsafeMutableBytes { bytes in
        unsafe piece.withUnsafeBytes { piece in
          var taken = 0
          while taken < count {
            // Up to the end of a plane; after the last come the bytes that make no element.
            let (plane, start) = done.quotientAndRemainder(dividingBy: max(elements, 1))
            let isWhole = plane < width && width > 1 && elements > 0
            let length = isWhole ? min(elements - start, count - taken) : count - taken
            if isWhole {
              for step in 0..<length { unsafe bytes[(start + step) * width + plane] = piece[taken + step] }
            } else {
              for step in 0..<length { unsafe bytes[done + step] = piece[taken + step] }
            }
            taken += length
            done += length
          }
        }
      }
    }
  }

  /// Reads the bytes of a chunk piece by piece, lets `advance` decompress each, and places what it gives.
  private func place(
    _ what: String, _ stored: Range<Int>, of file: InputFile, _ target: inout Target,
    into chunk: inout MutableSpan<UInt8>,
    _ advance: (Span<UInt8>, inout MutableSpan<UInt8>) throws(EmbedFuseError) -> Step
  ) throws(EmbedFuseError) {
    var piece = [UInt8](repeating: 0, count: Self.pieceBytes)
    var isComplete = false
    try file.forEachPiece(of: stored, pieceBytes: Self.pieceBytes) { input, _ throws(EmbedFuseError) in
      var taken = 0
      repeat {
        guard !isComplete else { throw Self.surplus }
        var room = piece.mutableSpan
        let step = try advance(input.extracting(taken..<input.count), &room)
        guard target.done + step.written <= target.count else { throw Self.surplus }
        target.place(piece.span, step.written, into: &chunk)
        taken += step.taken
        isComplete = step.isComplete
        if step.taken == 0 && step.written == 0 { break }
      } while taken < input.count || !isComplete
    }
    guard isComplete, target.done == target.count else {
      throw EmbedFuseError(
        .badData, "\(what) gave \(target.done) bytes, expected the chunk's \(target.count)")
    }
  }

  private static var surplus: EmbedFuseError {
    EmbedFuseError(.badData, "the compressed data goes on after the chunk's end")
  }

  /// What one call of a decompressor took and gave, and whether that was the end.
  private typealias Step = (taken: Int, written: Int, isComplete: Bool)

  /// Decompresses as much of a zstd frame as `stored` gives and `piece` takes.
  private func advance(
    _ stored: Span<UInt8>, into piece: inout MutableSpan<UInt8>
  ) throws(EmbedFuseError) -> Step {
    let (status, taken, written) = unsafe stored.withUnsafeBytes { input in
      unsafe piece.withUnsafeMutableBytes { output in
        var source = unsafe ZSTD_inBuffer(src: input.baseAddress, size: input.count, pos: 0)
        var result = unsafe ZSTD_outBuffer(dst: output.baseAddress, size: output.count, pos: 0)
        let status = unsafe ZSTD_decompressStream(context, &result, &source)
        return unsafe (status, source.pos, result.pos)
      }
    }
    guard ZSTD_isError(status) == 0 else { throw Self.damaged(status) }
    return (taken, written, status == 0)
  }
}
