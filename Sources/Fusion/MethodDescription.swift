import TensorCore

/// What a method makes of the base.
public enum MergeSpace: String, Sendable, CaseIterable {
  /// It combines the models' weights themselves; a base is not needed.
  case weights
  /// It combines each model's difference to the base, θ_k − θ₀.
  case deltas
  /// Differences where there is a base, otherwise weights.
  case either
}

/// What a method is: the names under which recipes and commands know it, and where its formula comes from.
public struct MethodDescription: Sendable {
  /// Its name, in the spelling of commands: `dare-ties`. Recipes may write `dare_ties`.
  public let name: String
  /// Other names that it goes by.
  public let aliases: [String]
  /// What it does, in a line.
  public let summary: String
  /// The paper or program that defines it.
  public let reference: String
  /// What it combines.
  public let mergeSpace: MergeSpace
  /// How many models it takes, besides the base.
  public let models: ClosedRange<Int>
  /// Its parameters; `weight` is one of them if the models are weighted.
  public let parameters: [Parameter]
  /// True if it needs another file for each model, such as a Fisher diagonal.
  public let needsCompanions: Bool

  /// A method.
  public init(
    name: String, aliases: [String] = [], summary: String, reference: String, mergeSpace: MergeSpace,
    models: ClosedRange<Int> = 1...Int.max, parameters: [Parameter], needsCompanions: Bool = false
  ) {
    self.name = name
    self.aliases = aliases
    self.summary = summary
    self.reference = reference
    self.mergeSpace = mergeSpace
    self.models = models
    self.parameters = parameters
    self.needsCompanions = needsCompanions
  }

  /// The parameter of this name, in either spelling.
  public func parameter(named name: String) -> Parameter? {
    let wanted = name.replacing("_", with: "-")
    return parameters.first { $0.name.replacing("_", with: "-") == wanted }
  }
}

/// A parameter of a method, with the values it may take.
public struct Parameter: Sendable {
  /// Who has a value of it.
  public enum Scope: Sendable {
    /// The whole recipe; it shapes the passes and can't differ from tensor to tensor.
    case method
    /// Every tensor.
    case tensor
    /// Every model, in every tensor.
    case model
  }

  /// The values it may take.
  public enum Domain: Sendable {
    /// Finite numbers in a range.
    case number(ClosedRange<Double>)
    /// Whole numbers in a range.
    case integer(ClosedRange<Int>)
    /// True or false.
    case flag
    /// One of these words.
    case choice([String])
    /// A number, or one of these words.
    case numberOr([String])
  }

  /// Its name.
  public let name: String
  /// Who has a value of it.
  public let scope: Scope
  /// The values it may take.
  public let domain: Domain
  /// Its default, as a recipe would write it; nil if a value must be given.
  public let standard: String?
  /// What it is, in a line.
  public let summary: String

  /// A parameter.
  public init(
    _ name: String, _ scope: Scope, _ domain: Domain, standard: String?, _ summary: String
  ) {
    self.name = name
    self.scope = scope
    self.domain = domain
    self.standard = standard
    self.summary = summary
  }

  /// All finite numbers.
  public static let anyNumber = -Double.greatestFiniteMagnitude...Double.greatestFiniteMagnitude

  /// A weight for each model, 1 if not given.
  public static let weight = Parameter(
    "weight", .model, .number(anyNumber), standard: "1", "how much each model counts")

  /// λ, 1 if not given.
  public static let lambda = Parameter(
    "lambda", .tensor, .number(anyNumber), standard: "1", "scale of the fused delta")

  /// What the values are, for messages.
  public var expectation: String {
    func text(_ value: Double) -> String { value == value.rounded() ? String(Int(value)) : String(value) }
    switch domain {
    case .number(let range):
      let low = range.lowerBound == -.greatestFiniteMagnitude ? nil : range.lowerBound
      let high = range.upperBound == .greatestFiniteMagnitude ? nil : range.upperBound
      return switch (low, high) {
      case (let low?, let high?): "a number from \(text(low)) to \(text(high))"
      case (let low?, nil): "a number, at least \(text(low))"
      case (nil, let high?): "a number, at most \(text(high))"
      default: "a finite number"
      }
    case .integer(let range):
      return range.upperBound == Int.max
        ? "a whole number, at least \(range.lowerBound)"
        : "a whole number from \(range.lowerBound) to \(range.upperBound)"
    case .flag: return "true or false"
    case .choice(let words): return words.joined(separator: ", ")
    case .numberOr(let words): return "a number or \(words.joined(separator: ", "))"
    }
  }

  /// The number that stands for a value: itself, 1 or 0 for a flag, the place of a word among the words; nil if the
  /// parameter can't have that value.
  public func number(for text: String) -> Double? {
    switch domain {
    case .number(let range):
      let value = text == "true" ? 1 : text == "false" ? 0 : Double(text)
      guard let value, value.isFinite, range.contains(value) else { return nil }
      return value
    case .integer(let range):
      guard let value = Double(text), let whole = Int(exactly: value), range.contains(whole) else {
        return nil
      }
      return value
    case .flag:
      switch text {
      case "true", "1", "1.0": return 1
      case "false", "0", "0.0": return 0
      default: return nil
      }
    case .choice(let words): return words.firstIndex(of: text).map { Double($0) }
    case .numberOr(let words):
      if let value = Double(text) { return value.isFinite ? value : nil }
      return words.firstIndex(of: text).map { Double($0) }
    }
  }
}

/// What shapes a method beyond the settings of single tensors.
public struct MethodOptions: Sendable, Hashable {
  /// The parameters with the scope `method` that were given, by name.
  public var parameters: [String: String]
  /// The key of all random numbers.
  public var seed: UInt64
  /// True for mergekit 0.1.5's results where these are fragile, too.
  public var followsMergekit: Bool

  /// Options; the defaults of all if none are given.
  public init(_ parameters: [String: String] = [:], seed: UInt64 = 0, followsMergekit: Bool = false) {
    self.parameters = parameters
    self.seed = seed
    self.followsMergekit = followsMergekit
  }
}
