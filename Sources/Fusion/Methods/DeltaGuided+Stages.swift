import Kernels
import TensorCore

extension DeltaGuided {
  /// What a stage finds out.
  enum Purpose {
    /// |δ_k|, δ_k² and θ₀² over each tensor, for weights or balance.
    case tensorMagnitudes
    /// The same over each row, for weights.
    case rowMagnitudes
    /// (w_k δ_k)² and (Σ w_k δ_k)², for λ.
    case norms
  }

  /// True if all elements of a tensor share their weights.
  var weighsWholeTensors: Bool { granularity != .element && granularity != .row }

  /// True if each element has weights of its own.
  var weighsElements: Bool { granularity == .element && power != 0 }

  /// True if magnitudes must be known of all tensors before any is fused.
  var isModelWide: Bool { granularity == .layer || granularity == .model || balance == .model }

  /// Up to three passes: magnitudes by tensor, by row, and norms for λ.
  public func stages(for tensor: TensorContext) -> [Stage] {
    purposes.map { purpose in
      switch purpose {
      case .tensorMagnitudes:
        Stage(
          over: isModelWide || lambda == .auto ? .model : .tensor,
          .deltaSums(models: tensor.modelCount, of: balance == .none ? magnitudeSums : .all))
      case .rowMagnitudes: Stage(over: .row, .deltaSums(models: tensor.modelCount, of: magnitudeSums))
      case .norms:
        Stage(
          over: lambda == .auto ? .model : lambda == .autoRow ? .row : .tensor, .sums(tensor.modelCount + 1))
      }
    }
  }

  /// The sums that magnitudes are made of.
  private var magnitudeSums: DeltaSumKinds { magnitude == .meanAbs ? .sizes : .all }

  /// The place of the stage with this purpose.
  func stage(_ purpose: Purpose) -> Int? { purposes.firstIndex(of: purpose) }

  /// Adds the norms of the tile's weighted deltas.
  public func accumulate(
    stage: Int, _ tile: Tile, of inputs: Span<Double>, known: Known, in tensor: TensorContext,
    to lanes: inout MutableSpan<Double>, scratch: inout [Double]
  ) {
    if weighsElements {
      writeElementWeights(tile, of: inputs, known: known, in: tensor, to: &scratch)
      addElementNorms(of: inputs, tile.layout, weights: scratch.span, to: &lanes)
    } else {
      addWeightedNorms(of: inputs, tile.layout, weights: weights(of: tensor, known: known), to: &lanes)
    }
  }

  /// Of a tensor: its magnitudes, weights and the factors of balance, model by model. Of a row: its weights. Of norms:
  /// λ.
  public func conclude(stage: Int, results: [Double], in tensor: TensorContext, known: Known) -> [Double] {
    switch purposes[stage] {
    case .norms where lambda == .auto: return results
    case .tensorMagnitudes where isModelWide || lambda == .auto: return results
    case .norms: return [Self.modulusRatio(results[...])]
    case .rowMagnitudes:
      let sums = DeltaSums(results, modelCount: tensor.modelCount, elementCount: tensor.grid.rowLength)
      let scales = balance == .none ? nil : scales(of: tensor, known: known)
      let magnitudes = (0..<tensor.modelCount).map { k in
        sums.magnitude(of: k, by: magnitude) * (scales?[k] ?? 1)
      }
      return FusionWeights.of(magnitudes: magnitudes, priors: tensor.priors, power: power)
    case .tensorMagnitudes: return tensorFacts(results, of: tensor)
    }
  }

  /// Magnitudes, weights and balance of one tensor by itself.
  private func tensorFacts(_ results: [Double], of tensor: TensorContext) -> [Double] {
    let sums = DeltaSums(results, modelCount: tensor.modelCount, elementCount: tensor.shape.elementCount)
    let scales =
      balance == .tensor
      ? Self.inverseRMS(sums) : tensor.priors.map { _ in 1 }
    let magnitudes = scales.enumerated().map { k, scale in sums.magnitude(of: k, by: magnitude) * scale }
    return magnitudes
      + FusionWeights.of(magnitudes: magnitudes, priors: tensor.priors, power: power) + scales
  }

  /// Derives balance and weights, or λ, from the sums over all tensors.
  public mutating func learn(stage: Int, results: [[Double]], of tensors: [TensorContext]) {
    guard let modelCount = tensors.first?.modelCount else { return }
    if purposes[stage] == .norms {
      let total = results.reduce(into: Array(repeating: 0.0, count: modelCount + 1)) { total, sums in
        for index in total.indices { total[index] += sums[index] }
      }
      knowledge.lambda = Self.modulusRatio(total[...])
    } else {
      let deltas = zip(results, tensors).map {
        DeltaSums($0, modelCount: modelCount, elementCount: $1.shape.elementCount)
      }
      learnScales(deltas, modelCount: modelCount)
      learnWeights(deltas, of: tensors)
    }
  }

  /// Σ_k‖w_k δ_k‖ / ‖Σ_k w_k δ_k‖ from the squares; 1 where the denominator is 0, and never below 1.
  static func modulusRatio(_ squares: ArraySlice<Double>) -> Double {
    guard let last = squares.last, last > 0 else { return 1 }
    let parts = squares.dropLast().reduce(0) { $0 + $1.squareRoot() }
    return max(1, parts / last.squareRoot())
  }

  /// What magnitudes are multiplied by to be divided by the root of their mean square.
  private static func inverseRMS(_ squares: Double, _ count: Int) -> Double {
    squares > 0 ? 1 / (squares / Double(count)).squareRoot() : 1
  }

  private static func inverseRMS(_ sums: DeltaSums) -> [Double] {
    (0..<sums.modelCount).map { inverseRMS(sums.squares(of: $0), sums.elementCount) }
  }

  private mutating func learnScales(_ deltas: [DeltaSums], modelCount: Int) {
    knowledge.tensorScales = []
    switch balance {
    case .none: break
    case .tensor:
      knowledge.tensorScales = deltas.map(Self.inverseRMS)
    case .model:
      let count = deltas.reduce(0) { $0 + $1.elementCount }
      knowledge.scales = (0..<modelCount).map { k in
        Self.inverseRMS(deltas.reduce(0) { $0 + $1.squares(of: k) }, count)
      }
    }
  }

  private mutating func learnWeights(_ deltas: [DeltaSums], of tensors: [TensorContext]) {
    var groups: [String: [Int]] = [:]
    for (index, tensor) in tensors.enumerated() {
      switch granularity {
      case .model: groups["", default: []].append(index)
      case .layer: groups[tensor.layer, default: []].append(index)
      default: groups[String(index), default: []].append(index)
      }
    }
    knowledge.magnitudes = Array(repeating: [], count: deltas.count)
    knowledge.weights = knowledge.magnitudes
    for members in groups.values {
      let group = members.map { index in
        (
          sums: deltas[index],
          scales: knowledge.tensorScales.isEmpty ? knowledge.scales : knowledge.tensorScales[index]
        )
      }
      let magnitudes = tensors[members[0]].priors.indices.map { k in
        groupMagnitude(of: group.map { ($0.sums, $0.scales.isEmpty ? 1 : $0.scales[k]) }, model: k)
      }
      for index in members {
        knowledge.magnitudes[index] = magnitudes
        // The priors may differ from tensor to tensor within the group.
        knowledge.weights[index] = FusionWeights.of(
          magnitudes: magnitudes, priors: tensors[index].priors, power: power)
      }
    }
  }

  /// m_k over the tensors of a group, each with what its magnitudes are multiplied by.
  private func groupMagnitude(of group: [(sums: DeltaSums, scale: Double)], model k: Int) -> Double {
    let count = Double(group.reduce(0) { $0 + $1.sums.elementCount })
    guard count > 0 else { return 0 }
    switch magnitude {
    case .meanAbs:
      return group.reduce(0) { $0 + $1.scale * $1.sums.absolute(of: k) } / count
    case .rms:
      return (group.reduce(0) { $0 + $1.scale * $1.scale * $1.sums.squares(of: k) } / count).squareRoot()
    case .relative:
      let ratios = group.reduce(0) { $0 + $1.scale * $1.sums.relativeNorm(of: k) }
      return ratios / Double(group.count)
    }
  }
}
