import Kernels

/// A method that selects deltas and merges what is kept, so that the runner can take stored elements to fused ones
/// without a stop in memory. Models have constant weights.
public protocol SelectingMethod: FusionMethod {
  /// The flat indices after which another rule may hold.
  func cuts(known: Known, in tensor: TensorContext) -> [Int]

  /// What becomes of some elements, none of which but the last is at a cut; nil if tiles are needed to say so.
  ///
  /// - Parameter known: what all stages have found.
  func consensus(
    over elements: Range<Int>, known: Known, in tensor: TensorContext
  ) -> SelectiveConsensus?

  /// If a stage sums |δ_k| and δ_k², of every model in turn, over the elements whose variance is at or above a
  /// boundary, this boundary; else nil.
  func boundaryOfVariances(summedBy stage: Int, known: Known, in tensor: TensorContext) -> Boundary?
}

extension SelectingMethod {
  /// None.
  public func boundaryOfVariances(
    summedBy stage: Int, known: Known, in tensor: TensorContext
  ) -> Boundary? { nil }
}
