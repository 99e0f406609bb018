import Synchronization

/// The values of the chunks that were decoded last, for readers that take less than a chunk at a time. One serves a
/// whole file; it keeps a bounded number of bytes.
final class ChunkCache: Sendable {
  /// A chunk of a dataset, by their numbers.
  struct Key: Hashable, Sendable {
    var dataset: Int
    var chunk: Int
  }

  private struct State {
    var chunks: [Key: [UInt8]] = [:]
    /// The keys, longest unused first.
    var order: [Key] = []
    var byteCount = 0
  }

  private let limit: Int
  private let state = Mutex(State())

  /// A cache of at most `limit` bytes, or of one chunk if that is larger.
  init(limit: Int) { self.limit = limit }

  /// The chunk, if it is still there.
  subscript(key: Key) -> [UInt8]? {
    state.withLock { state in
      guard let chunk = state.chunks[key] else { return nil }
      if let index = state.order.lastIndex(of: key) { state.order.append(state.order.remove(at: index)) }
      return chunk
    }
  }

  /// Keeps a chunk, and drops those unused longest if need be.
  func insert(_ chunk: [UInt8], for key: Key) {
    state.withLock { state in
      guard state.chunks.updateValue(chunk, forKey: key) == nil else { return }
      state.order.append(key)
      state.byteCount += chunk.count
      while state.byteCount > limit, state.order.count > 1 {
        state.byteCount -= state.chunks.removeValue(forKey: state.order.removeFirst())?.count ?? 0
      }
    }
  }
}
