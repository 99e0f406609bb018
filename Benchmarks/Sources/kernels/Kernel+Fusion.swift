import CKernels

extension Kernel {
  /// Settings of four fine-tunes.
  static let weights: [Double] = [0.1, 0.2, 0.3, 0.4]
  static let ones: [Double] = [1, 1, 1, 1]
  /// Room for the lanes of as many sums as any kernel has.
  nonisolated(unsafe) static let lanes = {
    let lanes = UnsafeMutablePointer<Double>.allocate(capacity: 32 * Int(CK_LANES))
    lanes.initialize(repeating: 0, count: 32 * Int(CK_LANES))
    return lanes
  }()

  /// Weighted sums of four fine-tunes.
  static var combinations: [Kernel] {
    [
      Kernel("mean of 4", rows: 4, outputs: 1) { x, target in
        ck_mean(x, tile, ones, 4, 4, 1, target, tile)
      },
      Kernel("weighted mean of 4", rows: 4, outputs: 1) { x, target in
        ck_mean(x, tile, weights, 4, 3, 0, target, tile)
      },
      Kernel("mean of 4 as mergekit", rows: 4, outputs: 1) { x, target in
        ck_fma_mean(x, tile, weights, 4, 1, target, tile)
      },
      Kernel("deltas of 4, mean", rows: 5, outputs: 1) { x, target in
        ck_deltas(x, tile, weights, 5, 1, 1, target, tile)
      },
      Kernel("deltas of 4, scaled", rows: 5, outputs: 1) { x, target in
        ck_deltas(x, tile, weights, 5, 0.7, 0, target, tile)
      },
    ]
  }

  /// Sums over a base and four fine-tunes.
  static var sums: [Kernel] {
    [
      Kernel("delta sums of 4", rows: 5) { x, _ in ck_delta_sums(CK_ALL_SUMS, x, tile, 5, lanes, tile) },
      Kernel("weighted norms of 4", rows: 5) { x, _ in ck_weighted_norms(x, tile, 5, weights, lanes, tile) },
      Kernel("magnitudes", rows: 1) { x, _ in ck_magnitudes(x, lanes, tile) },
      Kernel("variances of 4", rows: 5, outputs: 1) { x, target in ck_variances(x, tile, 4, target, tile) },
    ]
  }

  /// A weight for every element of four fine-tunes.
  static var elementGranularity: [Kernel] {
    [1.0, 2, 3].map { power in
      Kernel("element weights of 4, power \(Int(power))", rows: 5, outputs: 4) { x, target in
        ck_element_weights(x, tile, 5, ones, ones, power, target, tile)
      }
    } + [
      // Any numbers do for the weights.
      Kernel("element combination of 4", rows: 9, outputs: 1) { x, target in
        ck_element_combine(x, tile, 5, x + 5 * tile, 1, lanes, target, tile)
      },
      Kernel("element norms of 4", rows: 9) { x, _ in
        ck_element_norms(x, tile, 5, x + 5 * tile, lanes, tile)
      },
    ]
  }

  /// Gram matrices, low-rank products, and what needs the exponential or the logarithm.
  static var products: [Kernel] {
    [
      Kernel("products of 4, less the base", rows: 5) { x, _ in
        ck_products(x + tile, tile, 4, x, lanes, tile)
      },
      Kernel("comparison of 4", rows: 5) { x, _ in ck_compare(x, tile, 5, lanes, tile) },
      Kernel("low-rank product, rank 16", rows: 17, outputs: 1, inPlace: true) { x, target in
        // One row of the left factor; the right one is 16 rows of a tile.
        ck_add_product(x, x + tile, 16, tile, 0.5, target, 1, tile)
      },
      Kernel("exponentials", rows: 1, outputs: 1) { x, target in ck_exponentials(x, 0, 1, 0, target, tile) },
      Kernel("divergence", rows: 2, outputs: 1) { x, target in ck_divergence(x, x + tile, target, tile) },
    ]
  }
}
