/// The extents of a tensor, outermost first (row-major); empty for a scalar.
public struct Shape: Sendable, Hashable {
  /// The extent along each axis, as unsigned as the formats store them: `[0, 2^64-1]` is a legal empty shape.
  public let dimensions: [UInt]

  /// The product of the extents: 1 for a scalar, 0 if any extent is 0.
  public let elementCount: Int

  /// A shape of these extents, or nil where their product, taken from left to right, leaves `Int`.
  public init?(_ dimensions: [UInt]) {
    var count: UInt = 1
    for extent in dimensions {
      let (product, overflow) = count.multipliedReportingOverflow(by: extent)
      guard !overflow else { return nil }
      count = product
    }
    guard let elementCount = Int(exactly: count) else { return nil }
    self.dimensions = dimensions
    self.elementCount = elementCount
  }

  /// The number of axes.
  public var rank: Int { dimensions.count }

  /// Elements of one row: the extent of the last axis. A scalar is one row of one element, a 1-D tensor one
  /// row.
  public var rowLength: Int { Int(clamping: dimensions.last ?? 1) }

  /// Bits of all elements of `type`, or nil where that overflows.
  public func bitCount(of type: ElementType) -> Int? {
    let (bits, overflow) = elementCount.multipliedReportingOverflow(by: type.bitWidth)
    return overflow ? nil : bits
  }

  /// Bytes of all elements of `type`, or nil where that overflows or doesn't end at a byte.
  public func byteCount(of type: ElementType) -> Int? {
    guard let bits = bitCount(of: type), bits % 8 == 0 else { return nil }
    return bits / 8
  }
}

extension Shape: CustomStringConvertible {
  /// For example `[30522, 384]`; `[]` for a scalar.
  public var description: String {
    var text = "["
    for (axis, extent) in dimensions.enumerated() {
      if axis > 0 { text += ", " }
      text += String(extent)
    }
    text += "]"
    return text
  }
}
