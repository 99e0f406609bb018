import Checkpoints
import Fusion
import TensorCore

/// A method with its parameters, as a recipe names it.
public enum MethodSettings: Sendable {
  /// Weights from each parameter's deviation from initialization.
  case deltaGuided(DeltaGuided)
  /// Model Soups: the weighted mean, or, not normalised, the weighted sum. A λ other than 1 scales the mean's
  /// difference to the base.
  case soup(normalize: Bool = true, lambda: DeltaGuided.Lambda = .fixed(1))
  /// The base plus the scaled sum of weighted deltas.
  case taskArithmetic(lambda: Double = 1, normalize: Bool = false)

  /// The names of all methods, as the command takes them.
  public static let names = ["delta-guided", "soup", "task-arithmetic"]

  /// The name of the method.
  public var name: String {
    switch self {
    case .deltaGuided: "delta-guided"
    case .soup: "soup"
    case .taskArithmetic: "task-arithmetic"
    }
  }

  /// The method itself.
  public var method: any FusionMethod {
    switch self {
    case .deltaGuided(let method): method
    case .soup(let normalize, .fixed(1)): Soup(normalize: normalize)
    case .soup(_, let lambda): DeltaGuided(granularity: .model, power: 0, lambda: lambda)
    case .taskArithmetic(let lambda, let normalize): TaskArithmetic(lambda: lambda, normalize: normalize)
    }
  }

  /// Checks what the parameters' types leave open.
  ///
  /// - Throws: `EmbedFuseError` (usage) naming the parameter and its range.
  func validate() throws(EmbedFuseError) {
    func check(_ name: String, _ value: Double) throws(EmbedFuseError) {
      guard value.isFinite else {
        throw EmbedFuseError(.usage, "\(name) is \(value); it must be a finite number")
      }
    }
    switch self {
    case .deltaGuided(let method):
      try check("--power", method.power)
      if case .fixed(let lambda) = method.lambda { try check("--lambda", lambda) }
    case .soup(let normalize, let lambda):
      if case .fixed(let lambda) = lambda { try check("--lambda", lambda) }
      guard normalize || lambda == .fixed(1) else {
        throw EmbedFuseError(
          .usage, "--lambda scales a mean, but normalize=false asks for a plain sum",
          remedy: "leave one of the two out, or use --method task-arithmetic")
      }
    case .taskArithmetic(let lambda, _): try check("--lambda", lambda)
    }
  }

  /// Checks the weights of one tensor against what the method can do with them.
  func validate(weights: [Double], of tensor: String) throws(EmbedFuseError) {
    if let bad = weights.first(where: { !$0.isFinite }) {
      throw EmbedFuseError(.usage, "the weight \(bad) is not a finite number", tensor: tensor)
    }
    let total = weights.reduce(0, +)
    switch self {
    case .deltaGuided:
      guard weights.allSatisfy({ $0 >= 0 }), total > 0 else {
        throw EmbedFuseError(
          .usage, "the weights \(weights) of delta-guided fusion must be 0 or more, and not all 0",
          tensor: tensor, remedy: "to subtract a model, use --method task-arithmetic")
      }
    case .soup(normalize: true, _):
      guard total != 0 else {
        throw EmbedFuseError(
          .usage, "the weights \(weights) sum to 0, so their mean is undefined", tensor: tensor,
          remedy: "choose other weights, or --set normalize=false for the plain weighted sum")
      }
    case .soup, .taskArithmetic: break
    }
  }
}
