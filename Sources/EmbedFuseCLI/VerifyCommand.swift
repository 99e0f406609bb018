import ArgumentParser
import EmbedFuse

/// `embedfuse verify`: checks a fused checkpoint against its manifest.
struct VerifyCommand: AsyncParsableCommand {
  static let configuration = CommandConfiguration(
    commandName: "verify", abstract: "Check a fused checkpoint against its manifest.")

  @Argument(help: "What merge has written: a directory or a file.")
  var path: String

  @Argument(
    help: ArgumentHelp(
      "For --rerun: where the inputs are, all of them in the order of the manifest.",
      discussion: "Without them they are looked for by the manifest's names, from here and beside the output."
    ))
  var inputs: [String] = []

  @OptionGroup var opening: OpeningArguments

  @Flag(help: "Fuse again from the inputs that the manifest names, writing nothing, and compare.")
  var rerun = false

  @Option(help: "Workers. (default: one a core)")
  var threads: Int?

  @Flag(name: .shortAndLong, help: "Print nothing but errors.")
  var quiet = false

  @Flag(help: "Print the result as JSON.")
  var json = false

  func validate() throws {
    if let threads, threads < 1 { throw ValidationError("--threads must be at least 1") }
    guard inputs.isEmpty || rerun else {
      throw ValidationError("inputs are read only by --rerun")
    }
  }

  func run() async throws {
    let (inputs, path, threads, rerun, options) = (
      inputs, path, threads, rerun, opening.options
    )
    let report = try await Interruption.cancelling {
      try await Verification.report(
        on: path, options: options, rerun: rerun, inputs: inputs, threads: threads)
    }
    if json { try Console.print(report.json.prettyText) }
    if let failure = report.failure { throw failure }
    if !json, !quiet {
      try Console.print(
        "\(path.printable): \(report.tensorCount.counted("tensor")) and \(report.fileCount.counted("file")) are as the manifest says"
          + (report.relativeTo.map { "; stored as differences to \($0.printable)" } ?? "")
          + (report.reran ? "; fusing again from the inputs gives the same" : ""))
    }
  }
}
