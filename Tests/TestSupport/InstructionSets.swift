import Foundation
import Kernels

/// Runs `body` with each instruction set of this machine in turn.
///
/// The choice is the process's, and tests of all targets share one: callers wait for one another.
public func onEveryInstructionSet(_ body: (InstructionSet) async throws -> Void) async rethrows {
  await turn.take()
  defer {
    InstructionSet.use(.best)
    turn.giveBack()
  }
  for set in InstructionSet.allCases {
    InstructionSet.use(set)
    try await body(set)
  }
}

private let turn = Turn()

/// Whose turn it is. Those who wait don't hold a thread, which the one whose turn it is may need.
private final class Turn: @unchecked Sendable {
  private let lock = NSLock()

  // Guarded by `lock`.
  private var isTaken = false
  private var waiting: [CheckedContinuation<Void, Never>] = []

  func take() async {
    await withCheckedContinuation { continuation in
      let isFree = lock.withLock {
        defer { isTaken = true }
        if isTaken { waiting.append(continuation) }
        return !isTaken
      }
      if isFree { continuation.resume() }
    }
  }

  func giveBack() {
    let next = lock.withLock {
      isTaken = !waiting.isEmpty
      return waiting.isEmpty ? nil : waiting.removeFirst()
    }
    next?.resume()
  }
}
