import CKernels

/// Adds scale·L·R to some rows and columns of a matrix, in place. Every element's sum is taken over the rank in
/// ascending order; where it is 0 the element stays as it is, -0 too.
///
/// - Parameters:
///   - left: L, row-major: `rank` values for each row concerned.
///   - right: R, row-major: `rank` rows of `stride` values.
///   - rank: the columns of L and rows of R.
///   - stride: the columns of R.
///   - columns: the columns concerned.
///   - scale: what the product is multiplied by.
///   - target: the matrix's elements from `offset` on, row-major: `columns.count` for each row concerned.
///   - offset: where the first of them stands.
///   - rows: which rows of `left` are concerned.
public func addProduct(
  _ left: Span<Double>, _ right: Span<Double>, rank: Int, stride: Int, columns: Range<Int>, scale: Double,
  to target: inout MutableSpan<Double>, at offset: Int, rows: Range<Int>
) {
  precondition(columns.lowerBound >= 0 && columns.upperBound <= stride && right.count >= rank * stride)
  precondition(rows.lowerBound >= 0 && rows.upperBound * rank <= left.count && rank > 0)
  precondition(offset >= 0 && offset + rows.count * columns.count <= target.count)
  unsafe left.withUnsafeBufferPointer { left in
    unsafe right.withUnsafeBufferPointer { right in
      unsafe target.withUnsafeMutableBufferPointer { target in
        guard !columns.isEmpty && !rows.isEmpty else { return }
        unsafe ck_add_product(
          left.baseAddress! + rows.lowerBound * rank, right.baseAddress! + columns.lowerBound, rank, stride,
          scale, target.baseAddress! + offset, rows.count, columns.count)
      }
    }
  }
}
