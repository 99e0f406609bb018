/// The extents of a tensor, outermost first (row-major); empty for a scalar.
public struct Shape: Sendable, Hashable {
  /// The most elements that a tensor may have, zeros among its extents not counted: 2^56.
  ///
  /// No file is as large, and whatever is computed from extents (bits, bytes, rows to a block) stays far within `Int`.
  public static let elementLimit = 1 << 56

  /// The extent along each axis.
  public let dimensions: [UInt]

  /// The product of the extents: 1 for a scalar, 0 if any extent is 0.
  public let elementCount: Int

  /// A shape of these extents, or nil where the product of those that aren't 0 exceeds `elementLimit`: `[0, 2^63]` is
  /// no shape, though it has no elements.
  public init?(_ dimensions: [UInt]) {
    var product: UInt = 1
    for extent in dimensions where extent > 0 {
      let (next, overflow) = product.multipliedReportingOverflow(by: extent)
      guard !overflow, next <= UInt(Self.elementLimit) else { return nil }
      product = next
    }
    self.dimensions = dimensions
    elementCount = dimensions.contains(0) ? 0 : Int(product)
  }

  /// The number of axes.
  public var rank: Int { dimensions.count }

  /// Elements of one row: the extent of the last axis. A scalar is one row of one element, a 1-D tensor one
  /// row.
  public var rowLength: Int { Int(dimensions.last ?? 1) }

  /// Bits of all elements of `type`.
  public func bitCount(of type: ElementType) -> Int { elementCount * type.bitWidth }

  /// Bytes of all elements of `type`, or nil where they don't end at a byte.
  public func byteCount(of type: ElementType) -> Int? {
    let bits = bitCount(of: type)
    return bits % 8 == 0 ? bits / 8 : nil
  }
}

extension Shape {
  /// What a message says of extents that are no shape.
  package static let excess = "whose product, zeros aside, is more than 2^56 elements"
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
