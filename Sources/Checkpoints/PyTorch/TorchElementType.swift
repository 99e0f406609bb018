import TensorCore

/// The element types as torch names them: by its classes of storages, and by its dtypes.
enum TorchElementType {
  /// The type of a storage class, such as `torch.HalfStorage`; those of other devices hold the same.
  static func ofStorageClass(_ name: String) -> ElementType? {
    let parts = name.split(separator: ".")
    guard parts.first == "torch", parts.count == 2 || parts.count == 3 && parts[1] == "cuda" else {
      return nil
    }
    return switch parts.last {
    case "FloatStorage": .f32
    case "HalfStorage": .f16
    case "BFloat16Storage": .bf16
    case "DoubleStorage": .f64
    case "LongStorage": .i64
    case "IntStorage": .i32
    case "ShortStorage": .i16
    case "CharStorage": .i8
    case "ByteStorage": .u8
    case "BoolStorage": .bool
    case "ComplexFloatStorage": .c64
    default: nil
    }
  }

  /// The type of a dtype, such as `torch.float8_e4m3fn`.
  static func ofDtype(_ name: String) -> ElementType? {
    switch name {
    case "torch.float64": .f64
    case "torch.float32": .f32
    case "torch.float16": .f16
    case "torch.bfloat16": .bf16
    case "torch.float8_e4m3fn": .f8E4M3
    case "torch.float8_e5m2": .f8E5M2
    case "torch.float8_e4m3fnuz": .f8E4M3FNUZ
    case "torch.float8_e5m2fnuz": .f8E5M2FNUZ
    case "torch.float8_e8m0fnu": .f8E8M0
    case "torch.float4_e2m1fn_x2": .f4
    case "torch.int64": .i64
    case "torch.uint64": .u64
    case "torch.int32": .i32
    case "torch.uint32": .u32
    case "torch.int16": .i16
    case "torch.uint16": .u16
    case "torch.int8": .i8
    case "torch.uint8": .u8
    case "torch.bool": .bool
    case "torch.complex64": .c64
    default: nil
    }
  }

  /// Bytes of an element of a storage class that may stand in a file, those of types that can't be read included; 1
  /// for untyped storages.
  static func byteWidth(ofStorageClass name: String) -> Int? {
    if let type = ofStorageClass(name) { return type.byteWidth }
    return switch name {
    case "torch.storage.UntypedStorage", "torch.QInt8Storage", "torch.QUInt8Storage", "torch.QUInt4x2Storage",
      "torch.QUInt2x4Storage":
      1
    case "torch.QInt32Storage": 4
    case "torch.ComplexDoubleStorage", "torch.cuda.ComplexDoubleStorage": 16
    default: nil
    }
  }
}
