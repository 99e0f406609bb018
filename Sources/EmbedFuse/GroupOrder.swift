import Checkpoints

/// Lets groups of tensors begin to be fused in their order, though their stages are run as it happens: writers that put
/// tensors in order count on that.
final class GroupOrder: Sendable {
  private struct State {
    var next = 0
    var waiting: [Int: CheckedContinuation<Void, any Error>] = [:]
    var failure: (any Error)?
  }

  private let state = Locked(State())

  /// Waits for the turn of a group, counted from 0.
  ///
  /// - Throws: what one of the groups failed with.
  func waitForTurn(of group: Int) async throws {
    try await withCheckedThrowingContinuation { continuation in
      let outcome = state.withLock { state -> Result<Void, any Error>? in
        if let failure = state.failure { return .failure(failure) }
        if state.next == group { return .success(()) }
        state.waiting[group] = continuation
        return nil
      }
      if let outcome { continuation.resume(with: outcome) }
    }
  }

  /// Lets the next group begin.
  func passOn() {
    state.withLock { state in
      state.next += 1
      return state.waiting.removeValue(forKey: state.next)
    }?.resume()
  }

  /// Lets all that wait, or come later, fail.
  func fail(with error: any Error) {
    let waiting = state.withLock { state in
      if state.failure == nil { state.failure = error }
      defer { state.waiting = [:] }
      return Array(state.waiting.values)
    }
    for continuation in waiting { continuation.resume(throwing: error) }
  }
}
