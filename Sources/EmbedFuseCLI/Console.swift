import EmbedFuse
import Glibc

/// Standard output and standard error.
enum Console {
  /// True if messages are read by a person at a terminal.
  static var errorIsTerminal: Bool { isatty(STDERR_FILENO) == 1 }

  /// Opens those of the standard streams that are closed, to nothing: else the first file that is opened would take the
  /// place of one, and messages would be written into it.
  static func openStandardStreams() {
    var descriptor: Int32
    repeat { descriptor = unsafe open("/dev/null", O_RDWR) } while (0...2).contains(descriptor)
    if descriptor > 2 { close(descriptor) }
  }

  /// Writes a line, or several, to standard output. Control characters are escaped, wherever they may come from.
  ///
  /// - Throws: `EmbedFuseError` (input or output) if it can't be written; not if nobody reads it any more.
  static func print(_ line: String) throws(EmbedFuseError) {
    try text(line.printable(keepingNewlines: true) + "\n")
  }

  /// Writes text to standard output as it is.
  ///
  /// - Throws: what `print` throws.
  static func text(_ text: String) throws(EmbedFuseError) {
    try check(write(text, to: STDOUT_FILENO))
  }

  /// Prints what was done to outputs that stand already.
  ///
  /// - Throws: what `print` and `flush` throw; the message says that the outputs stand.
  static func report(_ text: String, on outputs: [String]) throws(EmbedFuseError) {
    do {
      try print(text)
      try flush()
    } catch {
      throw error.leaving(outputs)
    }
  }

  /// Finds what only closing a file tells, of one on another machine: that what was written had no room there.
  ///
  /// - Throws: what `print` throws.
  static func flush() throws(EmbedFuseError) {
    let another = dup(STDOUT_FILENO)
    guard another >= 0 else { return }
    if close(another) != 0, errno != EINTR { try check(errno) }
  }

  /// Writes a line, or several, to standard error, likewise escaped.
  static func error(_ line: String) {
    errorText(line.printable(keepingNewlines: true) + "\n")
  }

  /// Writes text to standard error as it is, for a progress line. A failure could be told nowhere.
  static func errorText(_ text: String) {
    _ = write(text, to: STDERR_FILENO)
  }

  /// Writes all of a text.
  ///
  /// - Returns: 0, or the number of the error that stopped it.
  private static func write(_ text: String, to descriptor: Int32) -> Int32 {
    var bytes = Array(text.utf8)[...]
    while !bytes.isEmpty {
      let written = unsafe bytes.withUnsafeBytes { unsafe Glibc.write(descriptor, $0.baseAddress, $0.count) }
      if written > 0 {
        bytes = bytes.dropFirst(written)
      } else if written == 0 {
        return EIO
      } else if errno == EAGAIN {
        // Somebody who shares the pipe or the terminal has set it not to block.
        var room = pollfd(fd: descriptor, events: Int16(POLLOUT), revents: 0)
        _ = unsafe poll(&room, 1, -1)
      } else if errno != EINTR {
        return errno
      }
    }
    return 0
  }

  /// Throws what an error number says of standard output. That its reader is gone is none: it has seen enough.
  private static func check(_ number: Int32) throws(EmbedFuseError) {
    guard number != 0, number != EPIPE else { return }
    throw EmbedFuseError(
      .inputOutput, "can't be written: \(unsafe String(cString: strerror(number)))", path: "standard output",
      remedy: "what was printed is incomplete: make room, or print it elsewhere", errno: number)
  }
}

/// Sizes and rates for people.
enum Readable {
  /// For example `86.7 MiB`.
  static func bytes(_ count: Int) -> String {
    var value = Double(count)
    var unit = 0
    let units = ["B", "KiB", "MiB", "GiB", "TiB"]
    while value >= 1024, unit < units.count - 1 {
      value /= 1024
      unit += 1
    }
    return unit == 0 ? "\(count) B" : "\(decimal(value, places: 1)) \(units[unit])"
  }

  /// A number with this many decimal places; with a power of ten if it is too large to have any.
  static func decimal(_ value: Double, places: Int) -> String {
    var scale = 1.0
    for _ in 0..<places { scale *= 10 }
    guard value.magnitude * scale < 0x1p53 else { return String(value) }
    let scaled = (value.magnitude * scale).rounded()
    let whole = Int(scaled / scale)
    let sign = value < 0 && scaled > 0 ? "-" : ""
    guard places > 0 else { return "\(sign)\(whole)" }
    let fraction = String(Int(scaled - Double(whole) * scale))
    return "\(sign)\(whole)." + String(repeating: "0", count: places - fraction.count) + fraction
  }
}
