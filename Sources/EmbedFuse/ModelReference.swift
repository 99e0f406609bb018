import Checkpoints
import TensorCore

/// How a model is named: a path, or a path and an adapter that is applied to it, `model+adapter`.
enum ModelReference {
  /// True if something stands at a path.
  static func exists(_ path: String) -> Bool { FilePath.kind(of: path) != nil }
}
