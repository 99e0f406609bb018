import Kernels
import TensorCore

/// DARE as mergekit 0.1.5 has it, summed: each element is kept with probability `density`, and what is kept is scaled
/// so that Σ|δ| stays (Yu et al., arXiv 2311.03099).
public typealias DareLinear = SelectedDeltas<RandomDeltas<MergekitsDare<WithoutElection>>>

/// DARE as mergekit 0.1.5 has it, with the election of TIES.
public typealias DareTies = SelectedDeltas<RandomDeltas<MergekitsDare<WithElection>>>

/// DARE as the paper has it: what is kept is divided by the density, so that its expectation stays.
public typealias Dare = SelectedDeltas<RandomDeltas<PapersDare>>

/// The selection of DARE: every element is kept with probability `density`, by a generator that is a function of the
/// seed, the tensor's name, the model and the element's index.
public struct RandomDeltas<Variant: DareVariant>: DeltaSelection {
  /// The variant's.
  public static var description: MethodDescription { Variant.description }
  /// The variant's.
  public static var elects: Bool { Variant.elects }

  private let seed: UInt64

  /// The selection.
  public init(_ options: MethodOptions) {
    seed = options.seed
  }

  /// Each element with the probability that is the model's density.
  public func kept(of elements: Range<Int>, known: Known, in tensor: TensorContext) -> [KeptDeltas]? {
    tensor.values("density").enumerated().map { k, density in
      KeptDeltas(probability: density, key: tensor.randomKey(seed: seed, model: k))
    }
  }

  /// The variant's, of the model's density.
  public func factor(ofModel k: Int, in tensor: TensorContext) -> Double {
    Variant.factor(density: tensor.values("density")[k])
  }
}

/// What the variants of DARE differ in.
public protocol DareVariant: Sendable {
  /// The method's name, parameters and source.
  static var description: MethodDescription { get }
  /// True if a sign is elected.
  static var elects: Bool { get }
  /// What is kept at a density is multiplied by this, unless it is rescaled to the size of the whole.
  static func factor(density: Double) -> Double
}

/// As mergekit 0.1.5 has it: scaled to the size of the whole, if at all.
public enum MergekitsDare<E: Election>: DareVariant {
  /// `weight`, `density`, `lambda`, `normalize` and `rescale`.
  public static var description: MethodDescription {
    MethodDescription(
      name: E.takesPlace ? "dare-ties" : "dare-linear",
      summary: E.takesPlace
        ? "keep random elements, elect a sign, merge what agrees"
        : "keep random elements of each delta, scaled to the size of the whole",
      reference: "Yu et al., Language Models are Super Mario, arXiv 2311.03099; mergekit 0.1.5",
      mergeSpace: .deltas, parameters: RandomDeltas<Self>.parameters(normalize: false, rescale: true))
  }
  /// As the method's name says.
  public static var elects: Bool { E.takesPlace }
  /// 1.
  public static func factor(density: Double) -> Double { 1 }
}

/// As the paper has it: divided by the density.
public enum PapersDare: DareVariant {
  /// `weight`, `density`, `lambda` and `normalize`.
  public static let description = MethodDescription(
    name: "dare", summary: "keep random elements of each delta, divided by the density",
    reference: "Yu et al., Language Models are Super Mario, arXiv 2311.03099", mergeSpace: .deltas,
    parameters: RandomDeltas<Self>.parameters(normalize: false, rescale: false).filter {
      !["rescale", "int8_mask"].contains($0.name)
    } + [Parameter("rescale", .tensor, .choice(["false"]), standard: "false", "always by 1/density")])
  /// All are summed.
  public static let elects = false
  /// 1/density.
  public static func factor(density: Double) -> Double { density > 0 ? 1 / density : 1 }
}
