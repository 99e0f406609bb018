import CKernels
import TensorCore

extension ElementType {
  /// The kernels' name of a type that can be computed with.
  var kernelType: ck_type {
    switch self {
    case .f64: CK_F64
    case .f32: CK_F32
    case .f16: CK_F16
    case .bf16: CK_BF16
    case .f8E4M3: CK_F8_E4M3
    case .f8E5M2: CK_F8_E5M2
    case .f8E4M3FNUZ: CK_F8_E4M3FNUZ
    case .f8E5M2FNUZ: CK_F8_E5M2FNUZ
    default: preconditionFailure("\(self) is not a type to compute with")
    }
  }
}

/// Widens stored elements to binary64, exactly.
///
/// - Parameters:
///   - bytes: little-endian elements of `type`, at any alignment.
///   - type: a fusable type.
///   - target: receives the values from `offset` on.
/// - Returns: true if any of them is NaN or infinite.
public func widen(
  _ bytes: Span<UInt8>, as type: ElementType, into target: inout MutableSpan<Double>, at offset: Int = 0
) -> Bool {
  let count = bytes.count / (type.bitWidth / 8)
  precondition(offset >= 0 && offset + count <= target.count)
  return unsafe bytes.withUnsafeBufferPointer { source in
    unsafe target.withUnsafeMutableBufferPointer { target in
      guard let source = source.baseAddress, let target = target.baseAddress else { return false }
      return unsafe ck_widen(type.kernelType, source, target + offset, count) != 0
    }
  }
}

/// Rounds binary64 values once, to nearest and ties to even, to stored elements.
///
/// Overflow gives infinity, or NaN where the type has none (E4M3, FNUZ). Every NaN becomes the type's quiet one without
/// sign and payload, since which one arithmetic makes differs between processors.
///
/// - Parameters:
///   - values: the values.
///   - type: a fusable type.
///   - bytes: receives the elements, little-endian, from `offset` on.
public func narrow(
  _ values: Span<Double>, to type: ElementType, into bytes: inout MutableSpan<UInt8>, at offset: Int = 0
) {
  let count = values.count
  precondition(offset >= 0 && offset + type.byteCount(ofElements: count) <= bytes.count)
  unsafe values.withUnsafeBufferPointer { source in
    unsafe bytes.withUnsafeMutableBufferPointer { target in
      guard let source = source.baseAddress, let target = target.baseAddress else { return }
      unsafe ck_narrow(type.kernelType, source, target + offset, count)
    }
  }
}
