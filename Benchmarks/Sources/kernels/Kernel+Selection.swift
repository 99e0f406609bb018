import CKernels

extension Kernel {
  nonisolated(unsafe) private static let bins = {
    let bins = UnsafeMutablePointer<UInt32>.allocate(capacity: 65_536)
    bins.initialize(repeating: 0, count: 65_536)
    return bins
  }()
  /// Two entries a value, and two more.
  nonisolated(unsafe) private static let room = {
    let room = UnsafeMutablePointer<UInt64>.allocate(capacity: 2 * tile + 2)
    room.initialize(repeating: 0, count: 2 * tile + 2)
    return room
  }()

  nonisolated(unsafe) private static let counts = {
    let counts = UnsafeMutablePointer<UInt64>.allocate(capacity: 2)
    counts.initialize(repeating: 0, count: 2)
    return counts
  }()

  /// The loops of the methods that select elements.
  static var selections: [Kernel] {
    [
      Kernel("deltas by size", rows: 2, outputs: 1) { x, target in
        ck_interval(x + tile, x, 0.0002, 0.001, target, tile)
      },
      Kernel("sizes of deltas", rows: 2, outputs: 1) { x, target in ck_sizes(x + tile, x, target, tile) },
      Kernel("keep at random", rows: 0, outputs: 1, inPlace: true) { _, values in
        ck_keep(values, 1, 0, 0.5, tile)
      },
      Kernel("keep at random, each", rows: 1, outputs: 1, inPlace: true) { x, values in
        ck_keep_each(values, 1, 0, x, tile)
      },
      Kernel("keep above", rows: 1, outputs: 1, inPlace: true) { x, values in
        ck_keep_above(values, x, 0.02, tile)
      },
      Kernel("consensus of 4", rows: 5, outputs: 1) { x, target in
        ck_vote(x, x + tile, tile, ones, ones, 4, 1, 1, 1, 1, target, tile)
      },
      Kernel("sum of 4 selected", rows: 5, outputs: 1) { x, target in
        ck_vote(x, x + tile, tile, ones, ones, 4, 0, 1, 1, 1, target, tile)
      },
      Kernel("ranks", rows: 1, outputs: 1) { x, target in ck_ranks(x, tile, room, target) },
      Kernel("histogram, upper bits", rows: 1) { x, _ in _ = ck_histogram(x, tile, 48, 16, 0, bins) },
      Kernel("histogram, next bits", rows: 1) { x, _ in
        _ = ck_histogram(x, tile, 32, 16, ck_ordered_bits(0.05) >> 48, bins)
      },
      Kernel("histogram, window", rows: 1) { x, _ in _ = ck_window_histogram(x, tile, bins) },
      Kernel("histogram of places", rows: 1) { x, _ in
        ck_place_histogram(x, tile, ck_ordered_bits(0.05), 0, 0, 0, bins)
      },
      Kernel("collect", rows: 1) { x, _ in
        _ = ck_collect(x, tile, ck_ordered_bits(0.05), ck_ordered_bits(0.051), 0, room, room + tile, counts)
      },
    ]
  }
}
