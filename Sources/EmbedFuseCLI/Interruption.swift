import Dispatch
import EmbedFuse
import Glibc
import Synchronization

/// SIGHUP, SIGINT and SIGTERM as cancellation, so that a run which is interrupted removes what it has written.
enum Interruption {
  /// The signal that came first; 0 if none did.
  private static let received = Atomic<Int32>(0)

  /// A pipe into which the first signal writes a byte; -1 twice if there could be none.
  private static let (awaited, announced): (Int32, Int32) = {
    var ends: [Int32] = [-1, -1]
    return unsafe pipe(&ends) == 0 ? (ends[0], ends[1]) : (-1, -1)
  }()

  /// What a shell expects of a process that ended at the signal: 129 for SIGHUP, 130 for SIGINT, 143 for SIGTERM.
  static var exitCode: Int32 { 128 + received.load(ordering: .relaxed) }

  /// Runs `body` in a task that the signals cancel; those that are ignored (`nohup`, a shell's `&`) stay so.
  ///
  /// A signal that comes once `body` has published its output has nothing left to stop. Afterwards, unless the run was
  /// interrupted, signals do what they did before.
  ///
  /// - Throws: `CancellationError` if a signal stopped `body`; what `body` throws.
  static func cancelling<Result: Sendable>(
    _ body: @escaping @Sendable () async throws -> Result
  ) async throws -> Result {
    guard awaited >= 0 else { return try await body() }
    let task = Task { try await body() }
    let former = [SIGHUP, SIGINT, SIGTERM].filter { !isIgnored($0) }.map { ($0, announce($0)) }
    let source = DispatchSource.makeReadSource(fileDescriptor: awaited)
    source.setEventHandler {
      var byte: UInt8 = 0
      _ = unsafe read(awaited, &byte, 1)
      task.cancel()
    }
    source.resume()
    let outcome = await task.result
    source.cancel()
    // A run that was interrupted says so, however often it is told.
    if case .failure(let error) = outcome,
      error is CancellationError || (error as? EmbedFuseError)?.isCancellation == true
    {
      throw CancellationError()
    }
    for (number, action) in former {
      var action = action
      unsafe sigaction(number, &action, nil)
    }
    return try outcome.get()
  }

  /// True for a signal that does nothing.
  private static func isIgnored(_ number: Int32) -> Bool {
    var action = sigaction()
    unsafe sigaction(number, nil, &action)
    return unsafe unsafeBitCast(action.__sigaction_handler, to: Int.self)
      == unsafeBitCast(SIG_IGN, to: Int.self)
  }

  /// Lets a signal write into the pipe, and says what it did before.
  private static func announce(_ number: Int32) -> sigaction {
    var (action, former) = (sigaction(), sigaction())
    unsafe action.__sigaction_handler.sa_handler = { number in
      let isFirst = Interruption.received.compareExchange(expected: 0, desired: number, ordering: .relaxed)
        .exchanged
      guard isFirst else { return }
      let before = errno
      var byte: UInt8 = 0
      _ = unsafe write(Interruption.announced, &byte, 1)
      errno = before
    }
    action.sa_flags = SA_RESTART
    unsafe sigaction(number, &action, &former)
    return former
  }
}
