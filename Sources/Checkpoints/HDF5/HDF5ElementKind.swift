import CHDF5
import TensorCore

/// The stored type of a dataset.
struct HDF5ElementKind: Sendable, Hashable {
  /// The element type that the stored type says by itself; nil if it is none of them.
  var elementType: ElementType?
  /// Bytes of one stored element.
  var byteCount: Int
  /// True if the bytes stand in the other order.
  var isBigEndian: Bool
  /// True for bytes that an attribute may give another meaning: unsigned integers and opaque ones.
  var isUninterpreted: Bool
  /// What the values are if they are nothing that a tensor holds: texts, references, records.
  var foreignKind: String?

  /// The kind that the library's description comes to.
  init(_ type: ef_h5_type) {
    byteCount = type.size
    isBigEndian = type.big_endian != 0
    isUninterpreted =
      type.kind == H5T_OPAQUE
      || type.kind == H5T_INTEGER && type.is_signed == 0 && type.precision == type.size * 8
    foreignKind = type.is_complex != 0 ? nil : Self.foreignKinds.first { $0.kind == type.kind }?.name
    guard type.other_order == 0 else { return }
    switch type.kind {
    case H5T_INTEGER where type.precision == type.size * 8:
      elementType = Self.integers[type.is_signed != 0 ? -type.size : type.size]
    case H5T_FLOAT:
      elementType = Self.floats.first { $0.matches(type) }?.type
    case H5T_ENUM where type.size == 1:
      // h5py stores booleans as an enumeration of one byte.
      elementType = .bool
    case H5T_COMPOUND where type.is_complex != 0:
      elementType = .c64
    default:
      elementType = nil
    }
  }

  /// Classes of types that hold no tensor, by the words for their values.
  private static let foreignKinds: [(kind: H5T_class_t, name: String)] = [
    (H5T_STRING, "texts"), (H5T_COMPOUND, "records"), (H5T_REFERENCE, "references"),
    (H5T_VLEN, "rows of different lengths"), (H5T_OPAQUE, "opaque bytes"), (H5T_BITFIELD, "bit fields"),
    (H5T_TIME, "times"), (H5T_ARRAY, "arrays of arrays"),
  ]

  /// Integer types by their size, negative where signed.
  private static let integers: [Int: ElementType] = [
    1: .u8, 2: .u16, 4: .u32, 8: .u64, -1: .i8, -2: .i16, -4: .i32, -8: .i64,
  ]

  /// The fields of the floating-point types; all have the sign on top and an implied leading bit.
  private struct Fields {
    var type: ElementType
    var size: Int
    var exponent: Int
    var mantissa: Int
    var bias: Int

    func matches(_ other: ef_h5_type) -> Bool {
      other.size == size && other.precision == size * 8 && other.sign == size * 8 - 1
        && other.exponent_at == mantissa && other.exponent == exponent && other.mantissa_at == 0
        && other.mantissa == mantissa && other.bias == bias
    }
  }

  private static let floats = [
    Fields(type: .f64, size: 8, exponent: 11, mantissa: 52, bias: 1023),
    Fields(type: .f32, size: 4, exponent: 8, mantissa: 23, bias: 127),
    Fields(type: .f16, size: 2, exponent: 5, mantissa: 10, bias: 15),
    Fields(type: .bf16, size: 2, exponent: 8, mantissa: 7, bias: 127),
    Fields(type: .f8E5M2, size: 1, exponent: 5, mantissa: 2, bias: 15),
    // HDF5 2.0 names this type after the format of checkpoints, which has no infinity: of the bits it means the same.
    Fields(type: .f8E4M3, size: 1, exponent: 4, mantissa: 3, bias: 7),
  ]
}
