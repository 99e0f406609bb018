import EmbedFuse
import Foundation
import Kernels

/// The tensors of a checkpoint, read whole, for comparing small files.
public struct TensorValues: Sendable {
  /// Each tensor's description and bytes, by name.
  public let tensors: [String: (info: TensorInfo, bytes: [UInt8])]

  /// Reads everything a model holds, through its storage, `step` elements at a time.
  public init(_ path: String, step: Int = 1000) throws {
    try self.init(try ModelSource.open(path), step: step)
  }

  /// Reads everything a model holds, through its storage, `step` elements at a time.
  public init(_ model: ModelSource, step: Int = 1000) throws {
    var tensors: [String: (info: TensorInfo, bytes: [UInt8])] = [:]
    for tensor in model.tensors {
      let info = tensor.stored.info
      var bytes: [UInt8] = []
      var start = 0
      while start < info.shape.elementCount {
        let end = min(start + step, info.shape.elementCount)
        var part = [UInt8](repeating: 0, count: info.elementType.byteCount(ofElements: end - start))
        var span = part.mutableSpan
        try tensor.stored.storage.read(start..<end, into: &span)
        bytes += part
        start = end
      }
      tensors[tensor.name] = (info, bytes)
    }
    self.tensors = tensors
  }

  /// The names, sorted.
  public var names: [String] { tensors.keys.sorted() }

  /// A tensor's values, if they are of a type to compute with.
  public func doubles(_ name: String) -> [Double] {
    guard let (info, bytes) = tensors[name], info.elementType.isFusable else { return [] }
    var values = [Double](repeating: 0, count: info.shape.elementCount)
    var span = values.mutableSpan
    _ = widen(bytes.span, as: info.elementType, into: &span)
    return values
  }
}
