import Checkpoints
import TensorCore

// What a check has found: for people one message, for programs every problem on its own.

extension Verification {
  /// One thing that isn't as the manifest says.
  public struct Problem: Sendable, Hashable {
    /// The file or folder concerned; nil if none is.
    public let path: String?
    /// The tensor concerned; nil if none is.
    public let tensor: String?
    /// The file concerned, relative to the checkpoint; nil if none is.
    let file: String?
    /// What was found.
    public let problem: String

    /// The problem as a line of a message about the checkpoint.
    fileprivate var line: String {
      if let tensor { return "tensor \(tensor.printable) \(problem)" }
      if let file { return "file \(file.printable) \(problem)" }
      return problem
    }
  }

  /// What a check has covered, and what it has found.
  public struct Report: Sendable {
    /// Tensors whose content is as the manifest says.
    public let tensorCount: Int
    /// Other files whose content is as the manifest says.
    public let fileCount: Int
    /// The checkpoint to which it is stored, as the file records it; nil if it is complete.
    public let relativeTo: String?
    /// True if fusing again gave the same.
    public let reran: Bool
    /// All that isn't as the manifest says; empty if all is.
    public let problems: [Problem]
    /// The one message about the problems, with the code to exit with; nil if there are none.
    public let failure: EmbedFuseError?

    /// The report for programs: `ok`, and what was covered or, if something is wrong, each problem with its path, tensor
    /// and remedy.
    public var json: JSON {
      guard let failure else {
        return [
          "ok": true, "tensors": .number(tensorCount), "files": .number(fileCount), "reran": .bool(reran),
          "relative_to": relativeTo.map { .string($0) } ?? .null,
        ]
      }
      func text(_ text: String?) -> JSON { text.map { .string($0) } ?? .null }
      let entries = problems.map { problem -> JSON in
        [
          "path": text(problem.path), "tensor": text(problem.tensor), "problem": .string(problem.problem),
          "remedy": text(failure.remedy),
        ]
      }
      return ["ok": false, "problems": .array(entries)]
    }
  }
}

extension Verification.Report {
  /// Everything is as the manifest says.
  init(tensorCount: Int, fileCount: Int, relativeTo: String?, reran: Bool) {
    self.init(
      tensorCount: tensorCount, fileCount: fileCount, relativeTo: relativeTo, reran: reran, problems: [],
      failure: nil)
  }

  /// Something is wrong with the checkpoint at `path`.
  init(_ problems: [Verification.Problem], _ what: String, path: String, remedy: String) {
    let failure = EmbedFuseError(
      .badData, "\(what):" + problems.map(\.line).problemList, path: path, remedy: remedy)
    self.init(
      tensorCount: 0, fileCount: 0, relativeTo: nil, reran: false, problems: problems, failure: failure)
  }

  /// The check could not be made, or not to its end.
  init(failure: EmbedFuseError) {
    let problem = Verification.Problem(
      path: failure.path, tensor: failure.tensor, file: nil, problem: failure.problem)
    self.init(
      tensorCount: 0, fileCount: 0, relativeTo: nil, reran: false, problems: [problem], failure: failure)
  }
}
