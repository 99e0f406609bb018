/// Why something could not be done: what was found, what was expected, where, and what to do about it.
///
/// Every error that a file, a recipe or the system can cause is one of these. Its `description` is the one
/// message that a user sees.
public struct EmbedFuseError: Error, Sendable, Hashable {
  /// The kinds of failure, after the exit codes of `sysexits(3)`.
  public enum Code: Int32, Sendable {
    /// The request itself is wrong (`EX_USAGE`).
    case usage = 64
    /// An input is malformed, or the inputs don't fit each other (`EX_DATAERR`).
    case badData = 65
    /// A named input isn't there or can't be read (`EX_NOINPUT`).
    case missingInput = 66
    /// What the request needs isn't installed (`EX_UNAVAILABLE`).
    case unavailable = 69
    /// A promise of embedfuse itself does not hold (`EX_SOFTWARE`).
    case internalError = 70
    /// The output can't be created (`EX_CANTCREAT`).
    case cannotCreate = 73
    /// Reading or writing failed underway (`EX_IOERR`).
    case inputOutput = 74
  }

  /// The kind of failure; its raw value is the process's exit code.
  public var code: Code
  /// What was found, and what was expected instead.
  public var problem: String
  /// The file or folder concerned, as the user named it.
  public var path: String?
  /// The tensor concerned.
  public var tensor: String?
  /// The byte offset in the file where the problem was found.
  public var offset: Int?
  /// What the user can do.
  public var remedy: String?
  /// The operating system's error number, where a system call failed.
  public var errno: Int32?

  /// An error; name as much of the place as is known.
  public init(
    _ code: Code, _ problem: String, path: String? = nil, tensor: String? = nil, offset: Int? = nil,
    remedy: String? = nil, errno: Int32? = nil
  ) {
    self.code = code
    self.problem = problem
    self.path = path
    self.tensor = tensor
    self.offset = offset
    self.remedy = remedy
    self.errno = errno
  }
}

extension EmbedFuseError: CustomStringConvertible {
  /// `path: tensor NAME: byte OFFSET: problem (REMEDY)`, control characters escaped.
  public var description: String {
    var place: [String] = []
    if let path { place.append(path.printable) }
    if let tensor { place.append("tensor \(tensor.printable)") }
    if let offset { place.append("byte \(offset)") }
    var text = (place + [problem.printable(keepingNewlines: true)]).joined(separator: ": ")
    if let remedy { text += "\n  \(remedy.printable(keepingNewlines: true))" }
    return text
  }
}

extension String {
  /// The text with control and format characters and the separators of lines and paragraphs written as `\u{XX}`, so
  /// that a name from a file can't steer a terminal.
  public var printable: String { printable(keepingNewlines: false) }

  /// The same for a text of several lines, which stay apart with `keepingNewlines`.
  public func printable(keepingNewlines: Bool) -> String {
    let isPlain = utf8.allSatisfy { 0x20...0x7E ~= $0 || $0 == 0x0A && keepingNewlines }
    guard !isPlain else { return self }
    var result = ""
    for scalar in unicodeScalars {
      switch scalar.properties.generalCategory {
      case .control, .format, .lineSeparator, .paragraphSeparator:
        if scalar == "\n" && keepingNewlines {
          result.unicodeScalars.append(scalar)
        } else {
          result += "\\u{\(String(scalar.value, radix: 16))}"
        }
      default: result.unicodeScalars.append(scalar)
      }
    }
    return result
  }
}
