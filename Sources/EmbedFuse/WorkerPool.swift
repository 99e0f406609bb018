import Synchronization
import TensorCore

/// Runs jobs on several workers, which pull the next index from one counter.
///
/// Each worker has buffers of its own, so that no job waits for another. Jobs are started in order.
struct WorkerPool: Sendable {
  /// What a worker takes besides its buffers, about: its stack, and its part of the heap.
  static let workerBytes = 1 << 20

  /// The number of workers.
  let width: Int
  /// What lets no more of them run at a time, where several lists of jobs are run at once.
  private let slots: WorkerSlots

  /// A pool of so many workers.
  init(width: Int) {
    self.width = width
    slots = WorkerSlots(max(1, width))
  }

  /// How many workers fit into the memory that is allowed, beside what they share; at most as many as are wanted.
  ///
  /// - Parameters:
  ///   - work: what they are to do, for the message: ` for 3 inputs`, or nothing.
  ///   - advice: what may be done besides giving more memory, for the message.
  /// - Throws: `EmbedFuseError` (usage) if not even one does.
  static func width(
    _ wanted: Int, within memory: Int, shared: Int, perWorker: Int, of work: String, advice: String = ""
  ) throws(EmbedFuseError) -> Int {
    let fitting = max(0, memory - shared) / perWorker
    guard fitting >= 1 else {
      let given = memory < 1 << 20 ? "\(memory) bytes" : "\(memory >> 20) MiB"
      throw EmbedFuseError(
        .usage, "\(given) of memory are too little\(work)",
        remedy: "give at least --memory \(((perWorker + shared) >> 20) + 1)M\(advice)")
    }
    return min(wanted, fitting)
  }

  /// Runs `job` for every index below `count`, and returns what each worker has gathered.
  ///
  /// - Parameter whenTaken: called once all jobs have been taken up.
  /// - Throws: the error of a job, after the other workers have stopped; `CancellationError` if the task
  ///   was cancelled.
  func run<Worker, Gathered: Sendable>(
    _ count: Int, worker: @escaping @Sendable () -> Worker,
    job: @escaping @Sendable (Int, inout Worker) throws -> Void,
    gathered: @escaping @Sendable (Worker) -> Gathered, whenTaken: @escaping @Sendable () -> Void = {}
  ) async throws -> [Gathered] {
    let next = Counter()
    let slots = slots
    return try await withThrowingTaskGroup(of: Gathered.self) { group in
      for _ in 0..<max(1, min(width, count)) {
        group.addTask {
          await slots.take()
          defer { slots.give() }
          var worker = worker()
          while true {
            try Task.checkCancellation()
            let index = next.take()
            if index == count { whenTaken() }
            guard index < count else { return gathered(worker) }
            try job(index, &worker)
          }
        }
      }
      var results: [Gathered] = []
      var failures: [any Error] = []
      while let result = await group.nextResult() {
        switch result {
        case .success(let value): results.append(value)
        case .failure(let error):
          failures.append(error)
          group.cancelAll()
        }
      }
      guard failures.isEmpty else { throw Self.cause(among: failures) }
      return results
    }
  }

  /// The failure that the others follow from: workers that waited for the one that failed tell only that, and those that
  /// were stopped, that they were.
  private static func cause(among failures: [any Error]) -> any Error {
    failures.first { ($0 as? EmbedFuseError).map { $0.code != .internalError } ?? false }
      ?? (Task.isCancelled ? CancellationError() : failures[0])
  }

  /// Hands out 0, 1, 2, …
  private final class Counter: Sendable {
    private let value = Atomic<Int>(0)

    func take() -> Int {
      value.wrappingAdd(1, ordering: .relaxed).oldValue
    }
  }
}
