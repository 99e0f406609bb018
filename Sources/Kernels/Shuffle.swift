import CKernels

/// The byte shuffle of HDF5's filter 2: the bytes of the elements regrouped into planes, plane `b` holding byte
/// `b` of every element. It brings the exponents of floating-point numbers together, which is what compresses.
public enum Shuffle {
  /// Writes planes of the elements in `source`, of `width` bytes each, to `target`.
  ///
  /// - Parameters:
  ///   - planes: those that are written; nil for all.
  ///   - start: where in `target` the first of them begins.
  ///   - stride: bytes from one to the next, at least one for each element; what lies between them is left as it is. nil for
  ///     as many as there are elements.
  public static func split(
    _ source: Span<UInt8>, width: Int, planes: Range<Int>? = nil, into target: inout MutableSpan<UInt8>,
    at start: Int = 0, stride: Int? = nil
  ) {
    let planes = planes ?? 0..<width
    let count = source.count / width
    let stride = stride ?? count
    guard count > 0, !planes.isEmpty else { return }
    precondition(source.count == count * width && planes.lowerBound >= 0 && planes.upperBound <= width)
    precondition(start >= 0 && stride >= count && start + (planes.count - 1) * stride + count <= target.count)
    unsafe target.withUnsafeMutableBytes { target in
      unsafe source.withUnsafeBytes { bytes in
        unsafe ck_shuffle(
          bytes.baseAddress, target.baseAddress! + start, width, planes.lowerBound, planes.count, count,
          stride)
      }
    }
  }

  /// The inverse of `split`: writes the elements whose planes are `planes` to the front of `target`.
  public static func join(_ planes: Span<UInt8>, width: Int, into target: inout MutableSpan<UInt8>) {
    precondition(planes.count <= target.count && planes.count % width == 0)
    unsafe target.withUnsafeMutableBytes { elements in
      unsafe planes.withUnsafeBytes { bytes in
        guard let from = bytes.baseAddress, let to = elements.baseAddress else { return }
        unsafe ck_unshuffle(from, to, width, bytes.count / width)
      }
    }
  }
}
