import Kernels
import TensorCore

extension DeltaGuided {
  /// What a stage sums up.
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

  /// The stages in order, each with its purpose.
  func purposes(modelCount: Int) -> [(purpose: Purpose, stage: Stage)] {
    let magnitudes = 2 * modelCount + 1
    var result: [(Purpose, Stage)] = []
    // With p = 0 no magnitude matters.
    if power != 0 && (balance != .none || weighsWholeTensors) {
      result.append((.tensorMagnitudes, Stage(over: .tensor, sumCount: magnitudes)))
    }
    if power != 0 && granularity == .row {
      result.append((.rowMagnitudes, Stage(over: .row, sumCount: magnitudes)))
    }
    switch lambda {
    case .fixed: break
    case .auto, .autoTensor: result.append((.norms, Stage(over: .tensor, sumCount: modelCount + 1)))
    case .autoRow: result.append((.norms, Stage(over: .row, sumCount: modelCount + 1)))
    }
    return result
  }

  /// Up to three passes: magnitudes by tensor, by row, and norms for λ.
  public func stages(modelCount: Int) -> [Stage] {
    purposes(modelCount: modelCount).map(\.stage)
  }

  /// Adds the tile's deltas, or its weighted deltas, to the sums.
  public func accumulate(
    stage: Int, _ tile: Tile, of inputs: Span<Double>, rowSums: [Double], in tensor: TensorContext,
    to lanes: inout MutableSpan<Double>, scratch: inout [Double]
  ) {
    if purposes(modelCount: tile.modelCount)[stage].purpose != .norms {
      addDeltaSums(of: inputs, tile.layout, to: &lanes)
    } else if weighsElements {
      writeElementWeights(tile, of: inputs, in: tensor, to: &scratch)
      addElementNorms(of: inputs, tile.layout, weights: scratch.span, to: &lanes)
    } else {
      addWeightedNorms(
        of: inputs, tile.layout, weights: weights(of: tensor, rowSums: rowSums), to: &lanes)
    }
  }

  /// Derives balance and weights, or λ, from the sums over tensors.
  public mutating func learn(stage: Int, sums: [[Double]], of tensors: [TensorContext]) {
    guard let modelCount = tensors.first?.priors.count else { return }
    if purposes(modelCount: modelCount)[stage].purpose == .norms {
      learnLambdas(sums, modelCount: modelCount)
    } else {
      let deltas = zip(sums, tensors).map {
        DeltaSums($0, modelCount: modelCount, elementCount: $1.shape.elementCount)
      }
      learnScales(deltas, modelCount: modelCount)
      if weighsWholeTensors { learnWeights(deltas, of: tensors) }
    }
  }

  private mutating func learnLambdas(_ sums: [[Double]], modelCount: Int) {
    switch lambda {
    case .autoTensor:
      knowledge.lambdas = sums.map { Self.modulusRatio($0[...]) }
    default:
      let total = sums.reduce(into: Array(repeating: 0.0, count: modelCount + 1)) { total, sums in
        for index in total.indices { total[index] += sums[index] }
      }
      knowledge.lambdas = Array(repeating: Self.modulusRatio(total[...]), count: sums.count)
    }
  }

  /// Σ_k‖w_k δ_k‖ / ‖Σ_k w_k δ_k‖ from the squares; 1 where the denominator is 0, and never below 1.
  static func modulusRatio(_ squares: ArraySlice<Double>) -> Double {
    guard let last = squares.last, last > 0 else { return 1 }
    let parts = squares.dropLast().reduce(0) { $0 + $1.squareRoot() }
    return max(1, parts / last.squareRoot())
  }

  private mutating func learnScales(_ deltas: [DeltaSums], modelCount: Int) {
    func inverseRMS(_ squares: Double, _ count: Int) -> Double {
      squares > 0 ? 1 / (squares / Double(count)).squareRoot() : 1
    }
    switch balance {
    case .none: break
    case .tensor:
      knowledge.scales = deltas.map { sums in sums.squares.map { inverseRMS($0, sums.elementCount) } }
    case .model:
      let count = deltas.reduce(0) { $0 + $1.elementCount }
      let scales = (0..<modelCount).map { k in
        inverseRMS(deltas.reduce(0) { $0 + $1.squares[k] }, count)
      }
      knowledge.scales = Array(repeating: scales, count: deltas.count)
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
      let group = members.map { (sums: deltas[$0], scales: scales(of: tensors[$0])) }
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
      return group.reduce(0) { $0 + $1.scale * $1.sums.magnitudes[k] } / count
    case .rms:
      return (group.reduce(0) { $0 + $1.scale * $1.scale * $1.sums.squares[k] } / count).squareRoot()
    case .relative:
      let ratios = group.reduce(0) { $0 + $1.scale * $1.sums.relativeNorm(of: k) }
      return ratios / Double(group.count)
    }
  }
}
