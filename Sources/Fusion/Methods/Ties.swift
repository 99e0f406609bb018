import Kernels
import TensorCore

/// TIES: trim each delta to its largest elements, elect a sign, merge what agrees (Yadav et al., arXiv 2306.01708).
public typealias Ties = SelectedDeltas<LargestDeltas>

/// The selection of TIES: of each δ_k the max(1, ⌊density·n⌋) elements of largest size; of equal ones those with the
/// lowest flat index.
///
/// It goes tensor by tensor, as in mergekit 0.1.5, or, with `trim=model`, over the whole task vector as in the paper
/// and its authors' code: then all are kept that are at least as large as the ⌊density·n⌋-th largest, and where the
/// deltas sum to 0 the sign that most elements have is elected.
///
/// Besides the fusing pass it takes one to three: `RankSelection` finds the thresholds exactly.
public struct LargestDeltas: DeltaSelection {
  /// `weight`, `density`, `trim`, `lambda`, `normalize` and `rescale`.
  public static let description = MethodDescription(
    name: "ties", summary: "trim deltas to the largest, elect a sign, merge what agrees",
    reference: "Yadav et al., TIES-Merging, arXiv 2306.01708; mergekit 0.1.5", mergeSpace: .deltas,
    parameters: parameters(
      normalize: true, rescale: false,
      [
        Parameter(
          "trim", .method, .choice(["tensor", "model"]), standard: "tensor", "what the density is a share of")
      ]))
  /// A sign is elected.
  public static let elects = true

  private let trimsModel: Bool
  /// The thresholds over the model, by model.
  private var thresholds: [Double] = []
  /// The sign that counts where deltas sum to 0.
  public private(set) var zeroSign = 1.0

  /// The selection.
  public init(_ options: MethodOptions) {
    trimsModel = options.parameters["trim"] == "model"
  }

  /// Rescaling needs what one tensor keeps.
  public func validate(_ tensor: TensorContext) throws(EmbedFuseError) {
    if trimsModel && tensor.flag("rescale") {
      throw EmbedFuseError(
        .usage, "rescale goes tensor by tensor, but trim=model goes over the whole model",
        remedy: "leave one of the two out")
    }
  }

  /// Over the model there is one density for each of the models.
  public func validate(all tensors: [TensorContext]) throws(EmbedFuseError) {
    guard trimsModel, let first = tensors.first,
      let other = tensors.first(where: { $0.values("density") != first.values("density") })
    else { return }
    throw EmbedFuseError(
      .usage,
      "trim=model takes a share of the whole model, but the density is \(first.values("density")) in \(first.name.printable) and \(other.values("density")) here",
      tensor: other.name, remedy: "give one density for all tensors, or leave trim=model out")
  }

  /// Ranks of the sizes; over the model also the majority of the signs.
  public func stages(for tensor: TensorContext) -> [Stage] {
    if trimsModel {
      return [
        Stage(over: .model, .ranks(channels: tensor.modelCount, of: .deltaSizes)),
        Stage(over: .model, .sums(1)),
      ]
    }
    return tensor.values("density").contains { $0 < 1 }
      ? [Stage(over: .tensor, .ranks(channels: tensor.modelCount, of: .deltaSizes))] : []
  }

  /// The rank from which on elements are kept.
  public func ranks(elementCount n: Int, in tensor: TensorContext) -> [[Rank]] {
    tensor.values("density").map { density in
      guard density < 1 else { return [] }
      let kept = Int((density * Double(n)).rounded(.down))
      return n == 0 || (density <= 0 && !trimsModel) ? [] : [.place(n - max(1, kept))]
    }
  }

  /// Adds the sign that each element would elect.
  public func accumulate(
    stage: Int, _ tile: Tile, of inputs: Span<Double>, known: Known, in tensor: TensorContext,
    to lanes: inout MutableSpan<Double>, scratch: inout [Double]
  ) {
    let needed = tile.modelCount * tile.count
    if scratch.count < needed { scratch = Array(repeating: 0, count: needed) }
    var deltas = scratch.mutableSpan
    select(tile, of: inputs, known: known, in: tensor, into: &deltas)
    for i in 0..<tile.count {
      var sum = 0.0
      for k in 0..<tile.modelCount { sum += tensor.priors[k] * deltas[k * tile.count + i] }
      lanes[i % laneCount] += sum > 0 ? 1 : sum < 0 ? -1 : 0
    }
  }

  /// Keeps the thresholds, then the majority, of the whole model.
  public mutating func learn(stage: Int, results: [[Double]], of tensors: [TensorContext]) {
    guard let tensor = tensors.first else { return }
    if stage == 0 {
      var place = 0
      thresholds = tensor.values("density").map { density in
        guard density < 1 else { return 0 }
        defer { place += 1 }
        return Boundary(results[0], at: place).key
      }
    } else {
      let sum = results.reduce(0) { $0 + $1[0] }
      zeroSign = sum > 0 ? 1 : sum < 0 ? -1 : 0
    }
  }

  /// Where equal sizes are divided.
  public func cuts(known: Known, in tensor: TensorContext) -> [Int] {
    boundaries(known, in: tensor).compactMap { $0?.index }
  }

  /// What is at or above the threshold.
  public func kept(of elements: Range<Int>, known: Known, in tensor: TensorContext) -> [KeptDeltas]? {
    let boundaries = boundaries(known, in: tensor)
    let densities = tensor.values("density")
    return densities.indices.map { k in
      if !trimsModel && densities[k] <= 0 { return KeptDeltas(sizes: nil) }
      let least = trimsModel ? thresholds[k] : boundaries[k]?.least(for: elements) ?? 0
      return KeptDeltas(sizes: least...Double.infinity)
    }
  }

  /// The boundary of each model that has one.
  private func boundaries(_ known: Known, in tensor: TensorContext) -> [Boundary?] {
    guard !trimsModel else { return tensor.priors.map { _ in nil } }
    var place = 0
    return tensor.values("density").map { density in
      guard density < 1, density > 0 else { return nil }
      defer { place += 1 }
      return Boundary(known[0], at: place)
    }
  }
}
