import TensorCore

/// The values of the chunks that were decoded last, for readers that take less than a chunk at a time. One serves a
/// whole file; it keeps a bounded number of bytes. What several workers ask for at once is decoded once.
final class ChunkCache: Sendable {
  /// A chunk of a dataset, by their numbers.
  struct Key: Hashable, Sendable {
    var dataset: Int
    var chunk: Int
  }

  /// A chunk's values, once they are decoded; who asks meanwhile waits.
  private final class Slot: Sendable {
    let byteCount: Int
    let values = Locked<DecodedChunk?>(nil)

    init(byteCount: Int) { self.byteCount = byteCount }
  }

  private struct State {
    var slots: [Key: Slot] = [:]
    /// The keys, longest unused first.
    var order: [Key] = []
    var byteCount = 0
  }

  private let limit: Int
  private let state = Locked(State())
  private let shelf = BufferShelf()

  /// A cache of at most `limit` bytes, or of one chunk if that is larger.
  init(limit: Int) { self.limit = limit }

  /// The values of a chunk of `byteCount` bytes, decoded unless they are still there; `decode` writes all of them.
  func values(
    of key: Key, byteCount: Int, decode: (inout MutableSpan<UInt8>) throws(EmbedFuseError) -> Void
  ) throws(EmbedFuseError) -> DecodedChunk {
    let slot = state.withLock { Self.slot(key, byteCount, limit: limit, in: &$0) }
    return try slot.values.withLock { values throws(EmbedFuseError) in
      if let values { return values }
      var bytes = shelf.take(byteCount)
      var span = bytes.mutableSpan
      try decode(&span)
      let decoded = DecodedChunk(bytes, of: shelf)
      values = decoded
      return decoded
    }
  }

  /// The place of a chunk, now the one used last. Those unused longest go, if need be.
  private static func slot(_ key: Key, _ byteCount: Int, limit: Int, in state: inout State) -> Slot {
    if let slot = state.slots[key] {
      if let index = state.order.lastIndex(of: key) { state.order.append(state.order.remove(at: index)) }
      return slot
    }
    let slot = Slot(byteCount: byteCount)
    state.slots[key] = slot
    state.order.append(key)
    state.byteCount += byteCount
    while state.byteCount > limit, state.order.count > 1 {
      state.byteCount -= state.slots.removeValue(forKey: state.order.removeFirst())?.byteCount ?? 0
    }
    return slot
  }
}
