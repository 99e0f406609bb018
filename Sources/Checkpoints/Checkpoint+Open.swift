import TensorCore

/// How checkpoint files are to be read where there is a choice.
public struct OpeningOptions: Sendable, Hashable {
  /// The state dict to take from a file that holds several, such as `model_ema`: keys joined by dots. A file that
  /// is a state dict itself and has no such key is read as it is.
  public var stateDictKey: String?
  /// Refuse pickles that name anything outside the list of torch's weights-only loader.
  public var strictPickle = false
  /// Take NumPy arrays of two bytes without a meaning (`V2`) for BF16, which NumPy saves so.
  public var readsVoidPairsAsBFloat16 = false

  /// The checkpoint to which files of differences are stored; nil to look for it where they say.
  public var deltaBase: String?
  /// Bytes of decoded pieces that a compressed file keeps for the next blocks, if that is less than it would like to;
  /// nil for no such limit. What one block is made of is kept in any case.
  public var cacheBytes: Int?
  /// True if no values will be read: a file of differences then needs no base.
  public var describing = false

  /// The defaults, to describe a checkpoint or to read it.
  public init(describing: Bool) { self.describing = describing }

  /// The defaults: the one state dict that is there; unknown names in pickles are inert.
  public init() {}
}

extension Checkpoint {
  /// Opens a checkpoint file, or the index of its shards, by its name's ending.
  ///
  /// - Throws: `EmbedFuseError`: missing input for a kind of file that can't be read; bad data for a file that breaks
  ///   its format.
  static func open(at path: String, options: OpeningOptions) throws(EmbedFuseError) -> Checkpoint {
    do { return try openByEnding(path, options: options) } catch { throw error.recognizing(path) }
  }

  private static func openByEnding(
    _ path: String, options: OpeningOptions
  ) throws(EmbedFuseError) -> Checkpoint {
    let name = FilePath.name(of: path)
    if name.hasSuffix(".safetensors") || name.hasSuffix(".safetensors.index.json") {
      return try openSafetensors(at: path)
    }
    if name.hasSuffix(".h5") || name.hasSuffix(".hdf5") {
      return try HDF5Reader(path, options: options).checkpoint()
    }
    if name.hasSuffix(".weights.json") { return try openKerasShards(at: path, options: options) }
    if name.hasSuffix(".keras") { return try openKerasArchive(at: path, options: options) }
    if name.hasSuffix(".gguf") { return try openGGUF(at: path, options: options) }
    if name.hasSuffix(".npz") { return try openNPZ(at: path, options: options) }
    if name.hasSuffix(".npy") { return try openNPY(at: path, options: options) }
    if name.hasSuffix(".bin.index.json") || [".bin", ".pt", ".pth", ".ckpt"].contains(where: name.hasSuffix) {
      return try openPyTorch(at: path, options: options)
    }
    if name.hasSuffix(".distcp") {
      throw EmbedFuseError(
        .missingInput, "is a piece of a distributed checkpoint, which only torch can put together",
        path: path,
        remedy: "name its folder to see the command that converts it")
    }
    throw EmbedFuseError(
      .missingInput,
      "is no kind of file that can be read: .safetensors, .bin, .pt, .pth, .ckpt, .index.json of either, .h5, .hdf5, .keras, .weights.json, .gguf, .npy, .npz",
      path: path, remedy: "name a model directory or one of these files")
  }
}
