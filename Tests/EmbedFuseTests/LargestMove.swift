import EmbedFuse
import Kernels

// The example of docs/methods.md: a method of one's own, complete.

/// Takes over the mean delta where it is at least `threshold` times the largest delta of the tensor.
struct LargestMove: FusionMethod {
  static let description = MethodDescription(
    name: "largest-move", summary: "take over the mean delta where it is large", reference: "an example",
    mergeSpace: .deltas,
    parameters: [
      Parameter("threshold", .tensor, .number(0...1), standard: "0.1", "share of the largest delta")
    ])

  init(_ options: MethodOptions) {}

  /// One pass over each tensor finds the largest delta.
  func stages(for tensor: TensorContext) -> [Stage] { [Stage(over: .tensor, .maxima(1))] }

  func accumulate(
    stage: Int, _ tile: Tile, of inputs: Span<Double>, known: Known, in tensor: TensorContext,
    to lanes: inout MutableSpan<Double>, scratch: inout [Double]
  ) {
    for k in 0..<tile.modelCount {
      for i in 0..<tile.count {
        let delta = inputs[tile.first(ofModel: k) + i] - inputs[tile.firstOfBase + i]
        lanes[i % laneCount] = max(lanes[i % laneCount], delta.magnitude)
      }
    }
  }

  /// The second pass fuses.
  func fuse(
    _ tile: Tile, of inputs: Span<Double>, known: Known, in tensor: TensorContext,
    into target: inout MutableSpan<Double>, tally: inout WeightTally, scratch: inout [Double]
  ) {
    let least = tensor.value("threshold") * known[0][0]
    for i in 0..<tile.count {
      let base = inputs[tile.firstOfBase + i]
      var sum = 0.0
      for k in 0..<tile.modelCount { sum += inputs[tile.first(ofModel: k) + i] - base }
      let mean = sum / Double(tile.modelCount)
      target[tile.firstOfBase + i] = mean.magnitude >= least ? base + mean : base
    }
    tally.add(weights: tensor.priors.map { _ in 1 / Double(tile.modelCount) }, elementCount: tile.count)
  }
}
