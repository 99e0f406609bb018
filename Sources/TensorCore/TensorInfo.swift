/// What a checkpoint says of one tensor: everything but its values.
public struct TensorInfo: Sendable, Hashable {
  /// The name under which the framework knows it, for example `encoder.layer.0.attention.self.query.weight`.
  public let name: String
  /// The type of its elements.
  public let elementType: ElementType
  /// Its extents, row-major.
  public let shape: Shape
  /// Bytes of all its elements, little-endian and without gaps.
  public let byteCount: Int

  /// Describes a tensor, or nil where its size does not end at a byte.
  public init?(name: String, elementType: ElementType, shape: Shape) {
    guard let byteCount = shape.byteCount(of: elementType) else { return nil }
    self.name = name
    self.elementType = elementType
    self.shape = shape
    self.byteCount = byteCount
  }
}
