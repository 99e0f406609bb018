import TensorCore

/// The element types of ggml that are read and written here, by their numbers in a GGUF file.
enum GGMLType: UInt32, Sendable, CaseIterable {
  case f32 = 0
  case f16 = 1
  /// Blocks of 32 elements: a scale in F16, then 32 signed bytes.
  case q8Zero = 8
  case i8 = 24
  case i16 = 25
  case i32 = 26
  case i64 = 27
  case f64 = 28
  case bf16 = 30

  /// The type that holds elements of `type` as they are, or nil if ggml has none.
  init?(_ type: ElementType) {
    guard let match = Self.allCases.first(where: { $0 != .q8Zero && $0.elementType == type }) else {
      return nil
    }
    self = match
  }

  /// The element type in which tensors are read: Q8_0 becomes F32, which holds its values exactly.
  var elementType: ElementType {
    switch self {
    case .f32, .q8Zero: .f32
    case .f16: .f16
    case .i8: .i8
    case .i16: .i16
    case .i32: .i32
    case .i64: .i64
    case .f64: .f64
    case .bf16: .bf16
    }
  }

  /// Bytes that `count` elements take in a file, which are whole blocks; nil where that overflows.
  func byteCount(ofElements count: Int) -> Int? {
    let (unit, bytes) = self == .q8Zero ? (Q8Block.length, Q8Block.byteCount) : (1, elementType.byteWidth!)
    let (product, overflow) = (count / unit).multipliedReportingOverflow(by: bytes)
    return overflow ? nil : product
  }

  /// The name of a type that isn't read, as ggml has it.
  static func name(ofUnreadable number: UInt32) -> String? {
    [
      2: "Q4_0", 3: "Q4_1", 6: "Q5_0", 7: "Q5_1", 9: "Q8_1", 10: "Q2_K", 11: "Q3_K", 12: "Q4_K", 13: "Q5_K",
      14: "Q6_K", 15: "Q8_K", 16: "IQ2_XXS", 17: "IQ2_XS", 18: "IQ3_XXS", 19: "IQ1_S", 20: "IQ4_NL",
      21: "IQ3_S", 22: "IQ2_S", 23: "IQ4_XS", 29: "IQ1_M", 34: "TQ1_0", 35: "TQ2_0", 39: "MXFP4",
    ][number]
  }
}
