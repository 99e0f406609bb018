import TensorCore

extension HDF5Dataset {
  /// The tensor that the dataset holds.
  ///
  /// The attribute `dtype` says what bytes mean, `shape` the extents where they are others, and `name` that the path
  /// was encoded.
  func tensorInfo(in file: String) throws(EmbedFuseError) -> TensorInfo {
    func refuse(_ problem: String) -> EmbedFuseError {
      EmbedFuseError(.badData, problem, path: file, tensor: path)
    }
    guard let elementType = try differenceType(in: file) ?? interpretedType else {
      throw refuse("its type of \(type.byteCount) bytes is not an element type of checkpoints")
    }
    let extents =
      elementType.byteWidth == nil || shape != nil && (dtype ?? delta?.elementType) != nil
      ? shape ?? dimensions : dimensions
    guard let shape = Shape(extents.map { UInt($0) }), let stored = Shape(dimensions.map { UInt($0) }) else {
      throw refuse("has the extents \(extents) (stored as \(dimensions)), \(Shape.excess)")
    }
    guard
      let info = TensorInfo(name: trueName, elementType: elementType, shape: shape),
      stored.elementCount.multipliedReportingOverflow(by: type.byteCount) == (info.byteCount, false)
    else {
      throw refuse(
        "extents \(extents) of \(elementType) don't fit its \(dimensions) elements of \(type.byteCount) bytes"
      )
    }
    return info
  }

  /// The type of the values whose differences these are; nil if they are values.
  private func differenceType(in file: String) throws(EmbedFuseError) -> ElementType? {
    guard let delta else { return nil }
    guard let named = ElementType(name: delta.elementType), named.isFusable, type.isUninterpreted,
      named.byteWidth == type.byteCount
    else {
      throw EmbedFuseError(
        .badData,
        "it says to hold differences of \(delta.elementType), but its elements of \(type.byteCount) bytes can't be such",
        path: file, tensor: path)
    }
    return named
  }

  /// The element type of the stored type, or that which the attribute `dtype` gives to bytes of the same size.
  private var interpretedType: ElementType? {
    guard type.isUninterpreted, let dtype, let named = ElementType(commonName: dtype) else {
      return type.elementType
    }
    return (named.byteWidth ?? 1) == type.byteCount ? named : type.elementType
  }

  /// The name that the path stands for.
  private var trueName: String {
    let decoded = components.map(HDF5Name.decoded).joined(separator: "/")
    // Zeros at the end of a text attribute are lost.
    guard let name, decoded == name || decoded.hasPrefix(name + "\0") else { return path }
    return decoded
  }
}
