import Checkpoints
import TensorCore

/// One of several parts in which an output is made, perhaps at the same time and on several machines.
public struct OutputPart: Sendable, Hashable {
  /// Which part: from 1 to `count`.
  public let number: Int
  /// How many parts there are.
  public let count: Int

  /// The most parts.
  public static let countLimit = 10_000

  /// A part.
  ///
  /// - Throws: `EmbedFuseError` (usage) for a number outside of 1...count, or a count outside of 1...10,000.
  public init(_ number: Int, of count: Int) throws(EmbedFuseError) {
    guard (1...Self.countLimit).contains(count), (1...count).contains(number) else {
      throw EmbedFuseError(
        .usage, "there is no part \(number) of \(count)",
        remedy: "parts are counted from 1: 1/4, 2/4, 3/4, 4/4; there may be \(Self.countLimit)")
    }
    (self.number, self.count) = (number, count)
  }

  /// Environment variables of schedulers that count tasks from 0.
  static let fromZero = [
    "JOB_COMPLETION_INDEX", "SLURM_PROCID", "RANK", "OMPI_COMM_WORLD_RANK", "PMI_RANK",
    "AWS_BATCH_JOB_ARRAY_INDEX", "CLOUD_RUN_TASK_INDEX",
  ]
  /// Environment variables of schedulers that count tasks as their arrays say.
  static let asGiven = ["SLURM_ARRAY_TASK_ID", "PBS_ARRAY_INDEX", "LSB_JOBINDEX", "SGE_TASK_ID"]

  /// A part as people and schedulers write it: `2/5`; in the place of either number the name of an environment variable
  /// that a scheduler sets, such as `SLURM_ARRAY_TASK_ID/4` or `JOB_COMPLETION_INDEX/4`. Those that are known to count
  /// from 0 are taken so.
  ///
  /// - Throws: `EmbedFuseError` (usage) for any other text, a variable that isn't set or no number, and a part that
  ///   there is not.
  public init(
    _ text: String, environment: (String) -> String? = ProcessEnvironment.value
  ) throws(EmbedFuseError) {
    let halves = text.split(separator: "/", omittingEmptySubsequences: false).map(String.init)
    guard halves.count == 2 else { throw Self.unknown(text) }
    let first = try Self.number(halves[0], in: text, environment: environment)
    let count = try Self.number(halves[1], in: text, environment: environment)
    do throws(EmbedFuseError) {
      try self.init(Self.fromZero.contains(halves[0]) ? first + 1 : first, of: count)
    } catch {
      var error = error
      if Self.asGiven.contains(halves[0]) {
        error.remedy = "number the array's tasks from 1: --array=1-\(max(1, count))"
      }
      error.problem = "--part \(text.printable): \(error.problem)"
      throw error
    }
  }

  private static func unknown(_ text: String) -> EmbedFuseError {
    EmbedFuseError(
      .usage, "--part \(text.printable) is not of the form I/N",
      remedy:
        "write 2/5, or the name of a scheduler's variable: SLURM_ARRAY_TASK_ID/5, JOB_COMPLETION_INDEX/5")
  }

  /// A number of up to 6 digits, or the one that a variable holds.
  private static func number(
    _ half: String, in text: String, environment: (String) -> String?
  ) throws(EmbedFuseError) -> Int {
    func digits(_ text: String) -> Int? {
      text.utf8.count <= 6 && text.utf8.allSatisfy { (0x30...0x39).contains($0) } ? Int(text) : nil
    }
    if let number = digits(half) { return number }
    let isName =
      half.utf8.first.map { !(0x30...0x39).contains($0) } == true
      && half.utf8.allSatisfy {
        (0x41...0x5A).contains($0) || (0x30...0x39).contains($0) || $0 == 0x5F
      }
    guard isName else { throw unknown(text) }
    let value = environment(half)
    guard let value, let number = digits(value) else {
      throw EmbedFuseError(
        .usage,
        "--part \(text.printable): the variable \(half) is \(value.map { "\($0.printable), which is no number" } ?? "not set")",
        remedy: "run it under the scheduler that sets it, or write the numbers: --part 2/5")
    }
    return number
  }

  /// The name of the part's folder.
  var folderName: String { "part-\(Self.padded(number))-of-\(Self.padded(count))" }

  /// The part whose folder has this name; nil for any other name.
  init?(folderName: String) {
    let fields = folderName.split(separator: "-")
    guard fields.count == 4, let number = Int(fields[1]), let count = Int(fields[3]),
      let part = try? OutputPart(number, of: count), part.folderName == folderName
    else { return nil }
    self = part
  }

  private static func padded(_ value: Int) -> String {
    String(repeating: "0", count: max(0, 5 - String(value).count)) + String(value)
  }
}

extension OutputPart: CustomStringConvertible {
  /// `2/5`.
  public var description: String { "\(number)/\(count)" }
}
