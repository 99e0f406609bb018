import Kernels
import TensorCore

/// RAM+ with tensor-level scaling: as `RAM`, with the deltas that a model made alone multiplied by
/// λ_k = 1 + r·clamp(|shared|/max(|alone|, ε), 0, α), counted over the tensor. Two passes.
public struct RAMPlus: FusionMethod {
  /// `epsilon`, `r` and `alpha`.
  public static let description = MethodDescription(
    name: "ramplus-tl", summary: "RAM that scales up what one model alone changed",
    reference: "RAM, arXiv 2601.13572; mergekit 0.1.5", mergeSpace: .deltas,
    parameters: RAM.description.parameters + [
      Parameter("r", .tensor, .number(Parameter.anyNumber), standard: "0.1", "slope of the scale"),
      Parameter(
        "alpha", .tensor, .number(0...Double.greatestFiniteMagnitude), standard: "0.2",
        "the ratio's upper limit"),
    ])

  /// RAM+.
  public init(_ options: MethodOptions) {}

  /// The elements that each model changed alone, and with others.
  public func stages(for tensor: TensorContext) -> [Stage] {
    [Stage(over: .tensor, .sums(2 * tensor.modelCount))]
  }

  /// Counts them: alone, shared, of every model in turn.
  public func accumulate(
    stage: Int, _ tile: Tile, of inputs: Span<Double>, known: Known, in tensor: TensorContext,
    to lanes: inout MutableSpan<Double>, scratch: inout [Double]
  ) {
    let epsilon = tensor.value("epsilon")
    for i in 0..<tile.count {
      let base = inputs[tile.firstOfBase + i]
      var owners = 0
      for k in 0..<tile.modelCount where (inputs[tile.first(ofModel: k) + i] - base).magnitude > epsilon {
        owners += 1
      }
      guard owners > 0 else { continue }
      for k in 0..<tile.modelCount where (inputs[tile.first(ofModel: k) + i] - base).magnitude > epsilon {
        lanes[(2 * k + (owners == 1 ? 0 : 1)) * laneCount + i % laneCount] += 1
      }
    }
  }

  /// λ of every model.
  public func conclude(stage: Int, results: [Double], in tensor: TensorContext, known: Known) -> [Double] {
    (0..<tensor.modelCount).map { k in
      let ratio = results[2 * k + 1] / max(results[2 * k], tensor.value("epsilon"), .leastNonzeroMagnitude)
      return 1 + tensor.value("r") * min(max(ratio, 0), tensor.value("alpha"))
    }
  }

  /// Writes the base plus the deltas.
  public func fuse(
    _ tile: Tile, of inputs: Span<Double>, known: Known, in tensor: TensorContext,
    into target: inout MutableSpan<Double>, tally: inout WeightTally, scratch: inout [Double]
  ) {
    combineByOwners(
      tile, of: inputs, epsilon: tensor.value("epsilon"), factors: known[0], into: &target)
    tally.add(weights: tensor.priors.map { _ in 1 / Double(tile.modelCount) }, elementCount: tile.count)
  }
}
