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
  /// Its layer's place among the numbered layers, from 0 for the first to 1 for the last; nil outside of them.
  public let depth: Double?
  /// The weight c_k that the user gave each model for this tensor, in the order of the models. Where only their ratios
  /// count, very large or small ones come multiplied by a power of two.
  public internal(set) var priors: [Double]
  /// The other parameters by name: one number, or one for each model.
  public let parameters: [String: [Double]]
  /// True if some of the inputs or the output are stored in binary64.
  public let isDoublePrecision: Bool

  /// A tensor at `index` of the model, with one prior for each model.
  public init(
    index: Int, name: String, shape: Shape, layer: String, depth: Double? = nil, priors: [Double],
    parameters: [String: [Double]] = [:], isDoublePrecision: Bool = false
  ) {
    self.index = index
    self.name = name
    self.shape = shape
    self.grid = BlockGrid(shape)
    self.layer = layer
    self.depth = depth
    self.priors = priors
    self.parameters = parameters
    self.isDoublePrecision = isDoublePrecision
  }

  /// The number of models that are fused here.
  public var modelCount: Int { priors.count }

  /// The value of a parameter that all models share.
  public func value(_ name: String) -> Double { parameters[name]![0] }

  /// True if a flag that all models share is set.
  public func flag(_ name: String) -> Bool { value(name) != 0 }

  /// The values of a parameter that each model has.
  public func values(_ name: String) -> [Double] { parameters[name]! }

  /// The number of columns: of elements to each part along the first axis. A vector is one row.
  public var columnCount: Int {
    guard shape.rank >= 2, let first = shape.dimensions.first, first > 0 else { return shape.elementCount }
    return shape.elementCount / Int(first)
  }

  /// The name of the stream of random numbers for one model in this tensor.
  ///
  /// It depends on the seed, the tensor's name and the model alone, so that no order, block or thread matters.
  public func randomKey(seed: UInt64, model: Int) -> UInt64 {
    var key = seed &+ 0x9E37_79B9_7F4A_7C15
    func absorb(_ value: UInt64) {
      key ^= value
      key = (key ^ (key >> 30)) &* 0xBF58_476D_1CE4_E5B9
      key = (key ^ (key >> 27)) &* 0x94D0_49BB_1331_11EB
      key ^= key >> 31
    }
    for byte in name.utf8 { absorb(UInt64(byte) &+ 1) }
    absorb(UInt64(model) &+ 0x1_0000)
    return key
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
    let end =
      number(in: name)?.upperBound ?? name.utf8.firstIndex(of: UInt8(ascii: ".")) ?? name.utf8.endIndex
    return String(name[..<end])
  }

  /// What stands before the layer's number, the number, and what follows it; nil outside of numbered layers, and for
  /// numbers that count none (beyond 2^31).
  public static func parts(of name: String) -> (prefix: String, number: Int, rest: String)? {
    guard let range = number(in: name), let number = Int32(name[range]) else { return nil }
    let rest = name[range.upperBound...].dropFirst()
    return (String(name[..<name.utf8.index(before: range.lowerBound)]), Int(number), String(rest))
  }

  /// The first component that is a number, the very first left aside.
  private static func number(in name: String) -> Range<String.Index>? {
    let bytes = name.utf8
    var start = bytes.startIndex
    while let dot = bytes[start...].firstIndex(of: UInt8(ascii: ".")) {
      start = bytes.index(after: dot)
      let component = bytes[start...].prefix { $0 != UInt8(ascii: ".") }
      if !component.isEmpty, component.allSatisfy({ (0x30...0x39).contains($0) }) {
        return component.startIndex..<component.endIndex
      }
    }
    return nil
  }
}
