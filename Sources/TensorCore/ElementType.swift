/// The type of one stored tensor element, as safetensors 0.8 names them.
///
/// The order of the cases is the reference writer's alignment rank, lowest first: a file is laid out by
/// descending rank, so that every tensor is naturally aligned.
public enum ElementType: UInt8, Sendable, Hashable, CaseIterable {
  case bool
  case f4
  case f6E2M3
  case f6E3M2
  case u8
  case i8
  case f8E5M2
  case f8E4M3
  case f8E8M0
  case f8E4M3FNUZ
  case f8E5M2FNUZ
  case i16
  case u16
  case f16
  case bf16
  case i32
  case u32
  case f32
  case c64
  case f64
  case i64
  case u64

  /// The name in a safetensors header, for example `BF16`.
  public var name: String {
    switch self {
    case .bool: "BOOL"
    case .f4: "F4"
    case .f6E2M3: "F6_E2M3"
    case .f6E3M2: "F6_E3M2"
    case .u8: "U8"
    case .i8: "I8"
    case .f8E5M2: "F8_E5M2"
    case .f8E4M3: "F8_E4M3"
    case .f8E8M0: "F8_E8M0"
    case .f8E4M3FNUZ: "F8_E4M3FNUZ"
    case .f8E5M2FNUZ: "F8_E5M2FNUZ"
    case .i16: "I16"
    case .u16: "U16"
    case .f16: "F16"
    case .bf16: "BF16"
    case .i32: "I32"
    case .u32: "U32"
    case .f32: "F32"
    case .c64: "C64"
    case .f64: "F64"
    case .i64: "I64"
    case .u64: "U64"
    }
  }

  /// The type with this safetensors name, or nil; names are case-sensitive upper case.
  public init?(name: String) {
    guard let match = Self.allCases.first(where: { $0.name == name }) else { return nil }
    self = match
  }

  /// Bits of one element; 4 and 6 for the packed micro-scaling formats.
  public var bitWidth: Int {
    switch self {
    case .f4: 4
    case .f6E2M3, .f6E3M2: 6
    case .bool, .u8, .i8, .f8E5M2, .f8E4M3, .f8E8M0, .f8E4M3FNUZ, .f8E5M2FNUZ: 8
    case .i16, .u16, .f16, .bf16: 16
    case .i32, .u32, .f32: 32
    case .c64, .f64, .i64, .u64: 64
    }
  }

  /// Bytes of one element, or nil for the packed types, whose elements don't end at byte boundaries.
  public var byteWidth: Int? {
    bitWidth % 8 == 0 ? bitWidth / 8 : nil
  }

  /// True for the types that hold learned values which fusion computes with.
  ///
  /// All else (integers, booleans, complex numbers, packed micro-scaling values and their scales) is carried
  /// over from the base.
  public var isFusable: Bool {
    switch self {
    case .f64, .f32, .f16, .bf16, .f8E4M3, .f8E5M2, .f8E4M3FNUZ, .f8E5M2FNUZ: true
    default: false
    }
  }
}

extension ElementType: CustomStringConvertible {
  /// The safetensors name.
  public var description: String { name }
}

extension ElementType {
  /// Bytes of `count` elements that start at a byte boundary, rounded up to whole bytes.
  public func byteCount(ofElements count: Int) -> Int {
    (count * bitWidth + 7) / 8
  }
}

extension ElementType {
  /// The type by its safetensors name in either case, or by the name that torch gives it (`bfloat16`).
  public init?(commonName name: String) {
    switch name.lowercased() {
    case "float64", "double": self = .f64
    case "float32", "float": self = .f32
    case "float16", "half": self = .f16
    case "bfloat16": self = .bf16
    case "float8_e4m3fn": self = .f8E4M3
    case "float8_e5m2": self = .f8E5M2
    default: self.init(name: name.uppercased())
    }
  }
}
