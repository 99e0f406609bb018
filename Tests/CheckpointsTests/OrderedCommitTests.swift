import Foundation
import Synchronization
import TensorCore
import Testing

@testable import Checkpoints

@Suite struct OrderedCommitTests {
  @Test(arguments: [1, 2, 16])
  func itemsAreCommittedInOrderWhoeverBringsThem(limit: Int) {
    let committed = Mutex<[Int]>([])
    let order = OrderedCommit<Int>(limit: limit) { index, item in
      committed.withLock { $0.append(item) }
    }
    let next = Atomic(0)
    DispatchQueue.concurrentPerform(iterations: 6) { _ in
      while true {
        let index = next.add(1, ordering: .relaxed).oldValue
        guard index < 2000 else { return }
        try? order.submit(index * 3, at: index)
      }
    }
    #expect(committed.withLock { $0 } == (0..<2000).map { $0 * 3 })
    #expect(order.committed == 2000)
  }

  @Test func failureReachesEveryone() {
    let failure = EmbedFuseError(.inputOutput, "full")
    let order = OrderedCommit<Int>(limit: 4) { index, _ throws(EmbedFuseError) in
      if index == 1 { throw failure }
    }
    #expect(throws: Never.self) { try order.submit(0, at: 0) }
    #expect(throws: failure) { try order.submit(0, at: 1) }
    #expect(throws: failure) { try order.submit(0, at: 2) }
    #expect(order.committed == 1)
  }

  @Test func workerThatWaitsWakesWhenTheWorkIsGivenUp() {
    let order = OrderedCommit<Int>(limit: 1) { _, _ in }
    let thrown = Mutex<EmbedFuseError?>(nil)
    let finished = DispatchSemaphore(value: 0)
    Thread.detachNewThread {
      do throws(EmbedFuseError) { try order.submit(0, at: 5) } catch { thrown.withLock { $0 = error } }
      finished.signal()
    }
    order.abandon(EmbedFuseError(.internalError, "given up"))
    #expect(finished.wait(timeout: .now() + 10) == .success)
    #expect(thrown.withLock { $0?.problem } == "given up")
  }
}
