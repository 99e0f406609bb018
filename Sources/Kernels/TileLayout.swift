/// Where the elements of several inputs lie in one span of widened values.
///
/// Input j's elements are `values[j * stride + i]` for `i` in `elements`. For the kernels on deltas the base is
/// input 0, and δ_k the difference of input k to it.
public struct TileLayout: Sendable, Hashable {
  /// Values from one input to the next.
  public let stride: Int
  /// The number of inputs, the base included.
  public let inputCount: Int
  /// The elements concerned.
  public let elements: Range<Int>

  /// A layout of `inputCount` inputs.
  public init(stride: Int, inputCount: Int, elements: Range<Int>) {
    self.stride = stride
    self.inputCount = inputCount
    self.elements = elements
  }

  /// Checks that a span is long enough to hold the inputs.
  func check(_ values: Span<Double>) {
    precondition(elements.lowerBound >= 0 && elements.upperBound <= stride && inputCount > 0)
    precondition(values.count >= (inputCount - 1) * stride + elements.upperBound)
  }
}
