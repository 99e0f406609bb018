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

  @Option(
    help: ArgumentHelp(
      "The state dict to read of a PyTorch file that holds several, such as model_ema: keys joined by dots.",
      discussion: "Files that are state dicts themselves are read as they are."))
  var key: String?

  @Flag(help: "Refuse PyTorch files that name more than torch's weights-only loader allows.")
  var strictPickle = false

  /// What they come to.
  var options: OpeningOptions { options(cacheBytes: nil) }

  /// What they come to where a compressed file may keep so much of what is decoded.
  func options(cacheBytes: Int?) -> OpeningOptions {
    var options = OpeningOptions()
    options.cacheBytes = cacheBytes
    apply(to: &options)
    return options
  }

  /// Puts what is given here before what a recipe says.
  func apply(to options: inout OpeningOptions) {
    options.deltaBase = deltaBase ?? options.deltaBase
    options.stateDictKey = key ?? options.stateDictKey
    options.strictPickle = strictPickle || options.strictPickle
    options.readsVoidPairsAsBFloat16 = npyBF16 || options.readsVoidPairsAsBFloat16
  }
}
