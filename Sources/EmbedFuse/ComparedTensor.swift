import Checkpoints
import Fusion
import TensorCore

/// One tensor of a comparison: of the base, and of those models that have it.
struct ComparedTensor {
  /// The tensor as the engine takes it.
  let planned: PlannedTensor
  let context: TensorContext

  /// The models that have it.
  var models: [Int] { planned.models }
  /// True if its rows are compared, too.
  var isTable: Bool { context.parameters["listed_rows"] != nil }

  /// The tensors that can be compared, in the base's order.
  ///
  /// - Parameter listedRows: how many rows of each table to find; 0 for none.
  static func all(
    of alignment: InputAlignment, listedRows: Int
  ) throws(EmbedFuseError) -> [ComparedTensor] {
    var result: [ComparedTensor] = []
    for row in alignment.rows {
      let own = row.sources[0]!
      let models = row.sources.indices.dropFirst().filter { row.sources[$0] != nil }.map { $0 - 1 }
      guard own.info.elementType.isFusable, !models.isEmpty else { continue }
      // A table of fewer rows lists all that it has.
      let rowCount = min(listedRows, own.info.shape.elementCount)
      let context = TensorContext(
        index: result.count, name: row.name, shape: own.info.shape,
        layer: LayerName.of(row.comparableName, module: row.module), priors: models.map { _ in 1 },
        parameters: listedRows > 0 && isTable(row) ? ["listed_rows": [Double(rowCount)]] : [:])
      let sources = [0] + models.map { $0 + 1 }
      result.append(
        ComparedTensor(
          planned: PlannedTensor(
            info: try row.info(as: own.info.elementType), making: .fuse(context),
            sources: sources.map { PlannedTensor.Source(input: $0, tensor: row.sources[$0]!) },
            hasBase: true, models: models, parameters: []), context: context))
    }
    return result
  }

  /// True for embeddings: matrices whose names say so, in the spellings of the usual architectures.
  private static func isTable(_ row: InputAlignment.Row) -> Bool {
    guard row.sources[0]!.info.shape.rank == 2 else { return false }
    let name = row.comparableName.lowercased()
    let words = Set(name.split { !($0.isLetter || $0.isNumber || $0 == "_") }.map(String.init))
    return words.contains { $0.hasSuffix("embeddings") || $0.hasSuffix("embedding") || $0.contains("embd") }
      || !words.isDisjoint(with: ["wte", "wpe", "embed_tokens", "tok_embeddings", "shared"])
  }

  /// The rows that moved most, as the second stage has found them, for all models of the comparison; none that didn't move.
  func rows(_ results: [Double], modelCount: Int, tokens: [Int: String]) -> [ModelComparison.Row] {
    let height = context.shape.elementCount / max(1, context.columnCount)
    // Positions and segments have far fewer rows than there are tokens.
    let isOfTokens = !tokens.isEmpty && height >= tokens.count
    let moved = ListedRow.listed(results, modelCount: models.count).filter { $0.squares.contains { $0 != 0 } }
    return moved.map { row in
      var norms: [Double?] = Array(repeating: nil, count: modelCount)
      for (model, squares) in zip(models, row.squares) { norms[model] = squares.squareRoot() }
      return ModelComparison.Row(
        index: row.index, token: isOfTokens ? tokens[row.index] : nil,
        baseNorm: row.baseSquares.squareRoot(), norms: norms)
    }
  }

  /// How many workers fit into the memory that is allowed.
  ///
  /// - Throws: `EmbedFuseError` (usage) if not even one does.
  static func workerCount(
    _ tensors: [ComparedTensor], inputs: [ModelSource], _ options: ComparisonOptions
  ) throws(EmbedFuseError) -> Int {
    let blocks = tensors.map { tensor in
      tensor.planned.sources.reduce(0) {
        $0 + $1.tensor.info.elementType.byteCount(ofElements: BlockGrid.blockLength)
      }
    }
    let perWorker =
      WorkerPool.workerBytes + (blocks.max() ?? 0) + (inputs.count + 2) * 4096 * 8
      + (inputs.lazy.map(\.workerBytes).max() ?? 0)
    // The sums of each row of a table, as they are found and as they are put together.
    let tables = tensors.filter(\.isTable).map {
      $0.context.shape.elementCount / max(1, $0.context.columnCount) * (2 * $0.models.count + 1) * 8 * 3
    }
    let shared = inputs.reduce(options.reservedMemory) { $0 + $1.cacheBytes } + (tables.max() ?? 0)
    return try WorkerPool.width(
      OutputOptions(threads: options.threads).workers, within: options.memory, shared: shared,
      perWorker: perWorker, of: " for \(inputs.count) inputs")
  }
}
