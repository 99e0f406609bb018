import Dispatch
import Glibc
import Synchronization

/// SIGINT and SIGTERM as cancellation, so that a run which is interrupted removes what it has written.
enum Interruption {
  /// The signal that came first; 0 if none did.
  private static let received = Atomic<Int32>(0)

  /// What a shell expects of a process that ended at the signal: 130 for SIGINT, 143 for SIGTERM.
  static var exitCode: Int32 { 128 + (received.load(ordering: .relaxed) == SIGTERM ? SIGTERM : SIGINT) }

  /// Runs `body` in a task that the signals cancel.
  static func cancelling<Result: Sendable>(
    _ body: @escaping @Sendable () async throws -> Result
  ) async throws -> Result {
    let task = Task { try await body() }
    let sources = [SIGINT, SIGTERM].map { number in
      signal(number, SIG_IGN)
      let source = DispatchSource.makeSignalSource(signal: number)
      source.setEventHandler {
        _ = received.compareExchange(expected: 0, desired: number, ordering: .relaxed)
        task.cancel()
      }
      source.resume()
      return source
    }
    // Beyond `ulimit -f` the write is to fail with its message, not the process to die.
    signal(SIGXFSZ, SIG_IGN)
    defer { for source in sources { source.cancel() } }
    return try await task.value
  }
}
