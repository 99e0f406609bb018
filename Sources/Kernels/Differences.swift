import CKernels

/// Differences between stored floating-point numbers as integers: what remains of a fine-tune once its base is known,
/// small where it moved little, and exact for every bit pattern, NaN and -0 among them.
///
/// The bits of both numbers are taken as integers that order as the numbers do (-0 just below 0). Their difference,
/// modulo 2^bits, is folded: 0, -1, 1, -2, 2 … become 0, 1, 2, 3, 4 ….
public enum Differences {
  /// Writes the folded differences of `values` to `base` into `target` from byte `offset` on.
  ///
  /// Both hold little-endian elements of `width` bytes (1, 2, 4 or 8) and are equally long.
  public static func encode(
    _ values: Span<UInt8>, relativeTo base: Span<UInt8>, width: Int, into target: inout MutableSpan<UInt8>,
    at offset: Int = 0
  ) {
    precondition([1, 2, 4, 8].contains(width) && values.count == base.count && values.count % width == 0)
    precondition(offset >= 0 && offset + values.count <= target.count)
    unsafe target.withUnsafeMutableBytes { target in
      unsafe values.withUnsafeBytes { values in
        unsafe base.withUnsafeBytes { base in
          guard let to = target.baseAddress, let from = values.baseAddress, let start = base.baseAddress
          else { return }
          unsafe ck_encode_differences(from, start, to + offset, width, values.count / width)
        }
      }
    }
  }

  /// The inverse of `encode`: puts the values in the place of the differences that stand in `bytes` from byte
  /// `offset` on, as many as `base` has.
  public static func decode(
    _ bytes: inout MutableSpan<UInt8>, at offset: Int = 0, relativeTo base: Span<UInt8>, width: Int
  ) {
    precondition([1, 2, 4, 8].contains(width) && base.count % width == 0)
    precondition(offset >= 0 && offset + base.count <= bytes.count)
    unsafe bytes.withUnsafeMutableBytes { bytes in
      unsafe base.withUnsafeBytes { base in
        guard let target = bytes.baseAddress, let start = base.baseAddress else { return }
        unsafe ck_decode_differences(target + offset, start, width, base.count / width)
      }
    }
  }
}
