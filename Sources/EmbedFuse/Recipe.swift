import Checkpoints
import Fusion
import TensorCore

/// What to fuse and how: everything that, with the inputs' contents, decides the output's bytes.
public struct Recipe: Sendable {
  /// The pretrained initialization θ₀: decides names, order, configuration and tokenizer. A method that
  /// averages weights can do without; its first model then takes that place.
  public var base: String?
  /// The fine-tunes θ₁…θ_K.
  public var models: [String]
  /// The method and its parameters.
  public var method: MethodSettings
  /// The weight c_k of each model; empty for 1 each.
  public var weights: [TensorValue]
  /// The element type of fused tensors; nil for the base's own.
  public var elementType: ElementType?
  /// What to do about tensors that some inputs lack.
  public var missing: MissingPolicy
  /// What to do about NaN and infinity in an input.
  public var nonFinite: NonFinitePolicy
  /// The input whose configuration and tokenizer files the output gets, counted with the base as 0; nil for
  /// the base.
  public var configFrom: Int?

  /// A recipe with the product's defaults: delta-guided fusion by element.
  public init(
    base: String? = nil, models: [String], method: MethodSettings = .deltaGuided(DeltaGuided()),
    weights: [TensorValue] = [], elementType: ElementType? = nil, missing: MissingPolicy = .error,
    nonFinite: NonFinitePolicy = .error, configFrom: Int? = nil
  ) {
    self.base = base
    self.models = models
    self.method = method
    self.weights = weights
    self.elementType = elementType
    self.missing = missing
    self.nonFinite = nonFinite
    self.configFrom = configFrom
  }

  /// The paths of all inputs, the base first if there is one.
  public var inputs: [String] { (base.map { [$0] } ?? []) + models }
}

/// What to do about a tensor that some inputs lack.
public enum MissingPolicy: String, Sendable, CaseIterable {
  /// Stop and list all of them.
  case error
  /// Keep the base's tensor as it is; leave out what the base lacks.
  case base
  /// Leave the tensor out.
  case drop
}

/// A number that may differ from tensor to tensor: the first rule that a name satisfies decides.
public struct TensorValue: Sendable, Hashable, ExpressibleByFloatLiteral, ExpressibleByIntegerLiteral {
  /// A value for the tensors whose name contains a text; nil for all.
  public struct Rule: Sendable, Hashable {
    /// The text to look for, case-sensitive; nil matches every name.
    public var filter: String?
    /// The value of the tensors that match.
    public var value: Double

    /// A rule.
    public init(filter: String?, value: Double) {
      self.filter = filter
      self.value = value
    }
  }

  /// The rules in order.
  public var rules: [Rule]

  /// A value by rules.
  public init(rules: [Rule]) {
    self.rules = rules
  }

  /// The same value for every tensor.
  public init(_ value: Double) {
    rules = [Rule(filter: nil, value: value)]
  }

  /// The same value for every tensor.
  public init(floatLiteral value: Double) { self.init(value) }

  /// The same value for every tensor.
  public init(integerLiteral value: Int) { self.init(Double(value)) }

  /// The value for a tensor, or nil if no rule matches its name.
  public func value(for name: String) -> Double? {
    rules.first { rule in rule.filter.map { $0.isEmpty || name.contains($0) } ?? true }?.value
  }
}
