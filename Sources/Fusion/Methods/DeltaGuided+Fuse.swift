import Kernels

extension DeltaGuided {
  /// θ₀ + λ·Σ w_k·δ_k: θ₀ bit for bit where no model moved, and with λ = 1 the models' value bit for bit where all
  /// that have weight are equal.
  public func combination(of tensor: TensorContext, hasBase: Bool, known: Known) -> Combination {
    let lambda = lambda(of: tensor, known: known)
    guard weighsElements else {
      return .deltas(weights: weights(of: tensor, known: known), scale: lambda, isMean: true)
    }
    return .elementWeighted(
      scales: scales(of: tensor, known: known), priors: tensor.priors, power: power, lambda: lambda)
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
    guard let stage = stage(.tensorMagnitudes) else { return tensor.priors.map { _ in 1 } }
    return knowledge.tensorScales.isEmpty
      ? Array(known[stage].suffix(tensor.modelCount)) : knowledge.tensorScales[tensor.index]
  }

  /// The weights of the tensor's group, or of the row at hand.
  func weights(of tensor: TensorContext, known: Known) -> [Double] {
    guard power != 0 else { return FusionWeights.shares(of: tensor.priors) }
    if granularity == .row, let stage = stage(.rowMagnitudes) { return known[stage] }
    if !knowledge.weights.isEmpty { return knowledge.weights[tensor.index] }
    return Array(known[0][tensor.modelCount..<2 * tensor.modelCount])
  }

  /// The scale of the fused delta in this tensor or row.
  private func lambda(of tensor: TensorContext, known: Known) -> Double {
    switch lambda {
    case .fixed(let value): value
    case .auto: knowledge.lambda
    case .autoTensor, .autoRow: known[stage(.norms)!][0]
    }
  }
}
