import CBenchmarks
import Glibc

/// Memory that is far larger than any cache, cut into the regions of as many runs of a kernel as fit.
struct Arena {
  private let start: UnsafeMutableRawPointer
  private let size: Int

  /// Memory of `size` bytes, all of it touched.
  init(size: Int) {
    self.size = size
    start = .allocate(byteCount: size, alignment: 4096)
    memset(start, 0, size)
  }

  /// GB/s that a kernel reads and writes.
  ///
  /// - Parameter fromMemory: true to give every run a region that was last used long ago, false to use one again
  ///   and again.
  func rate(of kernel: Kernel, fromMemory: Bool) -> Double {
    let region = kernel.input + kernel.output
    let count = fromMemory ? size / region : 1
    kernel.prepare(start, start + kernel.input)
    for i in 1..<max(count, 1) { memcpy(start + i * region, start, region) }
    return Stopwatch.thread.rate(bytes: count * kernel.moved, rounds: fromMemory ? 3 : 7) {
      for i in 0..<count { kernel.run(start + i * region, start + i * region + kernel.input) }
    }
  }

  /// GB/s that memcpy reads and writes if it moves as many bytes a call.
  func rate(ofCopying bytes: Int, fromMemory: Bool) -> Double {
    let copy = Kernel("memcpy", input: bytes / 2, output: bytes / 2) { _, _ in
    } run: { input, output in
      memcpy(output, input, bytes / 2)
    }
    return rate(of: copy, fromMemory: fromMemory)
  }

  /// Runs a kernel between two marks, after a run that initialises what is used by all runs.
  func runMarked(_ kernel: Kernel) {
    kernel.prepare(start, start + kernel.input)
    kernel.run(start, start + kernel.input)
    benchmark_mark()
    kernel.run(start, start + kernel.input)
    benchmark_mark()
  }
}
