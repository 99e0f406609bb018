import ArgumentParser
import EmbedFuse

/// The arguments of every command that reads checkpoints, where there is a choice of how.
struct OpeningArguments: ParsableArguments {
  @Option(
    name: .customLong("delta-base"),
    help: ArgumentHelp(
      "The checkpoint to which an .h5 is stored, if it isn't where the file says.", valueName: "path"))
  var deltaBase: String?

  /// What they come to.
  var options: OpeningOptions {
    var options = OpeningOptions()
    options.deltaBase = deltaBase
    return options
  }
}
