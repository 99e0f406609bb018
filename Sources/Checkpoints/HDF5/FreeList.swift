import TensorCore

/// Objects that serve one worker at a time: taken when needed, made when none is free, kept for the next.
final class FreeList<Element: Sendable>: Sendable {
  private let free = Locked<[Element]>([])
  private let make: @Sendable () throws(EmbedFuseError) -> Element

  init(_ make: @escaping @Sendable () throws(EmbedFuseError) -> Element) { self.make = make }

  /// An element that nothing else uses until it is put back.
  func take() throws(EmbedFuseError) -> Element {
    if let kept = free.withLock({ $0.popLast() }) { return kept }
    return try make()
  }

  /// Puts an element back.
  func put(_ element: Element) { free.withLock { $0.append(element) } }
}
