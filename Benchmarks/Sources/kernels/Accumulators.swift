import CBenchmarks
import CKernels
import Dispatch
import Glibc

/// What sums in binary64 cost against sums in binary32: the mean of four inputs from memory, with one thread and with
/// as many as there are processors.
///
/// "One loop" does nothing else; the engine also looks for NaN and infinity and counts what rounding did.
struct Accumulators {
  /// Elements of each input.
  private let count = 12 << 20
  private let processors = sysconf(Int32(_SC_NPROCESSORS_ONLN))
  /// The inputs, and the output behind them.
  private let memory: UnsafeMutableRawPointer

  /// Prints the rates as Markdown.
  static func report() {
    let memory = UnsafeMutableRawPointer.allocate(byteCount: 5 * 4 * (12 << 20), alignment: 4096)
    defer { memory.deallocate() }
    Accumulators(memory: memory).report()
  }

  private func report() {
    print("| mean of 4 from memory, GB/s | 1 thread | \(processors) threads |\n|---|--:|--:|")
    fill(CK_F32, width: 4)
    let f32 = memory.assumingMemoryBound(to: Float.self)
    let f32Costs = cost(
      row("F32, binary32, one loop", 4) { mean_f32_in_binary32(f32 + $0, count, f32 + 4 * count + $0, $1) },
      row("F32, binary64, one loop", 4) { mean_f32_in_binary64(f32 + $0, count, f32 + 4 * count + $0, $1) })
    _ = row("F32, binary64, as the engine has it", 4) { asEngine(CK_F32, 4, $0, $1) }
    fill(CK_BF16, width: 2)
    let bf16 = memory.assumingMemoryBound(to: UInt16.self)
    let bf16Costs = cost(
      row("BF16, binary32, one loop", 2) {
        mean_bf16_in_binary32(bf16 + $0, count, bf16 + 4 * count + $0, $1)
      },
      row("BF16, binary64, one loop", 2) {
        mean_bf16_in_binary64(bf16 + $0, count, bf16 + 4 * count + $0, $1)
      })
    _ = row("BF16, binary64, as the engine has it", 2) { asEngine(CK_BF16, 2, $0, $1) }
    print("\nIn one loop the sums in binary64 take \(f32Costs) more time for F32, \(bf16Costs) for BF16.")
  }

  /// How much more time the second takes than the first, with one thread and with all.
  private func cost(_ rates: [Double], _ others: [Double]) -> String {
    let percents = zip(rates, others).map { "\(Int((100 * ($0 / $1 - 1)).rounded())) %" }
    return percents.joined(separator: " (one thread) and ") + " (\(processors) threads)"
  }

  /// Fills all inputs and the output, which touches them.
  private func fill(_ type: ck_type, width: Int) {
    SampleValues.write(type, count: Kernel.tile, to: memory)
    for i in 1..<5 * count / Kernel.tile {
      memcpy(memory + i * Kernel.tile * width, memory, Kernel.tile * width)
    }
  }

  /// Prints and returns the rates of work on `count` elements from a first one on.
  private func row(
    _ name: String, _ width: Int, _ work: @escaping (_ first: Int, _ count: Int) -> Void
  ) -> [Double] {
    let bytes = 5 * width * count
    nonisolated(unsafe) let work = work
    let rates = [1, processors].map { threads in
      Stopwatch.wall.rate(bytes: bytes, rounds: 9) {
        let share = count / threads
        DispatchQueue.concurrentPerform(iterations: threads) { work($0 * share, share) }
      }
    }
    print("| \(name) | \(Report.rounded(rates[0])) | \(Report.rounded(rates[1])) |")
    return rates
  }

  private func asEngine(_ type: ck_type, _ width: Int, _ first: Int, _ elements: Int) {
    var counts: [UInt64] = [0, 0, 0, 0, 0]
    Kernel.ones.withUnsafeBufferPointer { ones in
      var way = ck_combination(
        kind: CK_MEAN, weights: ones.baseAddress, priors: nil, scale: 4, power: 1, whole: 1, has_base: 0)
      let sources = (0..<4).map { ck_source(bytes: memory + width * $0 * count, type: type) }
      for start in stride(from: first, to: first + elements, by: Kernel.tile) {
        _ = ck_combine(
          &way, sources, 4, start, nil, type, memory + width * (4 * count + start), Kernel.tile, &counts)
      }
    }
  }
}
