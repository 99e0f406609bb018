import Kernels
import TensorCore

/// The median of the models, element by element: the middle value, or the mean of the two middle ones (Yin et al.,
/// Byzantine-robust distributed learning, arXiv 1803.01498). One pass.
public struct Median: FusionMethod {
  /// None.
  public static let description = MethodDescription(
    name: "median", summary: "middle value of each element",
    reference: "Yin et al., Byzantine-Robust Distributed Learning, arXiv 1803.01498", mergeSpace: .weights,
    parameters: [])

  /// The method.
  public init(_ options: MethodOptions) {}

  /// Writes the medians.
  public func fuse(
    _ tile: Tile, of inputs: Span<Double>, known: Known, in tensor: TensorContext,
    into target: inout MutableSpan<Double>, tally: inout WeightTally, scratch: inout [Double]
  ) {
    let trimmed = (tile.modelCount - 1) / 2
    writeTrimmedMeans(tile, of: inputs, trimmed: trimmed, into: &target)
    tally.add(weights: tensor.priors.map { _ in 1 / Double(tile.modelCount) }, elementCount: tile.count)
  }
}
