import TensorCore

/// The methods that embedfuse comes with.
public enum FusionMethods {
  /// All of them, in the order in which they are documented.
  public static let all: [any FusionMethod.Type] = [
    DeltaGuided.self, Soup.self, TaskArithmetic.self,
    Ties.self, DareLinear.self, DareTies.self, Dare.self, Della.self, DellaLinear.self, Breadcrumbs.self,
    BreadcrumbsTies.self, SCE.self, RAM.self, RAMPlus.self, MagMax.self, TallConsensus.self, EMRUnified.self,
    PCB.self, Widen.self, Lines.self, ModelStock.self,
    Slerp.self, NuSlerp.self, MultiSlerp.self, Karcher.self, NearSwap.self, ArceeFusion.self,
    Passthrough.self, Fisher.self, GeometricMedian.self, Median.self, TrimmedMean.self,
  ]

  /// The method of this name, in either spelling (`dare-ties`, `dare_ties`); nil if there is none.
  public static func named(_ name: String) -> (any FusionMethod.Type)? {
    let wanted = name.replacing("_", with: "-")
    return all.first { $0.description.name == wanted || $0.description.aliases.contains(wanted) }
  }
}
