/// Small models for recipes to name.
public enum FuzzModels {
  /// The names, relative to the folder: files, so that nothing has to be listed.
  public static let names = ["base", "a", "b", "c"].map { "\($0).safetensors" }

  /// Writes them where the process then is.
  public static let written: Void = {
    let tensors = (0..<4).map { "layers.\($0).weight 2 2\n" }.joined() + "embeddings.weight 4 2\nnorm 2\n"
    for name in names { FuzzInput.write(FuzzInput.safetensors(tensors.utf8), to: name) }
  }()
}
