import CKernels

/// Numbers as weights have them: normal, with a spread of 0.05; fine-tunes a hundredth of that away from the base.
enum SampleValues {
  /// Writes a base and `rows - 1` fine-tunes, row after row, as binary64.
  static func write(rows: Int, count: Int, to target: UnsafeMutableRawPointer) {
    let values = target.assumingMemoryBound(to: Double.self)
    for row in 0..<rows {
      for i in 0..<count {
        let moved = normal(row: row, place: i) * (row == 0 ? 0.05 : 0.0005)
        values[row * count + i] = (row == 0 ? 0 : values[i]) + moved
      }
    }
  }

  /// Writes the same in an element type, whose elements take `width` bytes.
  static func write(rows: Int, _ type: ck_type, width: Int, count: Int, to target: UnsafeMutableRawPointer) {
    withUnsafeTemporaryAllocation(of: Double.self, capacity: rows * count) { values in
      write(rows: rows, count: count, to: UnsafeMutableRawPointer(values.baseAddress!))
      for row in 0..<rows {
        ck_narrow(type, values.baseAddress! + row * count, target + row * count * width, count)
      }
    }
  }

  /// Writes the base in an element type.
  static func write(_ type: ck_type, count: Int, to target: UnsafeMutableRawPointer) {
    write(rows: 1, type, width: 0, count: count, to: target)
  }

  /// The sum of four uniform numbers, less its mean and over its spread.
  private static func normal(row: Int, place: Int) -> Double {
    let sum = (0..<4).reduce(0.0) { $0 + ck_random(UInt64(row), UInt64(4 * place + $1)) }
    return (sum - 2) * 3.0.squareRoot()
  }
}
