import Kernels

extension DeltaGuided {
  /// Writes θ₀ + λ·Σ w_k·δ_k: θ₀ bit for bit where no model moved, and with λ = 1 the models' value bit for bit
  /// where all that have weight are equal.
  public func fuse(
    _ tile: Tile, of inputs: Span<Double>, rowSums: [Double], in tensor: TensorContext,
    into target: inout MutableSpan<Double>, tally: inout WeightTally, scratch: inout [Double]
  ) {
    let lambda = lambda(of: tensor, rowSums: rowSums, modelCount: tile.modelCount)
    if weighsElements {
      writeElementWeights(tile, of: inputs, in: tensor, to: &scratch)
      var lanes = Array(repeating: 0.0, count: tile.modelCount * laneCount)
      var span = lanes.mutableSpan
      combineByElement(
        of: inputs, tile.layout, weights: scratch.span, lambda: lambda, lanes: &span, into: &target)
      tally.add(sums: reduceLanes(lanes.span), elementCount: tile.count)
    } else {
      let weights = weights(of: tensor, rowSums: rowSums)
      combineDeltas(
        of: inputs, tile.layout, weights: weights, scale: lambda, isMean: true, into: &target)
      tally.add(weights: weights, elementCount: tile.count)
    }
  }

  /// Writes the weights of every element, model by model, to the front of `scratch`.
  func writeElementWeights(
    _ tile: Tile, of inputs: Span<Double>, in tensor: TensorContext, to scratch: inout [Double]
  ) {
    let needed = tile.modelCount * tile.count
    if scratch.count < needed { scratch = Array(repeating: 0, count: needed) }
    var span = scratch.mutableSpan
    elementWeights(
      of: inputs, tile.layout, scales: scales(of: tensor), priors: tensor.priors, power: power, into: &span)
  }

  /// What each model's magnitudes are multiplied by in this tensor.
  func scales(of tensor: TensorContext) -> [Double] {
    knowledge.scales.isEmpty
      ? Array(repeating: 1, count: tensor.priors.count) : knowledge.scales[tensor.index]
  }

  /// The weights of the tensor's group, or of the row whose sums these are.
  func weights(of tensor: TensorContext, rowSums: [Double]) -> [Double] {
    guard power != 0 else { return FusionWeights.shares(of: tensor.priors) }
    guard granularity == .row else { return knowledge.weights[tensor.index] }
    let sums = DeltaSums(rowSums, modelCount: tensor.priors.count, elementCount: tensor.grid.rowLength)
    let magnitudes = zip(sums.magnitudes(by: magnitude), scales(of: tensor)).map { $0 * $1 }
    return FusionWeights.of(magnitudes: magnitudes, priors: tensor.priors, power: power)
  }

  /// The scale of the fused delta in this tensor or row.
  private func lambda(of tensor: TensorContext, rowSums: [Double], modelCount: Int) -> Double {
    switch lambda {
    case .fixed(let value): return value
    case .auto, .autoTensor: return knowledge.lambdas[tensor.index]
    case .autoRow:
      // The norms are the last row stage, after the magnitudes if there are any.
      return Self.modulusRatio(rowSums.suffix(modelCount + 1))
    }
  }
}
