import CKernels
import Glibc

/// The byte shuffle of HDF5's filter 2: the bytes of the elements regrouped into planes, plane `b` holding byte
/// `b` of every element. It brings the exponents of floating-point numbers together, which is what compresses.
public enum Shuffle {
  /// Writes the planes of the elements in `source`, of `width` bytes each, to `planes`.
  ///
  /// - Parameter length: bytes of a plane, at least one for each element; the others are set to zero. nil for as many
  ///   as there are elements.
  public static func split(
    _ source: Span<UInt8>, width: Int, into planes: inout MutableSpan<UInt8>, length: Int? = nil
  ) {
    let count = source.count / width
    let length = length ?? count
    precondition(source.count == count * width && length >= count && planes.count >= length * width)
    unsafe planes.withUnsafeMutableBytes { target in
      unsafe source.withUnsafeBytes { bytes in
        guard let to = target.baseAddress else { return }
        if let from = bytes.baseAddress { unsafe ck_shuffle(from, to, width, count, length) }
        for plane in 0..<width { unsafe memset(to + plane * length + count, 0, length - count) }
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
