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

  /// The names of all methods, as the command takes them, and what parameters each has.
  public static let parameters: KeyValuePairs<String, [String]> = [
    "delta-guided": ["granularity", "magnitude", "power", "balance", "lambda"],
    "soup": ["normalize", "lambda"],
    "task-arithmetic": ["lambda", "normalize"],
  ]

  /// The method of this name with these parameters; what isn't given has its default.
  ///
  /// - Throws: `EmbedFuseError` (usage) for an unknown method or parameter, or a value out of range.
  public init(named name: String, parameters given: [String: String] = [:]) throws(EmbedFuseError) {
    guard let known = Self.parameters.first(where: { $0.key == name })?.value else {
      let names = Self.parameters.map(\.key).joined(separator: ", ")
      throw EmbedFuseError(
        .usage, "there is no method '\(name.printable)'", remedy: "choose one of: \(names)")
    }
    if let unknown = given.keys.sorted().first(where: { !known.contains($0) }) {
      throw EmbedFuseError(
        .usage, "\(name) has no parameter '\(unknown.printable)'",
        remedy: "its parameters are: \(known.joined(separator: ", "))")
    }
    func value<Value>(
      _ key: String, default standard: Value, _ expected: String, _ parse: (String) -> Value?
    ) throws(EmbedFuseError) -> Value {
      guard let text = given[key] else { return standard }
      guard let value = parse(text) else {
        throw EmbedFuseError(.usage, "\(key) is '\(text.printable)'; it must be \(expected)")
      }
      return value
    }
    let lambda = try value(
      "lambda", default: DeltaGuided.Lambda.fixed(1), "a number or auto, auto:tensor, auto:row"
    ) {
      DeltaGuided.Lambda($0)
    }
    let normalize = try value("normalize", default: name == "soup", "true or false") { Bool($0) }
    switch name {
    case "soup":
      self = .soup(normalize: normalize, lambda: lambda)
    case "task-arithmetic":
      guard case .fixed(let number) = lambda else {
        throw EmbedFuseError(
          .usage, "lambda is \(lambda), but task arithmetic takes a number",
          remedy: "use --method soup --lambda \(lambda): task arithmetic that tunes itself")
      }
      self = .taskArithmetic(lambda: number, normalize: normalize)
    default:
      self = .deltaGuided(
        DeltaGuided(
          granularity: try value("granularity", default: .element, "element, row, tensor, layer or model") {
            DeltaGuided.Granularity(rawValue: $0)
          },
          magnitude: try value("magnitude", default: .meanAbs, "mean-abs, rms or relative") {
            DeltaGuided.Magnitude(rawValue: $0)
          },
          power: try value("power", default: 1, "a number") { Double($0) },
          balance: try value("balance", default: .none, "none, model or tensor") {
            DeltaGuided.Balance(rawValue: $0)
          }, lambda: lambda))
    }
    try validate()
  }

  /// The name of the method.
  public var name: String {
    switch self {
    case .deltaGuided: "delta-guided"
    case .soup: "soup"
    case .taskArithmetic: "task-arithmetic"
    }
  }

  /// Every parameter with its value, in the order in which they are documented.
  public var parameterValues: [(name: String, value: String)] {
    switch self {
    case .deltaGuided(let method):
      [
        ("granularity", method.granularity.rawValue), ("magnitude", method.magnitude.rawValue),
        ("power", String(method.power)), ("balance", method.balance.rawValue),
        ("lambda", method.lambda.description),
      ]
    case .soup(let normalize, let lambda):
      [("normalize", String(normalize)), ("lambda", lambda.description)]
    case .taskArithmetic(let lambda, let normalize):
      [("lambda", String(lambda)), ("normalize", String(normalize))]
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
