import CZlib
import TensorCore

/// One deflated entry being inflated in order, from its start or from a restart point.
///
/// It owns a zlib stream and a buffer, so it serves one worker at a time; `InflateStreams` hands it out.
@safe final class InflateStream: @unchecked Sendable {
  /// A place between two deflate blocks from which inflating can start again (after zlib's `zran.c`).
  struct RestartPoint: Sendable {
    /// Bytes of the entry before it.
    let position: Int
    /// The file's byte at which the next whole input byte stands.
    let inputOffset: Int
    /// How many bits of the byte before that are still to be used.
    let bitCount: Int32
    /// The CRC-32 of the bytes before it.
    let checksum: UInt
    /// The up to 32 KiB before it, to which the stream may refer back.
    let window: [UInt8]
  }

  private static let inputCapacity = 32 << 10

  /// The entry that is inflated.
  let entry: ZipEntry
  /// Bytes of the entry that have been given out.
  private(set) var position: Int

  private let file: InputFile
  private let stream: UnsafeMutablePointer<z_stream>
  private let input: UnsafeMutableBufferPointer<UInt8>
  /// The file's byte that follows those in the input buffer.
  private var inputOffset: Int
  private var checksum: UInt
  private var hasEnded = false

  /// A stream that is about to give the byte at `point`, or the first byte.
  init(_ entry: ZipEntry, in file: InputFile, from point: RestartPoint? = nil) throws(EmbedFuseError) {
    self.entry = entry
    self.file = file
    position = point?.position ?? 0
    inputOffset = point?.inputOffset ?? entry.dataOffset
    checksum = point?.checksum ?? 0
    unsafe stream = .allocate(capacity: 1)
    unsafe stream.initialize(to: z_stream())
    unsafe input = .allocate(capacity: Self.inputCapacity)
    unsafe input.initialize(repeating: 0)
    // Raw deflate, window of 32 KiB.
    guard unsafe embedfuse_inflate_init(stream, -15) == Z_OK else {
      throw EmbedFuseError(.internalError, "no memory for a zlib stream", path: file.path)
    }
    guard let point else { return }
    if point.bitCount > 0 {
      let last = try file.bytes(inputOffset - 1..<inputOffset)[0]
      _ = unsafe inflatePrime(stream, point.bitCount, Int32(last) >> (8 - point.bitCount))
    }
    let window = point.window.span
    _ = unsafe window.withUnsafeBufferPointer {
      unsafe inflateSetDictionary(stream, $0.baseAddress, UInt32($0.count))
    }
  }

  deinit {
    unsafe inflateEnd(stream)
    unsafe stream.deallocate()
    unsafe input.deallocate()
  }

  /// Writes the next `count` bytes into the front of `bytes`; once all are out, checks size and CRC-32.
  ///
  /// - Parameter streams: keep the restart points on the way.
  /// - Throws: `EmbedFuseError` (bad data) if the stream is broken or ends early, or late.
  func read(
    _ count: Int, into bytes: inout MutableSpan<UInt8>, points streams: InflateStreams
  ) throws(EmbedFuseError) {
    precondition(count <= bytes.count && count <= entry.byteCount - position)
    try unsafe bytes.withUnsafeMutableBufferPointer { buffer throws(EmbedFuseError) in
      // zlib counts in 32 bits.
      var done = 0
      while done < count {
        let part = min(count - done, 1 << 30)
        try unsafe inflate(UnsafeMutableBufferPointer(rebasing: buffer[done..<done + part]), streams)
        done += part
      }
    }
    if position == entry.byteCount { try finish() }
  }

  /// Fills `target`.
  private func inflate(
    _ target: UnsafeMutableBufferPointer<UInt8>, _ streams: InflateStreams
  ) throws(EmbedFuseError) {
    unsafe stream.pointee.next_out = target.baseAddress
    unsafe stream.pointee.avail_out = UInt32(target.count)
    while unsafe stream.pointee.avail_out > 0 {
      guard !hasEnded else {
        throw refuse("its compressed data end after \(position) of \(entry.byteCount) bytes")
      }
      let start = unsafe stream.pointee.next_out
      let room = unsafe stream.pointee.avail_out
      try step()
      let produced = unsafe Int(room - stream.pointee.avail_out)
      checksum = unsafe crc32_z(checksum, start, produced)
      position += produced
      let state = unsafe stream.pointee.data_type
      // 128: the end of a block has been reached; 64: it was the last one.
      if state & 128 != 0, state & 64 == 0, !hasEnded, streams.wantsPoint(of: entry, at: position) {
        streams.keep(restartPoint(bitCount: state & 7), of: entry)
      }
    }
  }

  /// Inflates up to the next end of a block, or as far as input and room last.
  private func step() throws(EmbedFuseError) {
    let end = entry.dataOffset + entry.compressedByteCount
    if unsafe stream.pointee.avail_in == 0 {
      let count = min(Self.inputCapacity, end - inputOffset)
      if count > 0 {
        var span = unsafe input.mutableSpan
        try file.read(count, at: inputOffset, into: &span)
        inputOffset += count
        unsafe stream.pointee.next_in = input.baseAddress
        unsafe stream.pointee.avail_in = UInt32(count)
      }
    }
    switch unsafe CZlib.inflate(stream, Z_BLOCK) {
    case Z_OK: break
    case Z_STREAM_END: hasEnded = true
    case Z_BUF_ERROR:
      // No progress for want of input; between blocks zlib says so too.
      if unsafe stream.pointee.avail_in == 0, inputOffset == end {
        throw refuse("its compressed data stop after \(position) of \(entry.byteCount) bytes")
      }
    default:
      let text = unsafe stream.pointee.msg.map { unsafe String(cString: $0) } ?? "zlib gives no reason"
      throw refuse("its compressed data are broken after \(position) bytes: \(text)")
    }
  }

  /// Checks that nothing follows the last byte, and the CRC-32.
  private func finish() throws(EmbedFuseError) {
    var beyond: UInt8 = 0
    while !hasEnded {
      let extra = try unsafe withUnsafeMutablePointer(to: &beyond) { pointer throws(EmbedFuseError) in
        unsafe stream.pointee.next_out = pointer
        unsafe stream.pointee.avail_out = 1
        try step()
        return unsafe stream.pointee.avail_out == 0
      }
      guard !extra else { throw refuse("its compressed data give more than its \(entry.byteCount) bytes") }
    }
    let unused = unsafe Int(stream.pointee.avail_in)
    guard inputOffset - unused == entry.dataOffset + entry.compressedByteCount else {
      throw refuse("its compressed data end before the \(entry.compressedByteCount) bytes that it has")
    }
    guard entry.checksum == 0 || UInt32(truncatingIfNeeded: checksum) == entry.checksum else {
      throw refuse("its bytes don't give its CRC-32")
    }
  }

  private func restartPoint(bitCount: Int32) -> RestartPoint {
    var window = [UInt8](repeating: 0, count: 32 << 10)
    var count: UInt32 = 0
    var span = window.mutableSpan
    _ = unsafe span.withUnsafeMutableBufferPointer {
      unsafe inflateGetDictionary(stream, $0.baseAddress, &count)
    }
    window.removeLast(window.count - Int(count))
    let unused = unsafe Int(stream.pointee.avail_in)
    return RestartPoint(
      position: position, inputOffset: inputOffset - unused, bitCount: bitCount, checksum: checksum,
      window: window)
  }

  private func refuse(_ problem: String) -> EmbedFuseError {
    EmbedFuseError(
      .badData, "the entry \(entry.name.printable) of the zip archive: \(problem)", path: file.path,
      offset: entry.dataOffset, remedy: "the file is damaged: download or copy it again")
  }
}
