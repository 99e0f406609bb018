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
  static func print(_ line: String) {
    write(line.printable(keepingNewlines: true) + "\n", to: STDOUT_FILENO)
  }

  /// Writes a line, or several, to standard error, likewise escaped.
  static func error(_ line: String) {
    write(line.printable(keepingNewlines: true) + "\n", to: STDERR_FILENO)
  }

  /// Writes text to standard error as it is, for a progress line.
  static func errorText(_ text: String) {
    write(text, to: STDERR_FILENO)
  }

  private static func write(_ text: String, to descriptor: Int32) {
    var bytes = Array(text.utf8)[...]
    while !bytes.isEmpty {
      let written = unsafe bytes.withUnsafeBytes { unsafe Glibc.write(descriptor, $0.baseAddress, $0.count) }
      guard written > 0 else { return }
      bytes = bytes.dropFirst(written)
    }
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

  /// A number with this many decimal places.
  static func decimal(_ value: Double, places: Int) -> String {
    guard value.isFinite else { return String(value) }
    var scale = 1.0
    for _ in 0..<places { scale *= 10 }
    let scaled = (value.magnitude * scale).rounded()
    let whole = Int(scaled / scale)
    let sign = value < 0 && scaled > 0 ? "-" : ""
    guard places > 0 else { return "\(sign)\(whole)" }
    let fraction = String(Int(scaled - Double(whole) * scale))
    return "\(sign)\(whole)." + String(repeating: "0", count: places - fraction.count) + fraction
  }
}
