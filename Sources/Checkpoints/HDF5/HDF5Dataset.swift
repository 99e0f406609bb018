import CHDF5
import TensorCore

/// What an HDF5 file says of one dataset, unchecked but for the limits of the library.
struct HDF5Dataset: Sendable {
  /// How the values are stored.
  enum Layout: Sendable {
    /// In one piece at this byte of the file; nil where nothing was written.
    case contiguous(offset: Int?)
    /// In chunks of these extents.
    case chunked([UInt64], [Chunk])
    /// Within the dataset's header, where only the library reads them.
    case compact
  }

  /// A stored chunk.
  struct Chunk: Sendable {
    /// The coordinates of its first element.
    var corner: [UInt64]
    /// The filters that were skipped, by the bits of their places in the pipeline.
    var mask: UInt32
    /// Its place in the file.
    var offset: Int
    var byteCount: Int
  }

  /// The path components of its links from the root.
  var components: [String]
  var type: HDF5ElementKind
  var dimensions: [UInt64]
  var layout: Layout
  /// The pipeline, or nil where it holds a filter that only the library applies.
  var filters: [ChunkFilter]?
  /// The attributes `dtype`, `name` and `shape`.
  var dtype: String?
  var name: String?
  var shape: [UInt64]?
  /// What stands in the attributes `delta_of`, `base_digest` and `base_blocks` of a dataset of differences.
  var delta: DeltaRecord?

  /// The path as it is written in messages.
  var path: String { components.joined(separator: "/") }
}

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

  /// The kind that the library's description comes to.
  init(_ type: ef_h5_type) {
    byteCount = type.size
    isBigEndian = type.big_endian != 0
    isUninterpreted =
      type.kind == H5T_OPAQUE
      || type.kind == H5T_INTEGER && type.is_signed == 0 && type.precision == type.size * 8
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
  ]
}
