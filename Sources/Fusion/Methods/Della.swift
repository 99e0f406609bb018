import Kernels
import TensorCore

/// DELLA: elements are kept at random, the larger ones more often; then a sign is elected (Deep et al.,
/// arXiv 2406.11617).
public typealias Della = SelectedDeltas<RankedRandomDeltas<WithElection>>

/// DELLA without election.
public typealias DellaLinear = SelectedDeltas<RankedRandomDeltas<WithoutElection>>

/// The selection of DELLA, MagPrune, as mergekit 0.1.5 defines it.
///
/// Within each row (along the last axis; a vector is one row) the elements are ranked r = 1 … n by ascending size, and
/// kept with probability (density − ε) + 2ε·(r − 1)/(n − 1); of equal ones the lowest index has the highest rank. In a
/// row of one element, where mergekit divides 0 by 0, the probability is the density. In rows longer than a block of
/// the grid (65,536 elements) the rank is that of the middle of the element's bin in a histogram of the sizes by their
/// exponent and the upper bit of their fraction: of bins that end at 1.5 and 1.33 times where they begin, in turn. One
/// or two passes besides the fusing one.
public struct RankedRandomDeltas<E: Election>: DeltaSelection {
  /// `weight`, `density`, `epsilon`, `lambda`, `normalize` and `rescale`.
  public static var description: MethodDescription {
    MethodDescription(
      name: E.takesPlace ? "della" : "della-linear",
      summary: E.takesPlace
        ? "keep random elements, large ones more often, elect a sign, merge what agrees"
        : "keep random elements of each delta, large ones more often",
      reference: "Deep et al., DELLA-Merging, arXiv 2406.11617; mergekit 0.1.5", mergeSpace: .deltas,
      parameters: parameters(
        normalize: E.takesPlace, rescale: true,
        [
          Parameter(
            "epsilon", .model, .number(0...0.5), standard: "0.15",
            "how far probabilities spread around the density")
        ]))
  }
  /// As the method's name says.
  public static var elects: Bool { E.takesPlace }

  private let seed: UInt64

  /// The selection.
  public init(_ options: MethodOptions) {
    seed = options.seed
  }

  /// Ranks are taken within rows.
  public var wantsWholeRows: Bool { true }

  /// Probabilities must lie between 0 and 1.
  public func validate(_ tensor: TensorContext) throws(EmbedFuseError) {
    for (density, epsilon) in zip(tensor.values("density"), tensor.values("epsilon"))
    where density > 0 && density < 1 {
      guard density - epsilon > 0, density + epsilon < 1 else {
        throw EmbedFuseError(
          .usage,
          "density \(density) with epsilon \(epsilon) gives probabilities from \(density - epsilon) to \(density + epsilon)",
          tensor: tensor.name, remedy: "choose epsilon so that both stay between 0 and 1")
      }
    }
  }

  /// In rows that don't fit into a block, a coarse distribution of the sizes.
  public func stages(for tensor: TensorContext) -> [Stage] {
    tensor.grid.splitsRows && tensor.values("density").contains { $0 < 1 }
      ? [Stage(over: .row, .sums(tensor.modelCount * Self.binCount))] : []
  }

  /// The bins of a long row: 4,096 for the exponent and the upper bit of the fraction.
  static var binCount: Int { 4096 }

  /// The bin of a size.
  private static func bin(_ size: Double) -> Int { Int(size.bitPattern >> 51) }

  /// Counts the sizes of a long row.
  public func accumulate(
    stage: Int, _ tile: Tile, of inputs: Span<Double>, known: Known, in tensor: TensorContext,
    to lanes: inout MutableSpan<Double>, scratch: inout [Double]
  ) {
    for k in 0..<tile.modelCount {
      let (base, model) = (tile.firstOfBase, tile.first(ofModel: k))
      for i in 0..<tile.count {
        let bin = Self.bin((inputs[model + i] - inputs[base + i]).magnitude)
        lanes[(k * Self.binCount + bin) * laneCount] += 1
      }
    }
  }

  /// Keeps what the generator chooses with each element's probability.
  public func select(
    _ tile: Tile, of inputs: Span<Double>, known: Known, in tensor: TensorContext,
    into deltas: inout MutableSpan<Double>
  ) {
    let (densities, epsilons) = (tensor.values("density"), tensor.values("epsilon"))
    for k in 0..<tile.modelCount {
      let offset = k * tile.count
      selectDeltas(
        of: inputs, tile.layout, input: k + 1, sizes: 0...Double.infinity, into: &deltas, at: offset)
      if densities[k] >= 1 { continue }
      if densities[k] <= 0 {
        selectNothing(tile, ofModel: k, into: &deltas)
        continue
      }
      let probabilities =
        tensor.grid.splitsRows
        ? longRowProbabilities(
          of: deltas, at: offset, count: tile.count, counts: known[0], model: k, in: tensor)
        : probabilities(of: deltas, at: offset, count: tile.count, rowLength: tensor.grid.rowLength)
      let range = (low: densities[k] - epsilons[k], width: 2 * epsilons[k])
      let scaled = probabilities.map { range.low + range.width * $0 }
      keepRandomly(
        &deltas, at: offset, key: tensor.randomKey(seed: seed, model: k), start: tile.start,
        probabilities: scaled.span)
    }
  }

  /// The place of each element in its row, from 0 for the smallest to 1 for the largest. The tile is made of whole
  /// rows.
  private func probabilities(
    of deltas: borrowing MutableSpan<Double>, at offset: Int, count: Int, rowLength: Int
  ) -> [Double] {
    var places = Array(repeating: 0.0, count: count)
    var room: [UInt64] = []
    var target = places.mutableSpan
    for row in stride(from: 0, to: count, by: rowLength) {
      sizeRanks(
        of: deltas.span, from: offset + row, count: rowLength, into: &target, at: row, room: &room)
    }
    return places
  }

  private func longRowProbabilities(
    of deltas: borrowing MutableSpan<Double>, at offset: Int, count: Int, counts: [Double], model k: Int,
    in tensor: TensorContext
  ) -> [Double] {
    var middles = Array(repeating: 0.0, count: Self.binCount)
    var below = 0.0
    for bin in 0..<Self.binCount {
      let inside = counts[k * Self.binCount + bin]
      middles[bin] = (below + max(0, inside - 1) / 2) / Double(tensor.grid.rowLength - 1)
      below += inside
    }
    return (0..<count).map { middles[Self.bin(deltas[offset + $0].magnitude)] }
  }
}
