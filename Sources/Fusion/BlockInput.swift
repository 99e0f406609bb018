import Kernels
import TensorCore

/// What to do about NaN and infinity in an input.
public enum NonFinitePolicy: String, Sendable, CaseIterable {
  /// Stop, naming the tensor and the element.
  case error
  /// Take the base's value in its place.
  case base
  /// Compute with it.
  case allow
}

/// An input that the runner reads: who it is, and the type of its elements in the tensor at hand.
public struct BlockInput: Sendable {
  /// The input's name in messages: its path as the user gave it.
  public let path: String
  /// The tensor's name in that input.
  public let tensor: String
  /// The stored type of its elements.
  public let elementType: ElementType

  /// An input's tensor.
  public init(path: String, tensor: String, elementType: ElementType) {
    self.path = path
    self.tensor = tensor
    self.elementType = elementType
  }
}
