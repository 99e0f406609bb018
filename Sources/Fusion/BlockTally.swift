import Kernels

/// What is counted while blocks are fused: of a block, then of a tensor.
public struct BlockTally: Sendable, Hashable {
  /// The weights that models were given.
  public var weights: WeightTally
  /// What rounding did.
  public var rounding = RoundingCounts()

  /// Nothing tallied yet, for this number of models.
  public init(modelCount: Int) {
    weights = WeightTally(modelCount: modelCount)
  }

  /// Adds the tally of other elements of the same tensor.
  public mutating func merge(_ other: BlockTally) {
    weights.merge(other.weights)
    rounding.add(other.rounding)
  }
}
