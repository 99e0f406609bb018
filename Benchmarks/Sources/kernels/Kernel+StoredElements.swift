import CKernels

extension Kernel {
  /// What most merges run: four fine-tunes, with their base where there are deltas, widened, combined and rounded at once.
  static var storedElements: [Kernel] {
    [("F32", CK_F32, 4), ("F16", CK_F16, 2), ("BF16", CK_BF16, 2)].flatMap { name, type, width in
      [
        combination("mean of 4, \(name)", CK_MEAN, type, width, inputs: 4),
        combination("deltas of 4, \(name)", CK_DELTAS, type, width, inputs: 5),
        combination("element weights of 4, \(name)", CK_ELEMENTS, type, width, inputs: 5),
        stored("delta sums of 4, \(name)", type, width, inputs: 5, output: 0) { sources, _ in
          _ = ck_stored_delta_sums(CK_ALL_SUMS, sources, 5, 0, lanes, tile)
        },
        stored("delta sizes of 4, \(name)", type, width, inputs: 5, output: 0) { sources, _ in
          _ = ck_stored_delta_sums(CK_SIZE_SUMS, sources, 5, 0, lanes, tile)
        },
      ]
    }
  }

  private static func combination(_ name: String, _ kind: ck_kind, _ type: ck_type, _ width: Int, inputs: Int)
    -> Kernel
  {
    stored(name, type, width, inputs: inputs, output: width * tile) { sources, target in
      ones.withUnsafeBufferPointer { ones in
        var way = ck_combination(
          kind: kind, weights: ones.baseAddress, priors: ones.baseAddress, scale: kind == CK_MEAN ? 4 : 1,
          power: 1,
          whole: kind == CK_MEAN ? 1 : 0, has_base: inputs == 5 ? 1 : 0)
        _ = ck_combine(&way, sources, inputs, 0, lanes, type, target, tile, counts)
      }
    }
  }

  /// A kernel of inputs that lie one after the other.
  private static func stored(
    _ name: String, _ type: ck_type, _ width: Int, inputs: Int, output: Int,
    run: @escaping ([ck_source], UnsafeMutableRawPointer) -> Void
  ) -> Kernel {
    Kernel("stored: " + name, input: inputs * width * tile, output: output) { input, _ in
      SampleValues.write(rows: inputs, type, width: width, count: tile, to: input)
    } run: { input, output in
      run((0..<inputs).map { ck_source(bytes: input + $0 * width * tile, type: type) }, output)
    }
  }

  nonisolated(unsafe) private static let counts = {
    let counts = UnsafeMutablePointer<UInt64>.allocate(capacity: 5)
    counts.initialize(repeating: 0, count: 5)
    return counts
  }()
}
