import Kernels
import TensorCore

extension BlockRunner {
  /// The stored elements of a block, if kernels can take them as they are.
  func stored(_ block: FusionBlock, _ bytes: [[UInt8]]) -> StoredElements? {
    StoredElements(bytes, types: block.inputs.map(\.elementType))
  }

  /// Fuses a block from its stored elements.
  ///
  /// - Returns: false, with nothing tallied, if the method, an element type, or a value that isn't finite wants tiles.
  mutating func fuseStored(
    _ block: FusionBlock, bytes: [[UInt8]], known: Known, as type: ElementType, into output: inout [UInt8],
    at offset: Int, tally: inout BlockTally
  ) -> Bool {
    guard let method = method as? any CombiningMethod, let elements = stored(block, bytes) else {
      return false
    }
    let tensor = block.tensor
    let stages = method.stages(for: tensor)
    let rowStages =
      tensor.grid.splitsRows ? [] : TileBuffers.rowStages(stages, before: stages.count)
    guard rowStages.allSatisfy({ $0.stage.isDeltaSums }) else { return false }
    var found = false
    var ownTally = BlockTally(modelCount: tensor.modelCount)
    var target = output.mutableSpan
    var known = known
    let width = type.bitWidth / 8
    for piece in TileBuffers.pieces(
      of: 0..<block.range.count, length: rowStages.isEmpty ? block.range.count : tensor.grid.rowLength)
    {
      for (index, stage) in rowStages {
        var lanes = stage.emptyLanes
        var span = lanes.mutableSpan
        found = elements.addDeltaSums(piece, to: &span) || found
        known[index] = method.conclude(stage: index, results: stage.reduce(lanes), in: tensor, known: known)
      }
      let combination = method.combination(of: tensor, hasBase: block.hasBase, known: known)
      var lanes = combination.emptyLanes
      var span = lanes.mutableSpan
      found =
        elements.combine(
          piece, by: combination, lanes: &span, hasBase: block.hasBase, as: type, into: &target,
          at: offset + width * piece.lowerBound, counts: &ownTally.rounding)
        || found
      ownTally.weights.add(combination, lanes: lanes, hasBase: block.hasBase, elementCount: piece.count)
    }
    guard !found || policy == .allow else { return false }
    tally.merge(ownTally)
    return true
  }

  /// The sums over the deltas of a block from its stored elements; nil if something wants tiles.
  func storedDeltaSums(_ stage: Stage, over block: FusionBlock, bytes: [[UInt8]]) -> [Double]? {
    guard stage.isDeltaSums, let elements = stored(block, bytes) else { return nil }
    var lanes = stage.emptyLanes
    var span = lanes.mutableSpan
    let found = elements.addDeltaSums(0..<block.range.count, to: &span)
    return found && policy != .allow ? nil : stage.reduce(lanes)
  }
}

extension Stage {
  /// True if the runner takes the sums by itself.
  var isDeltaSums: Bool { if case .deltaSums = measure { true } else { false } }
}
