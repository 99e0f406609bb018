import Synchronization

/// How far a fusion has come; updated by its workers, to be looked at by anyone.
public final class FusionProgress: Sendable {
  private let total = Atomic<Int>(0)
  private let done = Atomic<Int>(0)

  /// Nothing known yet.
  public init() {}

  /// The bytes of inputs to be read, in all passes.
  public var totalBytes: Int { total.load(ordering: .relaxed) }

  /// The bytes of inputs read so far, in all passes.
  public var completedBytes: Int { done.load(ordering: .relaxed) }

  func expect(_ bytes: Int) {
    total.add(bytes, ordering: .relaxed)
  }

  func advance(_ bytes: Int) {
    done.add(bytes, ordering: .relaxed)
  }
}
