import Kernels
import TensorCore

/// Delta-guided fusion: every group of elements takes from each model in proportion to how far that model moved
/// there from its initialization θ₀.
///
/// With δ_k = θ_k − θ₀, in every group g of elements
///
///     m_k(g) = magnitude of δ_k over g
///     w_k(g) = c_k·m_k(g)^p / Σ_j c_j·m_j(g)^p
///     θ(g)   = θ₀(g) + λ·Σ_k w_k(g)·δ_k(g)
///
/// After the idea of CoDiEmb (arXiv 2508.11442), which derives fine-grained merging weights from each
/// parameter's deviation from initialization; the paper's own formula is not claimed. p = 0 is the uniform soup,
/// p = 2 with RMS at tensor scale SCE's coefficient (arXiv 2408.07990) without its cut-off.
public struct DeltaGuided: CombiningMethod {
  /// `weight` and what the initializer takes.
  public static let description = MethodDescription(
    name: "delta-guided", summary: "weights from each parameter's deviation from initialization",
    reference: "after the idea of CoDiEmb, arXiv 2508.11442", mergeSpace: .deltas,
    parameters: [
      .weight,
      Parameter(
        "granularity", .method, .choice(Granularity.allCases.map(\.rawValue)), standard: "element",
        "the elements that share their weights"),
      Parameter(
        "magnitude", .method, .choice(Magnitude.allCases.map(\.rawValue)), standard: "mean-abs",
        "how the size of a delta is measured"),
      Parameter(
        "power", .method, .number(Parameter.anyNumber), standard: "1", "exponent of the magnitudes"),
      Parameter(
        "balance", .method, .choice(Balance.allCases.map(\.rawValue)), standard: "none",
        "what magnitudes are divided by first"),
      Parameter(
        "lambda", .method, .numberOr(["auto", "auto:tensor", "auto:row"]), standard: "1",
        "scale of the fused delta"),
    ])

  /// The elements that share their weights.
  public enum Granularity: String, Sendable, CaseIterable {
    /// Each element by itself; every magnitude is |δ|.
    case element
    /// A row along the last axis; a 1-D tensor is one row.
    case row
    /// A tensor: a learnable parameter in the framework's sense.
    case tensor
    /// The tensors of a layer, as `LayerName` groups them.
    case layer
    /// All tensors.
    case model
  }

  /// How the size of a delta over a group is measured.
  public enum Magnitude: String, Sendable, CaseIterable {
    /// The mean of |δ|.
    case meanAbs = "mean-abs"
    /// The root of the mean of δ².
    case rms
    /// The mean over the group's tensors of ‖δ‖₂/‖θ₀‖₂ (denominator 1 where θ₀ is all zero), so that a few
    /// large tensors don't decide. At tensor scale and finer it gives the weights of `rms`.
    case relative
  }

  /// What each model's magnitudes are divided by first, so that only where a model moved counts, not how far
  /// in all.
  public enum Balance: String, Sendable, CaseIterable {
    /// Nothing.
    case none
    /// Its delta's RMS over the model.
    case model
    /// Its delta's RMS over each tensor.
    case tensor
  }

  /// The scale of the fused delta.
  public enum Lambda: Sendable, Hashable {
    /// A number.
    case fixed(Double)
    /// Σ_k‖w_k δ_k‖₂ / ‖Σ_k w_k δ_k‖₂ over the model, which keeps the modulus that averaging loses; 1 where the
    /// denominator is 0. Never below 1.
    case auto
    /// The same over each tensor.
    case autoTensor
    /// The same over each row.
    case autoRow
  }

  /// The elements that share their weights.
  public let granularity: Granularity
  /// How a delta's size is measured.
  public let magnitude: Magnitude
  /// The exponent p of the magnitudes; any finite number.
  public let power: Double
  /// What magnitudes are divided by first.
  public let balance: Balance
  /// The scale of the fused delta.
  public let lambda: Lambda

  /// What the stages have found so far.
  var knowledge = Knowledge()
  /// What its stages are for, in their order.
  let purposes: [Purpose]

  /// Delta-guided fusion; the defaults are the product's.
  public init(
    granularity: Granularity = .element, magnitude: Magnitude = .meanAbs, power: Double = 1,
    balance: Balance = .none, lambda: Lambda = .fixed(1)
  ) {
    self.granularity = granularity
    self.magnitude = magnitude
    self.power = power
    self.balance = balance
    self.lambda = lambda
    // With p = 0 no magnitude matters.
    let takesTensors = power != 0 && (balance != .none || (granularity != .element && granularity != .row))
    purposes =
      (takesTensors ? [.tensorMagnitudes] : [])
      + (power != 0 && granularity == .row ? [.rowMagnitudes] : [])
      + (lambda.isFixed ? [] : [.norms])
  }

  /// Delta-guided fusion as a recipe names it.
  public init(_ options: MethodOptions) {
    func value<Value>(_ name: String, _ parse: (String) -> Value?, default standard: Value) -> Value {
      options.parameters[name].flatMap(parse) ?? standard
    }
    self.init(
      granularity: value("granularity", Granularity.init, default: .element),
      magnitude: value("magnitude", Magnitude.init, default: .meanAbs),
      power: value("power", Double.init, default: 1),
      balance: value("balance", Balance.init, default: .none),
      lambda: value("lambda", Lambda.init, default: .fixed(1)))
  }

  /// True.
  public func weighsByRatios(_ tensor: TensorContext) -> Bool { true }

  /// Weights are shares: none may be negative, and some must be more than 0.
  public func validate(_ tensor: TensorContext) throws(EmbedFuseError) {
    guard !tensor.priors.allSatisfy({ $0 >= 0 }) || tensor.priors.reduce(0, +) <= 0 else { return }
    throw EmbedFuseError(
      .usage, "the weights \(tensor.priors) of delta-guided fusion must be 0 or more, and not all 0",
      tensor: tensor.name, remedy: "to subtract a model, use --method task-arithmetic")
  }

  /// The magnitudes from which the tensor's group got its weights; empty at row and element granularity.
  public func magnitudes(of tensor: TensorContext, known: Known) -> [Double] {
    guard weighsWholeTensors, power != 0 else { return [] }
    return knowledge.magnitudes.isEmpty
      ? Array(known[0].prefix(tensor.modelCount)) : knowledge.magnitudes[tensor.index]
  }
}

extension DeltaGuided {
  /// What the stages over the model find out, by tensor.
  struct Knowledge: Sendable {
    /// What each model's magnitudes are multiplied by, for balance over the model; empty for 1.
    var scales: [Double] = []
    /// The same by tensor, for balance within tensors.
    var tensorScales: [[Double]] = []
    /// The magnitudes of the tensor's group, where groups are layers or the model.
    var magnitudes: [[Double]] = []
    /// The weights of the tensor's group, where groups are layers or the model.
    var weights: [[Double]] = []
    /// The scale of the fused delta where it is chosen over the model.
    var lambda = 1.0
  }
}

extension DeltaGuided.Lambda: CustomStringConvertible {
  /// Reads a number, `auto`, `auto:tensor` or `auto:row`.
  public init?(_ text: String) {
    switch text {
    case "auto": self = .auto
    case "auto:tensor": self = .autoTensor
    case "auto:row": self = .autoRow
    default:
      guard let value = Double(text) else { return nil }
      self = .fixed(value)
    }
  }

  /// True if it isn't derived from the deltas.
  var isFixed: Bool { if case .fixed = self { true } else { false } }

  /// As `init(_:)` reads it.
  public var description: String {
    switch self {
    case .fixed(let value): String(value)
    case .auto: "auto"
    case .autoTensor: "auto:tensor"
    case .autoRow: "auto:row"
    }
  }
}
