import ArgumentParser
import EmbedFuse

/// The arguments of every command that reads checkpoints, where there is a choice of how.
struct OpeningArguments: ParsableArguments {
  @Option(
    name: .customLong("delta-base"),
    help: ArgumentHelp(
      "The checkpoint to which an .h5 is stored, if it isn't where the file says.", valueName: "path"))
  var deltaBase: String?

  @Flag(
    name: .customLong("npy-bf16"),
    help: "Take NumPy arrays of two bytes without a meaning (V2) for BF16, which NumPy saves so.")
  var npyBF16 = false

  /// What they come to.
  var options: OpeningOptions {
    var options = OpeningOptions()
    options.deltaBase = deltaBase
    options.readsVoidPairsAsBFloat16 = npyBF16
    return options
  }
}
