import Synchronization
import TensorCore

/// Objects that serve one worker at a time: taken when needed, made when none is free, kept for the next.
final class FreeList<Element: Sendable>: Sendable {
  private let free = Mutex<[Element]>([])
  private let make: @Sendable () throws(EmbedFuseError) -> Element

  init(_ make: @escaping @Sendable () throws(EmbedFuseError) -> Element) { self.make = make }

  /// Calls `body` with an element that nothing else uses meanwhile.
  func withElement<Result>(
    _ body: (Element) throws(EmbedFuseError) -> Result
  ) throws(EmbedFuseError) -> Result {
    let element: Element
    if let kept = free.withLock({ $0.popLast() }) { element = kept } else { element = try make() }
    defer { free.withLock { $0.append(element) } }
    return try body(element)
  }
}
