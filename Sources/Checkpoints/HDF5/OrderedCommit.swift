import Glibc
import TensorCore

/// Puts what several workers finish in any order into one order.
///
/// The worker that brings the next item, and no other, commits it and all that follow and are there already;
/// the others leave theirs and go on. One that is further ahead than `limit` items waits. The worker whose item
/// is next never waits, so that workers that take items in order can't block each other for good.
@safe final class OrderedCommit<Item: Sendable>: @unchecked Sendable {
  private let mutex = UnsafeMutablePointer<pthread_mutex_t>.allocate(capacity: 1)
  private let moved = UnsafeMutablePointer<pthread_cond_t>.allocate(capacity: 1)
  private let limit: Int
  private let commit: @Sendable (Int, Item) throws(EmbedFuseError) -> Void

  // Guarded by `mutex`.
  private var next = 0
  private var waiting: [Int: Item] = [:]
  private var isCommitting = false
  private var failure: EmbedFuseError?

  init(limit: Int, commit: @escaping @Sendable (Int, Item) throws(EmbedFuseError) -> Void) {
    self.limit = limit
    self.commit = commit
    unsafe pthread_mutex_init(mutex, nil)
    unsafe pthread_cond_init(moved, nil)
  }

  deinit {
    unsafe pthread_cond_destroy(moved)
    unsafe pthread_mutex_destroy(mutex)
    unsafe moved.deallocate()
    unsafe mutex.deallocate()
  }

  /// Hands in item number `index`, counted from 0, each number once.
  ///
  /// - Throws: the first failure of a commit, to everyone from then on.
  func submit(_ item: Item, at index: Int) throws(EmbedFuseError) {
    unsafe pthread_mutex_lock(mutex)
    defer { unsafe pthread_mutex_unlock(mutex) }
    while index >= next + limit, failure == nil { unsafe pthread_cond_wait(moved, mutex) }
    if let failure { throw failure }
    waiting[index] = item
    guard !isCommitting else { return }
    isCommitting = true
    defer { isCommitting = false }
    while let item = waiting.removeValue(forKey: next) {
      unsafe pthread_mutex_unlock(mutex)
      var thrown: EmbedFuseError?
      do throws(EmbedFuseError) { try commit(next, item) } catch { thrown = error }
      unsafe pthread_mutex_lock(mutex)
      if let error = failure ?? thrown {
        stop(error)
        throw error
      }
      next += 1
      unsafe pthread_cond_broadcast(moved)
    }
  }

  /// Lets every worker that waits, or comes later, fail with `error`.
  func abandon(_ error: EmbedFuseError) {
    unsafe pthread_mutex_lock(mutex)
    stop(error)
    unsafe pthread_mutex_unlock(mutex)
  }

  /// The number of items committed.
  var committed: Int {
    unsafe pthread_mutex_lock(mutex)
    defer { unsafe pthread_mutex_unlock(mutex) }
    return next
  }

  private func stop(_ error: EmbedFuseError) {
    if failure == nil { failure = error }
    waiting = [:]
    unsafe pthread_cond_broadcast(moved)
  }
}
