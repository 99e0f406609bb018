import TensorCore

/// A chunk that is being put together from the runs of several workers, or from the blocks of one.
final class ChunkAssembly: Sendable {
  private struct State {
    let encoder: ChunkEncoder
    let chunk: StoredChunk
    /// What came before its time, by its place.
    var early: [Int: [UInt8]] = [:]
  }

  private let byteCount: Int
  private let state: Locked<State>

  /// Begins a chunk.
  ///
  /// - Parameters:
  ///   - byteCount: bytes of values that will come.
  ///   - layout: the tensor's, which tells how long the chunk is.
  init(_ chunk: StoredChunk, with encoder: ChunkEncoder, byteCount: Int, layout: ChunkLayout) {
    self.byteCount = byteCount
    encoder.begin(chunk, byteCount: layout.chunkByteCount, width: layout.width, valueCount: byteCount)
    state = Locked(State(encoder: encoder, chunk: chunk))
  }

  /// Takes bytes from place `offset` of the chunk on; true if that completes it.
  ///
  /// They are taken in their order, whatever order they come in: what is made of them depends on nothing else.
  func place(_ bytes: Span<UInt8>, at offset: Int) -> Bool {
    state.withLock { state in
      guard offset == state.encoder.receivedCount else {
        state.early[offset] = [UInt8](copying: bytes)
        return false
      }
      state.encoder.place(bytes)
      while let next = state.early.removeValue(forKey: state.encoder.receivedCount) {
        state.encoder.place(next.span)
      }
      return state.encoder.receivedCount == byteCount
    }
  }

  /// The complete chunk, and its encoder, free for the next.
  func finish() throws(EmbedFuseError) -> (chunk: StoredChunk, encoder: ChunkEncoder) {
    try state.withLock { state throws(EmbedFuseError) in
      try state.encoder.finish(state.chunk)
      state.chunk.takeDigest()
      return (state.chunk, state.encoder)
    }
  }
}
