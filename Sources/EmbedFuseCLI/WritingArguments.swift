import ArgumentParser
import EmbedFuse

/// The arguments of every command that writes a checkpoint.
struct WritingArguments: ParsableArguments {
  @Flag(help: "Replace the output if it exists, once the new one is whole.")
  var force = false

  @Flag(name: .customLong("no-sync"), help: "Don't flush to disk (for scratch work).")
  var noSync = false

  @Option(help: "Memory to stay within, code included: 256M, 2G.")
  var memory = ByteSize(bytes: 512 << 20, text: "512M")

  @Option(help: "Workers. (default: one a core)")
  var threads: Int?

  @Option(
    name: .customLong("max-shard-size"),
    help: "Most bytes of tensors in one file of a directory. (default: 5GB, or the --locked manifest's)")
  var maximumShardSize: ByteSize?

  @Option(
    name: .customLong("compression-level"), parsing: .unconditional,
    help: "A plain zstd level for .h5, instead of the settings made for weights.")
  var compressionLevel: Int?

  @Option(
    name: .customLong("relative-to"),
    help: ArgumentHelp(
      "Store an .h5 as the differences to this checkpoint, which reading it needs.", valueName: "base"))
  var relativeTo: String?

  @Flag(name: .shortAndLong, help: "Print nothing but errors.")
  var quiet = false

  @Flag(help: "Print the result as JSON on standard output.")
  var json = false

  /// Checks what can be checked of the arguments and the outputs' names.
  func validate(outputs: [String]) throws {
    if let threads, threads < 1 { throw ValidationError("--threads must be at least 1") }
    if let level = compressionLevel, !(-100...22).contains(level) || level == 0 {
      throw ValidationError("--compression-level must be 1 to 22, or -1 to -100 for speed")
    }
    if compressionLevel != nil, outputs.contains(where: { OutputKind(path: $0) != .hdf5 }) {
      throw ValidationError("--compression-level is for .h5 outputs only")
    }
  }

  /// The options for the library.
  func options(weightsReport: String? = nil) -> OutputOptions {
    var options = OutputOptions(
      overwrite: force, synchronize: !noSync, memory: memory.bytes, threads: threads,
      maximumShardBytes: maximumShardSize?.bytes, compressionLevel: compressionLevel,
      relativeTo: relativeTo, weightsReport: weightsReport)
    options.reservedMemory = ProcessMemory.reservedBytes
    return options
  }

  /// Fusions whose inputs keep no more of decoded pieces than `ByteSize.cacheBytes(inputs:)` says.
  func limitingCaches(of request: RecipeFile) -> RecipeFile {
    var request = request
    for index in request.outputs.indices {
      let inputs = request.outputs[index].recipe.allInputs.count
      request.outputs[index].recipe.opening.cacheBytes = memory.cacheBytes(inputs: inputs)
    }
    return request
  }

  /// True if progress is shown: to a person who doesn't want quiet.
  var showsProgress: Bool { !quiet && !json && Console.errorIsTerminal }
}

extension ByteSize {
  /// What an open input takes in any case: its description, and blocks of it.
  private static let inputBytes = 4 << 20

  /// Bytes that each of some inputs may keep of decoded pieces: half of its share of the memory, the rest being for
  /// more workers.
  func cacheBytes(inputs: Int) -> Int {
    let share = (bytes - ProcessMemory.reservedBytes) / max(1, inputs)
    return max(0, share - Self.inputBytes) / 2
  }
}
