import Kernels
import TensorCore

extension BlockRunner {
  /// Fuses a block from its stored elements.
  ///
  /// - Returns: false, with nothing tallied, if the method, an element type, or a value that isn't finite wants tiles.
  mutating func fuseStored(
    _ block: FusionBlock, bytes: [[UInt8]], known: Known, as type: ElementType, into output: inout [UInt8],
    tally: inout BlockTally
  ) -> Bool {
    guard let method = method as? any CombiningMethod else { return false }
    let stages = method.stages(for: block.tensor)
    let rowStages =
      block.tensor.grid.splitsRows ? [] : TileBuffers.rowStages(stages, before: stages.count)
    guard rowStages.allSatisfy({ $0.stage.deltaSumKinds != nil }) else { return false }
    let policy = policy
    return StoredElements.with(
      bytes, types: block.inputs.map(\.elementType), count: block.range.count
    ) { elements in
      var found = false
      var ownTally = BlockTally(modelCount: block.tensor.modelCount)
      var target = output.mutableSpan
      var known = known
      let width = type.bitWidth / 8
      // Rows come by the hundred thousand, so that their lanes are taken once.
      var rowLanes = rowStages.map(\.stage.emptyLanes)
      for piece in TileBuffers.pieces(
        of: 0..<block.range.count,
        length: rowStages.isEmpty ? block.range.count : block.tensor.grid.rowLength)
      {
        for (place, (index, stage)) in rowStages.enumerated() {
          var span = rowLanes[place].mutableSpan
          for lane in span.indices { span[lane] = 0 }
          found = elements.addDeltaSums(piece, stage.deltaSumKinds!, to: &span) || found
          known[index] = method.conclude(
            stage: index, results: stage.reduce(rowLanes[place]), in: block.tensor, known: known)
        }
        let combination = method.combination(of: block.tensor, hasBase: block.hasBase, known: known)
        var lanes = combination.emptyLanes
        var span = lanes.mutableSpan
        let isFound = elements.combine(
          piece, by: combination, lanes: &span, hasBase: block.hasBase, as: type, into: &target,
          at: width * piece.lowerBound, counts: &ownTally.rounding)
        found = isFound || found
        ownTally.weights.add(combination, lanes: lanes, hasBase: block.hasBase, elementCount: piece.count)
      }
      guard !found || policy == .allow else { return false }
      tally.merge(ownTally)
      return true
    } ?? false
  }

  /// The sums over the deltas of a block from its stored elements; nil if something wants tiles.
  func storedDeltaSums(_ stage: Stage, over block: FusionBlock, bytes: [[UInt8]]) -> [Double]? {
    guard let kinds = stage.deltaSumKinds else { return nil }
    let policy = policy
    return StoredElements.with(
      bytes, types: block.inputs.map(\.elementType), count: block.range.count
    ) { elements in
      var lanes = stage.emptyLanes
      var span = lanes.mutableSpan
      let found = elements.addDeltaSums(0..<block.range.count, kinds, to: &span)
      return found && policy != .allow ? nil : stage.reduce(lanes)
    } ?? nil
  }
}

extension Stage {
  /// The sums that the runner takes by itself; nil if the method does.
  var deltaSumKinds: DeltaSumKinds? { if case .deltaSums(_, let kinds) = measure { kinds } else { nil } }
}
