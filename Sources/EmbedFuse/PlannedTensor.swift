import Checkpoints
import Fusion
import TensorCore

/// One tensor of the output and where it comes from.
struct PlannedTensor: Sendable {
  /// How it is made.
  enum Making: Sendable {
    /// Fused from the inputs: `sources[j]` is input j's tensor. Context and inputs are as the method sees them.
    case fuse(TensorContext)
    /// Carried over from the first source.
    case copy
  }

  /// Name (with its module folder, if any), element type and shape in the output.
  let info: TensorInfo
  /// How it is made.
  let making: Making
  /// The tensors read, in the order of the plan's inputs; for a copy, the one that is copied.
  let sources: [Source]

  /// A tensor of one input.
  struct Source: Sendable {
    /// The input's place in the plan.
    let input: Int
    /// The tensor.
    let tensor: StoredTensor
  }

  /// The context of a fused tensor.
  var context: TensorContext? {
    if case .fuse(let context) = making { context } else { nil }
  }
}
