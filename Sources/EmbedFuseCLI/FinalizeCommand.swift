import ArgumentParser
import EmbedFuse

/// `embedfuse finalize`: puts the parts of an output together.
struct FinalizeCommand: AsyncParsableCommand {
  static let configuration = CommandConfiguration(
    commandName: "finalize", abstract: "Put the parts of an output together that merge --part has made.",
    discussion: """
      Checks that all parts are there, that they were made from the same recipe and inputs, and that their files are \
      intact; then writes index, configuration, tokenizer and manifest, and publishes the output. It has the bytes \
      that a single merge writes.
      """)

  @Argument(help: "The output, as the parts name it with -o.")
  var output: String

  @Option(
    help: ArgumentHelp(
      "Publish only what this manifest (or the one in this output) describes, from the same inputs.",
      valueName: "manifest"))
  var locked: String?

  @Option(help: "Write what the output was made from as a rule for make.")
  var depfile: String?

  @Flag(help: "Replace the output if it exists, once the new one is whole.")
  var force = false

  @Flag(name: .customLong("no-sync"), help: "Don't flush to disk (for scratch work).")
  var noSync = false

  @Flag(
    name: .customLong("no-verify"),
    help: "Check only sizes and headers of the parts' files, not their content.")
  var noVerify = false

  @Option(help: "Workers. (default: one a core)")
  var threads: Int?

  @Flag(name: .shortAndLong, help: "Print nothing but errors.")
  var quiet = false

  @Flag(help: "Print the result as JSON on standard output.")
  var json = false

  func validate() throws {
    if let threads, threads < 1 { throw ValidationError("--threads must be at least 1") }
  }

  func run() async throws {
    let options = OutputOptions(overwrite: force, synchronize: !noSync, threads: threads)
    let clock = ContinuousClock()
    let start = clock.now
    let pinned = try locked.map { path throws(EmbedFuseError) in try FusionManifest(of: path) }
    let verifies = !noVerify
    let assembly = try PartAssembly(of: output)
    let manifests = locked.map { [FusionManifest.file(of: $0)] } ?? []
    let inputs = assembly.inputPaths + manifests
    try assembly.check(dependencyFile: depfile, manifests: manifests)
    if let depfile { try DependencyFile.check(depfile, targets: [output], inputs: inputs) }
    let (output, depfile) = (output, depfile)
    let result = try await Interruption.cancelling {
      let result = try await assembly.run(lockedTo: pinned, options: options, verifies: verifies)
      try depfile.map { path throws(EmbedFuseError) in
        try DependencyFile.write(
          to: path, targets: [output], inputs: inputs, synchronize: options.synchronize)
      }
      return result
    }
    let seconds = (clock.now - start) / .seconds(1)
    if json {
      try Console.report(result.json(seconds: seconds).prettyText, on: [output])
    } else if !quiet {
      Summary.print(result, seconds: seconds)
    }
  }
}
