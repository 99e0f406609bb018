import ArgumentParser
import EmbedFuse

/// `embedfuse diff`: how far models moved from their base, and from each other.
struct DiffCommand: AsyncParsableCommand {
  static let configuration = CommandConfiguration(
    commandName: "diff", abstract: "Show how far models moved from their base, and how they differ.",
    discussion: """
      Shows, layer by layer and in all, ‖δ‖/‖θ₀‖ of every model (δ = θ − θ₀), the cosines between the models' deltas, \
      the share of elements that they move in opposite directions, and the embedding rows that moved most.
      """)

  @Argument(help: "The pretrained checkpoint.")
  var base: String

  @Argument(help: "The models that were fine-tuned from it.")
  var models: [String]

  @Flag(help: "Print everything, each tensor too, as JSON.")
  var json = false

  @Option(help: ArgumentHelp("Write a page with heat maps for a browser.", valueName: "file"))
  var html: String?

  @Flag(help: "Replace the page if it exists.")
  var force = false

  @Flag(help: "List each tensor, not only layers.")
  var tensors = false

  @Option(help: "How many rows of each embedding table to list.")
  var rows = 20

  @Option(help: "NaN and infinity in a model: error, or base to take the base's value.")
  var nonfinite = NonFinitePolicy.error

  @Option(
    help: ArgumentHelp(
      "Checkpoints of training runs: last:3, best:eval_METRIC, steps:500,1000.", valueName: "which"))
  var select: String?

  @Option(help: "Memory to stay within, code included: 256M, 2G.")
  var memory = ByteSize(bytes: 512 << 20, text: "512M")

  @Option(help: "Workers. (default: one a core)")
  var threads: Int?

  @Flag(name: .shortAndLong, help: "Print nothing but errors.")
  var quiet = false

  @OptionGroup var opening: OpeningArguments

  func validate() throws {
    if let threads, threads < 1 { throw ValidationError("--threads must be at least 1") }
    if rows < 0 { throw ValidationError("--rows must not be negative") }
    if nonfinite == .allow { throw ValidationError("--nonfinite is error or base") }
  }

  func run() async throws {
    var options = ComparisonOptions(
      memory: memory.bytes, threads: threads, rowCount: rows, replacesNonFinite: nonfinite == .base,
      opening: opening.options(cacheBytes: memory.cacheBytes(inputs: 1 + models.count)))
    options.reservedMemory = ProcessMemory.reservedBytes
    options.page = html
    if let select { options.selection = try CheckpointSelection(select) }
    let (base, models, finalOptions) = (base, models, options)
    let page = try html.map { try ComparisonPage.Target($0, overwrite: force) }
    let showsProgress = !quiet && !json && Console.errorIsTerminal
    let comparison = try await Interruption.cancelling {
      let comparison = try await ProgressLine.showing(showsProgress) { progress in
        try await ModelComparison(base: base, models: models, options: finalOptions, progress: progress)
      }
      try page?.write(comparison)
      return comparison
    }
    if json {
      try Console.print(comparison.json.prettyText)
    } else if !quiet {
      try DiffText(comparison, listsTensors: tensors).print()
    }
  }
}
