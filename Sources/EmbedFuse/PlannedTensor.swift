import Checkpoints
import Fusion
import TensorCore

/// One tensor of the output and where it comes from.
struct PlannedTensor: Sendable {
  /// How it is made.
  enum Making: Sendable {
    /// Fused from the sources: the base if there is one, the models, then their companions.
    case fuse(TensorContext)
    /// Carried over from the first source.
    case copy
  }

  /// Name (with its module folder, if any), element type and shape in the output.
  let info: TensorInfo
  /// How it is made.
  let making: Making
  /// The tensors read; for a copy, the one that is copied.
  let sources: [Source]
  /// True if the first source is the base.
  let hasBase: Bool
  /// Which of the recipe's models are fused, in the order of the context's.
  let models: [Int]
  /// The parameters that hold for it.
  let parameters: [ResolvedParameter]

  /// A tensor of one input.
  struct Source: Sendable {
    /// The input's place in the plan.
    let input: Int
    /// The tensor.
    let tensor: StoredTensor

    /// True for the same tensor of the same input.
    func isSame(as other: Source) -> Bool {
      input == other.input && tensor.info.name == other.tensor.info.name
    }
  }

  /// The context of a fused tensor.
  var context: TensorContext? {
    if case .fuse(let context) = making { context } else { nil }
  }
}
