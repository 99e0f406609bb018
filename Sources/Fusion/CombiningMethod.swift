import Kernels

/// A method that fuses by one of the kernels' combinations, so that the runner can take stored elements to fused ones
/// without a stop in memory.
public protocol CombiningMethod: FusionMethod {
  /// How the elements of a tensor, or of the row at hand, combine.
  ///
  /// - Parameters:
  ///   - hasBase: true if input 0 is the base.
  ///   - known: what all stages have found.
  func combination(of tensor: TensorContext, hasBase: Bool, known: Known) -> Combination
}

extension CombiningMethod {
  /// Combines a tile.
  public func fuse(
    _ tile: Tile, of inputs: Span<Double>, known: Known, in tensor: TensorContext,
    into target: inout MutableSpan<Double>, tally: inout WeightTally, scratch: inout [Double]
  ) {
    let combination = combination(of: tensor, hasBase: tile.hasBase, known: known)
    var lanes = combination.emptyLanes
    var span = lanes.mutableSpan
    combination.apply(to: inputs, tile.layout, lanes: &span, into: &target, scratch: &scratch)
    tally.add(combination, lanes: lanes, hasBase: tile.hasBase, elementCount: tile.count)
  }
}

extension Combination {
  /// The lanes of the weights' sums, where elements have weights of their own.
  var emptyLanes: [Double] {
    guard case .elementWeighted(_, let priors, _, _) = self else { return [] }
    return Array(repeating: 0, count: priors.count * laneCount)
  }
}

extension WeightTally {
  /// Counts elements that were combined.
  mutating func add(_ combination: Combination, lanes: [Double], hasBase: Bool, elementCount: Int) {
    switch combination {
    case .mean(let coefficients, let divisor), .singlePrecisionMean(let coefficients, let divisor):
      add(weights: coefficients.dropFirst(hasBase ? 1 : 0).map { $0 / divisor }, elementCount: elementCount)
    case .deltas(let weights, _, _): add(weights: weights, elementCount: elementCount)
    case .elementWeighted: add(sums: reduceLanes(lanes.span), elementCount: elementCount)
    }
  }
}
