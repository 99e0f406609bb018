import CKernels

extension Kernel {
  /// The element types that can be computed with, and their bytes.
  static let types: [(name: String, type: ck_type, width: Int)] = [
    ("F64", CK_F64, 8), ("F32", CK_F32, 4), ("F16", CK_F16, 2), ("BF16", CK_BF16, 2),
    ("F8_E4M3", CK_F8_E4M3, 1), ("F8_E5M2", CK_F8_E5M2, 1), ("F8_E4M3FNUZ", CK_F8_E4M3FNUZ, 1),
    ("F8_E5M2FNUZ", CK_F8_E5M2FNUZ, 1),
  ]

  /// Every element type to binary64 and back.
  static var conversions: [Kernel] {
    types.map { name, type, width in
      Kernel("widen \(name)", input: width * tile, output: 8 * tile) { input, _ in
        SampleValues.write(type, count: tile, to: input)
      } run: { input, output in
        _ = ck_widen(type, input, output.assumingMemoryBound(to: Double.self), tile)
      }
    }
      + types.map { name, type, width in
        Kernel("narrow to \(name)", input: 8 * tile, output: width * tile) { input, _ in
          SampleValues.write(rows: 1, count: tile, to: input)
        } run: { input, output in
          ck_narrow(type, input.assumingMemoryBound(to: Double.self), output, tile)
        }
      }
  }
}
