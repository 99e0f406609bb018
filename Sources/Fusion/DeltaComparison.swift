import Kernels

/// How models differ from their base and from each other: a method that finds out and leaves the base as it is.
///
/// One pass over each tensor takes the sums that `ComparisonSums` reads. A tensor whose context has the parameter
/// `listed_rows` is a table, such as embeddings: a second pass finds so many rows that moved most.
public struct DeltaComparison: FusionMethod {
  /// `diff`, no method that recipes know.
  public static let description = MethodDescription(
    name: "diff", summary: "how far models moved", reference: "", mergeSpace: .deltas, models: 1...Int.max,
    parameters: [])

  /// The method.
  public init(_ options: MethodOptions) {}

  /// The comparison.
  public init() {}

  /// The sums of the tensor, and of each row of a table.
  public func stages(for tensor: TensorContext) -> [Stage] {
    let models = tensor.modelCount
    let whole = Stage(
      over: .tensor, .sumsAndMaxima(sums: ComparisonSums.sumCount(models), maxima: models))
    guard tensor.parameters["listed_rows"] != nil else { return [whole] }
    return [whole, Stage(over: .rows, .deltaSums(models: models))]
  }

  /// Adds a tile to the sums of the tensor.
  public func accumulate(
    stage: Int, _ tile: Tile, of inputs: Span<Double>, known: Known, in tensor: TensorContext,
    to lanes: inout MutableSpan<Double>, scratch: inout [Double]
  ) {
    let products = (1 + pairCount(tile.modelCount)) * laneCount
    Self.update(0..<laneCount, of: &lanes) { base in
      addProducts(of: inputs, tile.layout, from: 0, count: 1, subtractsBase: false, to: &base)
    }
    Self.update(laneCount..<products, of: &lanes) { deltas in
      addProducts(of: inputs, tile.layout, from: 1, count: tile.modelCount, subtractsBase: true, to: &deltas)
    }
    Self.update(products..<lanes.count, of: &lanes) { rest in
      compareModels(of: inputs, tile.layout, to: &rest)
    }
  }

  /// Gives `kernel` some of the lanes.
  private static func update(
    _ range: Range<Int>, of lanes: inout MutableSpan<Double>, by kernel: (inout MutableSpan<Double>) -> Void
  ) {
    var part = range.map { lanes[$0] }
    var span = part.mutableSpan
    kernel(&span)
    for i in range { lanes[i] = part[i - range.lowerBound] }
  }

  /// The sums of the tensor as they are; of a table's rows those that moved most, as `ListedRow` reads them.
  public func conclude(stage: Int, results: [Double], in tensor: TensorContext, known: Known) -> [Double] {
    guard stage == 1, let count = tensor.parameters["listed_rows"]?.first else { return results }
    return ListedRow.first(Int(count), of: results, modelCount: tensor.modelCount).flatMap(\.numbers)
  }

  /// Writes the base's values.
  public func fuse(
    _ tile: Tile, of inputs: Span<Double>, known: Known, in tensor: TensorContext,
    into target: inout MutableSpan<Double>, tally: inout WeightTally, scratch: inout [Double]
  ) {
    for i in 0..<tile.count { target[tile.firstOfBase + i] = inputs[tile.firstOfBase + i] }
  }
}
