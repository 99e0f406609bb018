import Kernels
import TensorCore

/// The trimmed mean of the models, element by element: the mean of what is left when the ⌊trim·K⌋ least and as many
/// greatest values are put aside (Yin et al., arXiv 1803.01498). One pass.
public struct TrimmedMean: FusionMethod {
  /// `trim`.
  public static let description = MethodDescription(
    name: "trimmed-mean", summary: "mean of each element without the extremes",
    reference: "Yin et al., Byzantine-Robust Distributed Learning, arXiv 1803.01498", mergeSpace: .weights,
    parameters: [
      Parameter(
        "trim", .tensor, .number(0...0.499999), standard: "0.25", "share put aside at either end")
    ])

  /// The method.
  public init(_ options: MethodOptions) {}

  /// Writes the means.
  public func fuse(
    _ tile: Tile, of inputs: Span<Double>, known: Known, in tensor: TensorContext,
    into target: inout MutableSpan<Double>, tally: inout WeightTally, scratch: inout [Double]
  ) {
    let trimmed = Int((tensor.value("trim") * Double(tile.modelCount)).rounded(.down))
    writeTrimmedMeans(tile, of: inputs, trimmed: trimmed, into: &target)
    tally.add(weights: tensor.priors.map { _ in 1 / Double(tile.modelCount) }, elementCount: tile.count)
  }
}

extension FusionMethod {
  /// Writes, for each element, the mean of the models' values without the `trimmed` least and greatest. Equal values
  /// give themselves.
  func writeTrimmedMeans(
    _ tile: Tile, of inputs: Span<Double>, trimmed: Int, into target: inout MutableSpan<Double>
  ) {
    let count = tile.modelCount
    var values = Array(repeating: 0.0, count: count)
    for i in 0..<tile.count {
      // Insertion, since there are few models.
      for k in 0..<count {
        let value = inputs[tile.first(ofModel: k) + i]
        var place = k
        while place > 0 && values[place - 1] > value {
          values[place] = values[place - 1]
          place -= 1
        }
        values[place] = value
      }
      let (low, high) = (trimmed, count - 1 - trimmed)
      var sum = 0.0
      for k in low...high { sum += values[k] }
      target[tile.firstOfBase + i] =
        values[low] == values[high] ? values[low] : sum / Double(high - low + 1)
    }
  }
}
