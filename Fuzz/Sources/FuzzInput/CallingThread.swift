import Glibc
import Synchronization

/// Runs asynchronous work on the thread that waits for it: handing it to another thread and back takes longer than most
/// of what is fuzzed.
public final class CallingThread: TaskExecutor {
  private let jobs = Mutex<[UnownedJob]>([])

  private init() {}

  /// Takes a piece of work in, from any thread.
  public func enqueue(_ job: consuming ExecutorJob) {
    let job = UnownedJob(job)
    jobs.withLock { $0.append(job) }
  }

  /// Does the work, and comes back when it is done.
  public static func run(_ work: @escaping @Sendable () async -> Void) {
    let executor = CallingThread()
    let flag = Flag()
    Task(executorPreference: executor) {
      await work()
      flag.isSet.store(true, ordering: .releasing)
    }
    while !flag.isSet.load(ordering: .acquiring) {
      if let job = executor.jobs.withLock({ $0.isEmpty ? nil : $0.removeFirst() }) {
        job.runSynchronously(on: executor.asUnownedTaskExecutor())
      } else {
        sched_yield()
      }
    }
  }

  private final class Flag: Sendable {
    let isSet = Atomic(false)
  }
}
