import Dispatch
import Glibc

/// SIGINT and SIGTERM as cancellation, so that a run which is interrupted removes what it has written.
enum Interruption {
  /// What a shell expects of a process that ended at SIGINT.
  static let exitCode: Int32 = 130

  /// Runs `body` in a task that the signals cancel.
  static func cancelling<Result: Sendable>(
    _ body: @escaping @Sendable () async throws -> Result
  ) async throws -> Result {
    let task = Task { try await body() }
    let sources = [SIGINT, SIGTERM].map { number in
      signal(number, SIG_IGN)
      let source = DispatchSource.makeSignalSource(signal: number)
      source.setEventHandler { task.cancel() }
      source.resume()
      return source
    }
    // Beyond `ulimit -f` the write is to fail with its message, not the process to die.
    signal(SIGXFSZ, SIG_IGN)
    defer { for source in sources { source.cancel() } }
    return try await task.value
  }
}
