import TensorCore

/// NumPy's codes of element types, without the byte order.
enum NumPyType {
  private static let codes: [(ElementType, String)] = [
    (.f64, "f8"), (.f32, "f4"), (.f16, "f2"), (.i8, "i1"), (.i16, "i2"), (.i32, "i4"), (.i64, "i8"),
    (.u8, "u1"), (.u16, "u2"), (.u32, "u4"), (.u64, "u8"), (.bool, "b1"), (.c64, "c8"),
  ]

  /// The element type of a code such as `f4`, or nil if checkpoints have none such.
  static func type(of code: String) -> ElementType? { codes.first { $0.1 == code }?.0 }

  /// True if NumPy has a name for the type.
  static func isExact(_ type: ElementType) -> Bool { codes.contains { $0.0 == type } }

  /// How elements of a type are described: `<f4`. A type that NumPy lacks is bytes without a meaning, `<V2` for BF16, as
  /// NumPy itself writes it. Nil for packed types.
  static func description(of type: ElementType) -> String? {
    guard let width = type.byteWidth else { return nil }
    let code = codes.first { $0.0 == type }?.1 ?? "V\(width)"
    return (width == 1 ? "|" : "<") + code
  }

  /// Why a code isn't read, and what to do.
  static func refusal(of code: String) -> (problem: String, remedy: String) {
    switch code.first {
    case "O":
      ("Python objects: a pickle, which is never run", "save the arrays with a numeric dtype instead")
    case "V" where code == "V2":
      (
        "two bytes without a meaning, as NumPy saves BF16",
        "if these are BF16 values, say so: --npy-bf16"
      )
    case "V": ("bytes without a meaning", "save the array with a numeric dtype instead")
    case "S", "U", "a", "T": ("text", "leave it out of the checkpoint")
    case "M", "m": ("dates or durations", "leave it out of the checkpoint")
    default: ("which checkpoints don't have", "save the array as float32 or another common type")
    }
  }
}
