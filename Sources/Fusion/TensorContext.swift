import TensorCore

/// One tensor as a method sees it: where it stands in the model and the settings that hold for it.
public struct TensorContext: Sendable {
  /// Its place among the fused tensors, from 0.
  public let index: Int
  /// Its name in the base.
  public let name: String
  /// Its extents.
  public let shape: Shape
  /// The blocks that sums and digests are taken over.
  public let grid: BlockGrid
  /// The layer it belongs to, as `LayerName` finds it.
  public let layer: String
  /// The weight c_k that the user gave each model for this tensor, in the order of the models.
  public let priors: [Double]

  /// A tensor at `index` of the model, with one prior for each model.
  public init(index: Int, name: String, shape: Shape, layer: String, priors: [Double]) {
    self.index = index
    self.name = name
    self.shape = shape
    self.grid = BlockGrid(shape)
    self.layer = layer
    self.priors = priors
  }
}

/// Which layer a tensor belongs to, read off its name.
public enum LayerName {
  /// The name up to its first numbered component (`encoder.layer.7`), or the first component (`embeddings`,
  /// `pooler`) of a tensor outside any layer.
  ///
  /// A number in front (`0.auto_model...`) counts modules, not layers. A tensor of a module folder belongs to
  /// the module: `module` is its path, empty for the transformer.
  public static func of(_ name: String, module: String = "") -> String {
    guard module.isEmpty else { return module }
    let components = name.split(separator: ".", omittingEmptySubsequences: false)
    let numbered = components.indices.dropFirst().first { index in
      !components[index].isEmpty && components[index].utf8.allSatisfy { (0x30...0x39).contains($0) }
    }
    return components.prefix((numbered ?? 0) + 1).joined(separator: ".")
  }
}
