/// The values of a chunk. Once nobody needs them any more the buffer serves for the next chunk of its size: new memory
/// for each would have to be cleared, and would be spread over more of the heap than is in use.
final class DecodedChunk: Sendable {
  /// The values.
  let bytes: [UInt8]
  private let shelf: BufferShelf

  init(_ bytes: [UInt8], of shelf: BufferShelf) {
    self.bytes = bytes
    self.shelf = shelf
  }

  deinit { shelf.put(bytes) }
}

/// Buffers that are free to be used again.
final class BufferShelf: Sendable {
  /// More are given back to the system.
  private static let limit = 2

  private let buffers = Locked<[[UInt8]]>([])

  /// A buffer of `count` bytes, whatever they are.
  func take(_ count: Int) -> [UInt8] {
    let kept = buffers.withLock { buffers in
      if buffers.last?.count != count { buffers = [] }
      return buffers.popLast()
    }
    return kept ?? [UInt8](repeating: 0, count: count)
  }

  /// Takes a buffer back.
  func put(_ buffer: [UInt8]) {
    buffers.withLock { buffers in
      if buffers.last?.count != buffer.count { buffers = [] }
      if buffers.count < Self.limit { buffers.append(buffer) }
    }
  }
}
