import CLinux
import Glibc
import TensorCore

/// A regular file opened for reading: by position into buffers for what is streamed, through a mapping for
/// headers and random access.
///
/// Streaming goes through `pread(2)` into cache-resident buffers because touching every mapped page once costs a
/// page fault each. A file that shrinks while it is open gives an error, not a signal.
package final class InputFile: Sendable {
  /// The path as it was given.
  package let path: String
  /// The size in bytes when the file was opened.
  package let byteCount: Int

  private let descriptor: Int32
  /// The address of the mapping, which is made when first asked for; 0 before.
  private let mapping = Locked<UInt>(0)

  /// Opens a file.
  ///
  /// - Parameter isInput: false for one of our own, which is none of the inputs that a log notes.
  /// - Throws: `EmbedFuseError`: missing input if it isn't there, can't be read, or is no regular file; input/output if it is
  ///   one of our own that can't be opened.
  package init(_ path: String, isInput: Bool = true) throws(EmbedFuseError) {
    self.path = path
    guard !path.utf8.contains(0) else {
      // The system would take the path to end there, and open another file.
      throw EmbedFuseError(
        .missingInput, "the path holds a NUL character", path: path, remedy: "check the name")
    }
    // O_NONBLOCK keeps a named pipe from holding up the open; it means nothing for a regular file.
    var descriptor: Int32
    repeat {
      descriptor = unsafe open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK)
    } while descriptor < 0 && errno == EINTR
    guard descriptor >= 0 else {
      guard errno == ENOENT, FilePath.isLink(path) else {
        throw EmbedFuseError.system(
          isInput ? .missingInput : .inputOutput, "can't be opened for reading", path: path)
      }
      throw EmbedFuseError(
        .missingInput, "is a symbolic link to something that isn't there", path: path,
        remedy: "copy the file itself to this place (cp -L), or download it again")
    }
    var info = stat()
    guard unsafe fstat(descriptor, &info) == 0, info.st_mode & S_IFMT == S_IFREG else {
      close(descriptor)
      let kind = info.st_mode & S_IFMT == S_IFDIR ? "a directory" : "a device, a pipe or a socket"
      throw EmbedFuseError(
        .missingInput, "is \(kind), but a file is expected", path: path, remedy: "name a file")
    }
    self.descriptor = descriptor
    byteCount = Int(info.st_size)
    if isInput { InputLog.current?.note(self, FileIdentity(info)) }
  }

  /// Which file it is and in which state now; nil if the system can't say.
  var identity: FileIdentity? {
    var info = stat()
    guard unsafe fstat(descriptor, &info) == 0 else { return nil }
    return FileIdentity(info)
  }

  deinit {
    let address = mapping.withLock { $0 }
    if address != 0 {
      clinux_forget_mapping(address)
      _ = unsafe munmap(UnsafeMutableRawPointer(bitPattern: address), byteCount)
    }
    close(descriptor)
  }

  /// Reads `count` bytes from byte `offset` on into the front of `bytes`.
  ///
  /// - Throws: `EmbedFuseError`: input/output if the read fails or the file has become shorter.
  package func read(_ count: Int, at offset: Int, into bytes: inout MutableSpan<UInt8>) throws(EmbedFuseError)
  {
    precondition(count <= bytes.count)
    var done = 0
    while done < count {
      let got = unsafe bytes.withUnsafeMutableBytes { buffer in
        unsafe pread(descriptor, buffer.baseAddress! + done, count - done, off_t(offset + done))
      }
      if got > 0 {
        done += got
      } else if got == 0 {
        throw EmbedFuseError(
          .inputOutput, "the file ends here, though it had \(byteCount) bytes when it was opened", path: path,
          offset: offset + done,
          remedy: "another program changed it meanwhile; start again when it is complete")
      } else if errno != EINTR {
        throw EmbedFuseError.system(.inputOutput, "can't be read", path: path, offset: offset + done)
      }
    }
  }

  /// The bytes of a range, in an array of their own.
  package func bytes(_ range: Range<Int>) throws(EmbedFuseError) -> [UInt8] {
    var result = Array(repeating: UInt8(0), count: range.count)
    var span = result.mutableSpan
    try read(range.count, at: range.lowerBound, into: &span)
    return result
  }

  /// The bytes of the whole file.
  package func bytes() throws(EmbedFuseError) -> [UInt8] { try bytes(0..<byteCount) }

  /// Reads a range in pieces of at most `pieceBytes`, one after the other, and lets `body` look at each.
  ///
  /// - Parameter body: is given the piece and the file's byte at which it starts.
  func forEachPiece(
    of range: Range<Int>, pieceBytes: Int = 1 << 20,
    _ body: (Span<UInt8>, Int) throws(EmbedFuseError) -> Void
  ) throws(EmbedFuseError) {
    var buffer = [UInt8](repeating: 0, count: min(pieceBytes, range.count))
    var start = range.lowerBound
    while start < range.upperBound {
      let count = min(buffer.count, range.upperBound - start)
      var room = buffer.mutableSpan
      try read(count, at: start, into: &room)
      try body(buffer.span.extracting(0..<count), start)
      start += count
    }
  }

  /// The bytes of a whole file of our own, such as a record.
  ///
  /// - Throws: as `init` and `read`.
  package static func record(at path: String) throws(EmbedFuseError) -> [UInt8] {
    try InputFile(path, isInput: false).bytes()
  }

  /// Lets `body` look at a range of the mapped file. Of a file that is cut short meanwhile it may see zeros.
  ///
  /// - Throws: what `body` throws, or an input/output error if the file can't be mapped or has become shorter.
  package func withMappedBytes<Result>(
    _ range: Range<Int>, _ body: (Span<UInt8>) throws(EmbedFuseError) -> Result
  ) throws(EmbedFuseError) -> Result {
    precondition(range.lowerBound >= 0 && range.upperBound <= byteCount)
    try checkHolds(range)
    guard !range.isEmpty else { return try body([UInt8]().span) }
    let lostPages = clinux_lost_pages()
    let address = try mappedAddress() + UInt(range.lowerBound)
    let bytes = unsafe UnsafeRawBufferPointer(
      start: UnsafeRawPointer(bitPattern: address), count: range.count)
    let outcome = Swift.Result { () throws(EmbedFuseError) in
      try body(unsafe Span(_unsafeElements: bytes.assumingMemoryBound(to: UInt8.self)))
    }
    // Another file's pages, which another thread may have lost meanwhile, are not this one's.
    try checkHolds(range, lost: clinux_lost_within(address, UInt64(range.count), lostPages) != 0)
    return try outcome.get()
  }

  /// Checks that the file is still long enough, and that nothing of it was lost.
  private func checkHolds(_ range: Range<Int>, lost: Bool = false) throws(EmbedFuseError) {
    var info = stat()
    guard !lost, unsafe fstat(descriptor, &info) == 0, Int(info.st_size) >= range.upperBound else {
      throw EmbedFuseError(
        .inputOutput, "the file has become shorter than its \(byteCount) bytes", path: path,
        remedy: "another program changed it meanwhile; start again when it is complete")
    }
  }

  /// A page that has gone must not end the process.
  private static let survival: Void = clinux_survive_truncation()

  /// Gives back the pages of the mapping that were looked at. The system counts them, and those around them, as memory
  /// of the process; they are read again if they are needed again.
  package func releaseMappedPages() {
    mapping.withLock { address in
      guard address != 0 else { return }
      _ = unsafe madvise(UnsafeMutableRawPointer(bitPattern: address), byteCount, MADV_DONTNEED)
    }
  }

  /// The address of the mapping, which lasts as long as the file is open.
  private func mappedAddress() throws(EmbedFuseError) -> UInt {
    Self.survival
    let address = mapping.withLock { address in
      if address == 0, let start = unsafe mmap(nil, byteCount, PROT_READ, MAP_PRIVATE, descriptor, 0),
        unsafe start != MAP_FAILED
      {
        if clinux_survive_truncation_of(UInt(bitPattern: start), UInt64(byteCount)) == 0 {
          address = UInt(bitPattern: start)
        } else {
          _ = unsafe munmap(start, byteCount)
        }
      }
      return address
    }
    guard address != 0 else {
      throw EmbedFuseError.system(.inputOutput, "can't be mapped into memory", path: path)
    }
    return address
  }
}
