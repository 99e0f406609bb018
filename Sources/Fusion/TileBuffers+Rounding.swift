import Kernels
import TensorCore

extension TileBuffers {
  /// Rounds the fused values of a tile to `type`, into `output` from byte `offset` on, and counts what that did.
  ///
  /// With an `intermediate` type the values are rounded to that first, and counted in the narrower of the two. Deltas are
  /// counted where there is a base and the type has at most 16 bits.
  mutating func narrowFused(
    _ tile: Tile, of block: FusionBlock, bytes: [[UInt8]], as type: ElementType,
    by intermediate: ElementType?, into output: inout [UInt8], at offset: Int, rounding: inout RoundingCounts
  ) {
    let elements = tile.layout.elements
    var exact: [Double] = []
    if let intermediate, intermediate != type {
      exact = Array(fused[elements])
      round(elements, to: intermediate)
    }
    let size = type.byteCount(ofElements: elements.count)
    var span = output.mutableSpan
    narrow(fused.span.extracting(elements), to: type, into: &span, at: offset)
    guard let intermediate, intermediate.bitWidth < type.bitWidth else {
      let rounded = output.span.extracting(offset..<offset + size)
      if exact.isEmpty {
        count(fused.span.extracting(elements), rounded, as: type, tile, of: block, bytes, &rounding)
      } else {
        count(exact.span, rounded, as: type, tile, of: block, bytes, &rounding)
      }
      return
    }
    let rounded = narrowed(fused.span.extracting(elements), to: intermediate)
    count(exact.span, rounded.span, as: intermediate, tile, of: block, bytes, &rounding)
  }

  private func count(
    _ values: Span<Double>, _ rounded: Span<UInt8>, as type: ElementType, _ tile: Tile, of block: FusionBlock,
    _ bytes: [[UInt8]], _ counts: inout RoundingCounts
  ) {
    guard tile.hasBase, type.bitWidth <= 16 else {
      countRounding(
        of: values, to: rounded, as: type, base: Span(), roundedBase: Span(), into: &counts)
      return
    }
    let base = wide.span.extracting(tile.firstOfBase..<tile.firstOfBase + tile.count)
    // Stored in this type the base is what rounding would make of it.
    guard block.inputs[0].elementType == type else {
      let own = narrowed(base, to: type)
      countRounding(of: values, to: rounded, as: type, base: base, roundedBase: own.span, into: &counts)
      return
    }
    let first = type.byteCount(ofElements: tile.start - block.range.lowerBound)
    let stored = bytes[0]
    let own = stored.span.extracting(first..<first + rounded.count)
    countRounding(of: values, to: rounded, as: type, base: base, roundedBase: own, into: &counts)
  }

  private func narrowed(_ values: Span<Double>, to type: ElementType) -> [UInt8] {
    var bytes = Array(repeating: UInt8(0), count: type.byteCount(ofElements: values.count))
    var span = bytes.mutableSpan
    narrow(values, to: type, into: &span)
    return bytes
  }
}
