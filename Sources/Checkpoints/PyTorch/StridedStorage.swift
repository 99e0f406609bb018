import TensorCore

/// The storage of a tensor that is a view: its elements are gathered, as far as they are asked for, from where strides
/// say that they stand.
struct StridedStorage: TensorStorage {
  /// Runs that stand no further apart than this are read together: a read of its own costs about as much as the copy.
  private static let gapLimit = 4 << 10
  /// Bytes read at once at most, unless one run has more.
  private static let windowByteLimit = 256 << 10

  /// What the strides count in.
  let source: any ByteSource
  /// The source's byte at which the first element starts.
  let offset: Int
  let extents: [Int]
  /// Elements from one index to the next along each axis.
  let strides: [Int]
  /// Bytes of an element.
  let width: Int

  var residentBytes: Int { source.residentBytes }
  var workerBytes: Int { source.workerBytes + Self.windowByteLimit }

  /// One axis of what is gathered: how often, and how many bytes apart there and here.
  private struct Axis {
    var count: Int
    var from: Int
    var to: Int
  }

  func read(_ range: Range<Int>, into bytes: inout MutableSpan<UInt8>) throws(EmbedFuseError) {
    var window = Window(source: source)
    for box in boxes(of: range) {
      var first = offset
      var axes: [Axis] = []
      var step = width
      for axis in extents.indices.reversed() {
        let part = box.ranges[axis]
        first += part.lowerBound * strides[axis] * width
        if part.count > 1 { axes.append(Axis(count: part.count, from: strides[axis] * width, to: step)) }
        step *= part.count
      }
      try gather(axes, from: first, to: (box.start - range.lowerBound) * width, window: &window, into: &bytes)
    }
  }

  /// Copies the elements of a box in the order in which they stand in the source.
  private func gather(
    _ axes: [Axis], from first: Int, to target: Int, window: inout Window,
    into bytes: inout MutableSpan<UInt8>
  ) throws(EmbedFuseError) {
    // Repeated elements last, then the nearest.
    var axes = axes.sorted { $0.from > $1.from }
    let run = axes.popLast() ?? Axis(count: 1, from: 0, to: 0)
    let runLength = (run.count - 1) * run.from + width
    let distance = axes.last.map { max($0.from, run.from) } ?? runLength
    let isDense = distance - runLength <= Self.gapLimit
    // Past this byte nothing of the box stands.
    let end = axes.reduce(first + runLength) { $0 + ($1.count - 1) * $1.from }
    var indices = [Int](repeating: 0, count: axes.count)
    var (source, place) = (first, target)
    while true {
      try copy(run, from: source, to: place, end: isDense ? end : source + runLength, &window, into: &bytes)
      // The next index, the last axis fastest.
      var axis = axes.count - 1
      while axis >= 0 {
        indices[axis] += 1
        source += axes[axis].from
        place += axes[axis].to
        if indices[axis] < axes[axis].count { break }
        source -= axes[axis].count * axes[axis].from
        place -= axes[axis].count * axes[axis].to
        indices[axis] = 0
        axis -= 1
      }
      if axis < 0 { return }
    }
  }

  /// Copies the elements of one run, as many at a time as a window holds.
  private func copy(
    _ run: Axis, from source: Int, to target: Int, end: Int, _ window: inout Window,
    into bytes: inout MutableSpan<UInt8>
  ) throws(EmbedFuseError) {
    var index = 0
    while index < run.count {
      let position = source + index * run.from
      // Elements far apart are read one by one.
      let fitting = run.from == 0 ? run.count : max(1, (Self.windowByteLimit - width) / run.from + 1)
      let count = run.from - width > Self.gapLimit ? 1 : min(run.count - index, fitting)
      let length = (count - 1) * run.from + width
      try window.load(
        position..<position + length, ahead: count == 1 && run.count > 1 ? length : Self.windowByteLimit,
        end: end)
      window.copy(
        width, count: count, from: position, step: run.from, to: target + index * run.to, step: run.to,
        into: &bytes)
      index += count
    }
  }

  /// The boxes, one after the other in row-major order, that a range of elements is made of.
  private func boxes(of range: Range<Int>) -> [(ranges: [Range<Int>], start: Int)] {
    var result: [(ranges: [Range<Int>], start: Int)] = []
    var start = range.lowerBound
    while start < range.upperBound {
      // The widest box from here: whole inner axes, and a part of the first axis that isn't whole.
      var rest = start
      var index = [Int](repeating: 0, count: extents.count)
      for axis in extents.indices.reversed() {
        index[axis] = rest % extents[axis]
        rest /= extents[axis]
      }
      var ranges = index.map { $0..<$0 + 1 }
      var size = 1
      for axis in extents.indices.reversed() {
        let count = min(extents[axis] - index[axis], (range.upperBound - start) / size)
        ranges[axis] = index[axis]..<index[axis] + count
        size *= count
        if count < extents[axis] { break }
      }
      result.append((ranges, start))
      start += size
    }
    return result
  }

  /// The bytes read last.
  private struct Window {
    let source: any ByteSource
    var bytes: [UInt8] = []
    var range = 0..<0

    init(source: any ByteSource) { self.source = source }

    /// Sees to it that `wanted` is there; if not, reads on to `ahead` bytes, but not beyond `end`.
    mutating func load(_ wanted: Range<Int>, ahead: Int, end: Int) throws(EmbedFuseError) {
      let source = source
      if wanted.lowerBound >= range.lowerBound, wanted.upperBound <= range.upperBound { return }
      let upper = max(wanted.upperBound, min(wanted.lowerBound + ahead, end))
      let count = upper - wanted.lowerBound
      if bytes.count < count { bytes = [UInt8](repeating: 0, count: count) }
      var span = bytes.mutableSpan
      try source.read(count, at: wanted.lowerBound, into: &span)
      range = wanted.lowerBound..<upper
    }

    /// Copies elements at equal distances.
    func copy(
      _ width: Int, count: Int, from: Int, step: Int, to: Int, step targetStep: Int,
      into target: inout MutableSpan<UInt8>
    ) {
      var source = from - range.lowerBound
      var place = to
      for _ in 0..<count {
        for byte in 0..<width { target[place + byte] = bytes[source + byte] }
        source += step
        place += targetStep
      }
    }
  }
}
