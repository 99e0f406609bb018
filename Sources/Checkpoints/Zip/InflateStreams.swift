import TensorCore

/// The streams that inflate the entries of one archive, with the restart points that they leave on their way.
///
/// Reads that follow each other go on where the last one stopped; others start at the restart point before them.
/// A bounded number of streams and of bytes of points is kept, the entries used last first.
final class InflateStreams: Sendable {
  /// Bytes of restart points that are kept for one archive.
  static let pointByteLimit = 2 << 20
  private static let idleLimit = 8
  /// What a stream takes: zlib's state and window, and a buffer of input.
  static let streamByteCount = 96 << 10

  /// Bytes that all of it takes at most, but for the streams in use.
  static let residentBytes = pointByteLimit + idleLimit * streamByteCount

  private struct State {
    /// Streams that nobody uses, those used last at the end.
    var idle: [InflateStream] = []
    /// The points of an entry by its data's offset, in order.
    var points: [Int: [InflateStream.RestartPoint]] = [:]
    /// The entries that have points, longest unused first.
    var order: [Int] = []
    var byteCount = 0
  }

  private let file: InputFile
  private let state = Locked(State())

  init(_ file: InputFile) { self.file = file }

  /// A stream of the entry at `position` or as little before it as possible.
  func take(_ entry: ZipEntry, at position: Int) throws(EmbedFuseError) -> InflateStream {
    let key = entry.dataOffset
    let (idle, point) = state.withLock { state -> (InflateStream?, InflateStream.RestartPoint?) in
      let point = state.points[key]?.last { $0.position <= position }
      let best = state.idle.indices.filter {
        state.idle[$0].entry.dataOffset == key && state.idle[$0].position <= position
      }.max { state.idle[$0].position < state.idle[$1].position }
      if let best, state.idle[best].position >= point?.position ?? 0 {
        return (state.idle.remove(at: best), nil)
      }
      return (nil, point)
    }
    if let idle { return idle }
    return try InflateStream(entry, in: file, from: point)
  }

  /// Takes a stream back, for reads that go on where it stopped.
  func put(_ stream: InflateStream) {
    guard stream.position < stream.entry.byteCount else { return }
    state.withLock { state in
      state.idle.append(stream)
      if state.idle.count > Self.idleLimit { state.idle.removeFirst() }
    }
  }

  /// Bytes between two restart points of an entry: at most 1 MiB of points an entry.
  private static func spacing(of entry: ZipEntry) -> Int {
    max(1 << 20, entry.byteCount / 32)
  }

  /// True if no restart point stands at `position` or within the spacing before it, or after it.
  func wantsPoint(of entry: ZipEntry, at position: Int) -> Bool {
    guard position >= Self.spacing(of: entry) else { return false }
    return state.withLock { state in
      guard let last = state.points[entry.dataOffset]?.last else { return true }
      return position - last.position >= Self.spacing(of: entry)
    }
  }

  /// Keeps a restart point, and drops those of the entries unused longest if there are too many.
  func keep(_ point: InflateStream.RestartPoint, of entry: ZipEntry) {
    let key = entry.dataOffset
    state.withLock { state in
      if let last = state.points[key]?.last, last.position >= point.position { return }
      state.points[key, default: []].append(point)
      state.byteCount += point.window.count
      state.order.removeAll { $0 == key }
      state.order.append(key)
      while state.byteCount > Self.pointByteLimit, state.order.count > 1 {
        for point in state.points.removeValue(forKey: state.order.removeFirst()) ?? [] {
          state.byteCount -= point.window.count
        }
      }
    }
  }
}

/// A deflated entry, to be read at any position.
struct InflatedBytes: ByteSource {
  let entry: ZipEntry
  let streams: InflateStreams

  /// Bytes that are inflated at a time on the way to those that are wanted.
  private static let skippedByteCount = 64 << 10

  var byteCount: Int { entry.byteCount }
  var residentBytes: Int { InflateStreams.residentBytes }
  var workerBytes: Int { InflateStreams.streamByteCount + Self.skippedByteCount }

  func read(_ count: Int, at offset: Int, into bytes: inout MutableSpan<UInt8>) throws(EmbedFuseError) {
    guard count > 0 else { return }
    let stream = try streams.take(entry, at: offset)
    if stream.position < offset {
      var skipped = [UInt8](repeating: 0, count: min(Self.skippedByteCount, offset - stream.position))
      var span = skipped.mutableSpan
      while stream.position < offset {
        try stream.read(min(span.count, offset - stream.position), into: &span, points: streams)
      }
    }
    try stream.read(count, into: &bytes, points: streams)
    streams.put(stream)
  }
}
