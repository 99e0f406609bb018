import CKernels

/// The byte shuffle of HDF5's filter 2: the bytes of the elements regrouped into planes, plane `b` holding byte
/// `b` of every element. It brings the exponents of floating-point numbers together, which is what compresses.
public enum Shuffle {
  /// Writes the planes of the elements in `source` to `planes`; both hold whole elements of `width` bytes and
  /// are equally long.
  public static func split(_ source: Span<UInt8>, width: Int, into planes: inout MutableSpan<UInt8>) {
    precondition(source.count == planes.count && source.count % width == 0)
    unsafe planes.withUnsafeMutableBytes { target in
      unsafe source.withUnsafeBytes { bytes in
        guard let from = bytes.baseAddress, let to = target.baseAddress else { return }
        unsafe ck_shuffle(from, to, width, bytes.count / width)
      }
    }
  }

  /// The inverse of `split`: writes the elements whose planes are `planes` to `target`.
  public static func join(_ planes: Span<UInt8>, width: Int, into target: inout MutableSpan<UInt8>) {
    precondition(planes.count == target.count && planes.count % width == 0)
    unsafe target.withUnsafeMutableBytes { elements in
      unsafe planes.withUnsafeBytes { bytes in
        guard let from = bytes.baseAddress, let to = elements.baseAddress else { return }
        unsafe ck_unshuffle(from, to, width, bytes.count / width)
      }
    }
  }
}
