import Checkpoints

/// Lets so many workers run at a time, whichever runs of a pool they are part of: those that came first go first.
final class WorkerSlots: Sendable {
  private struct State {
    var free: Int
    var waiting: [CheckedContinuation<Void, Never>] = []
  }

  private let state: Locked<State>

  /// So many slots, all free.
  init(_ count: Int) {
    state = Locked(State(free: count))
  }

  /// Waits until a slot is free, and takes it.
  func take() async {
    await withCheckedContinuation { continuation in
      let isTaken = state.withLock { state in
        guard state.free > 0 else {
          state.waiting.append(continuation)
          return false
        }
        state.free -= 1
        return true
      }
      if isTaken { continuation.resume() }
    }
  }

  /// Gives a slot back, or hands it to who has waited longest.
  func give() {
    let next = state.withLock { state -> CheckedContinuation<Void, Never>? in
      guard state.waiting.isEmpty else { return state.waiting.removeFirst() }
      state.free += 1
      return nil
    }
    next?.resume()
  }
}
