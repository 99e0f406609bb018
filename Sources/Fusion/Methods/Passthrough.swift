import Kernels
import TensorCore

/// One model as it is, times `scale`: mergekit's way to take layers over. One pass.
public struct Passthrough: FusionMethod {
  /// `scale`.
  public static let description = MethodDescription(
    name: "passthrough", summary: "one model as it is, or scaled", reference: "mergekit 0.1.5",
    mergeSpace: .weights, models: 1...1,
    parameters: [
      Parameter("scale", .model, .number(Parameter.anyNumber), standard: "1", "what values are multiplied by")
    ])

  /// The method.
  public init(_ options: MethodOptions) {}

  /// Writes the scaled values.
  public func fuse(
    _ tile: Tile, of inputs: Span<Double>, known: Known, in tensor: TensorContext,
    into target: inout MutableSpan<Double>, tally: inout WeightTally, scratch: inout [Double]
  ) {
    let scale = tensor.values("scale")[0]
    let first = tile.first(ofModel: 0)
    if scale == 1 {
      for i in 0..<tile.count { target[tile.firstOfBase + i] = inputs[first + i] }
    } else {
      for i in 0..<tile.count { target[tile.firstOfBase + i] = scale * inputs[first + i] }
    }
    tally.add(weights: [scale], elementCount: tile.count)
  }
}
