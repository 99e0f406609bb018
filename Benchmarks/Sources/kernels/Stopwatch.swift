import Glibc

/// Bytes a second of work that is repeated.
struct Stopwatch {
  /// What is taken for time.
  private let clock: clockid_t

  /// The time that this thread was at work, whatever else the machine did.
  static let thread = Stopwatch(clock: CLOCK_THREAD_CPUTIME_ID)
  /// The time that passed.
  static let wall = Stopwatch(clock: CLOCK_MONOTONIC)

  /// The median of `rounds` rates in GB/s: a round does `work` as often as it takes to last a hundredth of a second.
  func rate(bytes: Int, rounds: Int, _ work: () -> Void) -> Double {
    work()
    var repetitions = 1
    while seconds(repetitions, work) < 0.01 { repetitions *= 2 }
    let rates = (0..<rounds).map { _ in Double(bytes * repetitions) / seconds(repetitions, work) / 1e9 }
    return rates.sorted()[rounds / 2]
  }

  private func seconds(_ repetitions: Int, _ work: () -> Void) -> Double {
    let start = now()
    for _ in 0..<repetitions { work() }
    return now() - start
  }

  private func now() -> Double {
    var time = timespec()
    clock_gettime(clock, &time)
    return Double(time.tv_sec) + Double(time.tv_nsec) / 1e9
  }
}
