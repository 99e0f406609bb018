import Kernels

extension DeltaGuided {
  /// Writes θ₀ + λ·Σ w_k·δ_k: θ₀ bit for bit where no model moved, and with λ = 1 the models' value bit for bit
  /// where all that have weight are equal.
  public func fuse(
    _ tile: Tile, of inputs: Span<Double>, known: Known, in tensor: TensorContext,
    into target: inout MutableSpan<Double>, tally: inout WeightTally, scratch: inout [Double]
  ) {
    let lambda = lambda(of: tensor, known: known)
    if weighsElements {
      writeElementWeights(tile, of: inputs, known: known, in: tensor, to: &scratch)
      var lanes = Array(repeating: 0.0, count: tile.modelCount * laneCount)
      var span = lanes.mutableSpan
      combineByElement(
        of: inputs, tile.layout, weights: scratch.span, lambda: lambda, lanes: &span, into: &target)
      tally.add(sums: reduceLanes(lanes.span), elementCount: tile.count)
    } else {
      let weights = weights(of: tensor, known: known)
      combineDeltas(
        of: inputs, tile.layout, weights: weights, scale: lambda, isMean: true, into: &target)
      tally.add(weights: weights, elementCount: tile.count)
    }
  }

  /// Writes the weights of every element, model by model, to the front of `scratch`.
  func writeElementWeights(
    _ tile: Tile, of inputs: Span<Double>, known: Known, in tensor: TensorContext, to scratch: inout [Double]
  ) {
    let needed = tile.modelCount * tile.count
    if scratch.count < needed { scratch = Array(repeating: 0, count: needed) }
    var span = scratch.mutableSpan
    elementWeights(
      of: inputs, tile.layout, scales: scales(of: tensor, known: known), priors: tensor.priors, power: power,
      into: &span)
  }

  /// What each model's magnitudes are multiplied by in this tensor.
  func scales(of tensor: TensorContext, known: Known) -> [Double] {
    guard balance != .none, power != 0 else { return tensor.priors.map { _ in 1 } }
    if balance == .model { return knowledge.scales }
    guard let stage = stage(.tensorMagnitudes, in: tensor) else { return tensor.priors.map { _ in 1 } }
    return knowledge.tensorScales.isEmpty
      ? Array(known[stage].suffix(tensor.modelCount)) : knowledge.tensorScales[tensor.index]
  }

  /// The weights of the tensor's group, or of the row at hand.
  func weights(of tensor: TensorContext, known: Known) -> [Double] {
    guard power != 0 else { return FusionWeights.shares(of: tensor.priors) }
    if granularity == .row, let stage = stage(.rowMagnitudes, in: tensor) { return known[stage] }
    if !knowledge.weights.isEmpty { return knowledge.weights[tensor.index] }
    return Array(known[0][tensor.modelCount..<2 * tensor.modelCount])
  }

  /// The scale of the fused delta in this tensor or row.
  private func lambda(of tensor: TensorContext, known: Known) -> Double {
    switch lambda {
    case .fixed(let value): value
    case .auto: knowledge.lambda
    case .autoTensor, .autoRow: known[stage(.norms, in: tensor)!][0]
    }
  }
}
