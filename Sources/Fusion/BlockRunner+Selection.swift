import Kernels
import TensorCore

extension BlockRunner {
  /// Gives the keys of a stage over ranks to a part of a search.
  ///
  /// `bytes` and `known` as for `results`. The place of the tensor's first element is `offset`.
  public mutating func search(
    by index: Int, over block: FusionBlock, bytes: [[UInt8]], known: Known, offset: Int,
    into part: inout RankSelection.Part
  ) throws(EmbedFuseError) {
    guard case .ranks(let channels, let keys) = method.stages(for: block.tensor)[index].measure else {
      return
    }
    var room: [UInt64] = []
    swap(&room, &searchRoom)
    defer { swap(&room, &searchRoom) }
    if let stored = keys.stored {
      let allowsNonFinite = policy == .allow
      let isDone = StoredElements.with(
        bytes, types: block.inputs.prefix(1 + block.tensor.modelCount).map(\.elementType),
        count: block.range.count
      ) { elements in
        part.add(
          elements, 0..<block.range.count, by: stored, start: offset + block.range.lowerBound,
          allowsNonFinite: allowsNonFinite, room: &room)
      }
      if isDone ?? false { return }
    }
    try self.keys(of: index, over: block, bytes: bytes, known: known, channels: channels) {
      channel, keys, start in
      part.add(keys, channel: channel, start: offset + start, room: &room)
    }
  }

  /// The sums of a stage over what is selected of a block, from its stored elements; nil if something wants tiles.
  func storedKeptSums(
    _ index: Int, _ stage: Stage, over block: FusionBlock, bytes: [[UInt8]], known: Known
  ) -> [Double]? {
    guard let method = method as? any SelectingMethod,
      let boundary = method.boundaryOfVariances(summedBy: index, known: known, in: block.tensor)
    else { return nil }
    let policy = policy
    return StoredElements.with(
      bytes, types: block.inputs.map(\.elementType), count: block.range.count
    ) { elements in
      let cut = max(0, min(block.range.count, boundary.index + 1 - block.range.lowerBound))
      var lanes = stage.emptyLanes
      var span = lanes.mutableSpan
      let found = elements.addKeptMagnitudes(
        0..<block.range.count, cut: cut, least: boundary.key, leastAfter: boundary.key.nextUp, to: &span)
      return found && policy != .allow ? nil : stage.reduce(lanes)
    } ?? nil
  }

  /// Fuses a block by a consensus of selected deltas from its stored elements.
  ///
  /// - Returns: false, with nothing tallied, if the method, an element type, or a value that isn't finite wants tiles.
  func fuseSelected(
    _ block: FusionBlock, bytes: [[UInt8]], known: Known, as type: ElementType, into output: inout [UInt8],
    tally: inout BlockTally
  ) -> Bool {
    guard let method = method as? any SelectingMethod, block.hasBase else { return false }
    let policy = policy
    let range = block.range
    return StoredElements.with(
      bytes, types: block.inputs.map(\.elementType), count: range.count
    ) { elements in
      var ownTally = BlockTally(modelCount: block.tensor.modelCount)
      var target = output.mutableSpan
      var weights: [Double] = []
      for piece in Self.pieces(of: range, endingAfter: method.cuts(known: known, in: block.tensor)) {
        guard let consensus = method.consensus(over: piece, known: known, in: block.tensor) else {
          return false
        }
        let first = piece.lowerBound - range.lowerBound
        let found = elements.combine(
          first..<first + piece.count, by: consensus, start: piece.lowerBound, as: type, into: &target,
          at: type.byteCount(ofElements: first), counts: &ownTally.rounding)
        guard !found || policy == .allow else { return false }
        weights = consensus.weights
      }
      // By tiles, since the tally is a sum.
      for tile in TileBuffers.pieces(of: range, length: TileBuffers.tileLength) {
        ownTally.weights.add(weights: weights, elementCount: tile.count)
      }
      tally.merge(ownTally)
      return true
    } ?? false
  }

  /// A range in pieces, none of which contains a place of `cuts` anywhere but at its end.
  private static func pieces(of range: Range<Int>, endingAfter cuts: [Int]) -> [Range<Int>] {
    let inside = cuts.map { $0 + 1 }.filter { $0 > range.lowerBound && $0 < range.upperBound }
    let ends = Set(inside).sorted() + [range.upperBound]
    return zip([range.lowerBound] + ends, ends).map { $0..<$1 }
  }
}
