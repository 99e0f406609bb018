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

  /// Runs `job` for every index below `count`, and returns what each worker has gathered.
  ///
  /// - Throws: the error of a job, after the other workers have stopped; `CancellationError` if the task
  ///   was cancelled.
  func run<Worker, Gathered: Sendable>(
    _ count: Int, worker: @escaping @Sendable () -> Worker,
    job: @escaping @Sendable (Int, inout Worker) throws -> Void,
    gathered: @escaping @Sendable (Worker) -> Gathered
  ) async throws -> [Gathered] {
    let next = Counter()
    return try await withThrowingTaskGroup(of: Gathered.self) { group in
      for _ in 0..<max(1, min(width, count)) {
        group.addTask {
          var worker = worker()
          while true {
            try Task.checkCancellation()
            let index = next.take()
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
