import Kernels
import TensorCore

/// Model breadcrumbs: drop the largest and the smallest elements of each delta and sum the rest (Davari and
/// Belilovsky, arXiv 2312.06795).
public typealias Breadcrumbs = SelectedDeltas<MiddlingDeltas<WithoutElection>>

/// Model breadcrumbs with the election of TIES.
public typealias BreadcrumbsTies = SelectedDeltas<MiddlingDeltas<WithElection>>

/// Whether a sign is elected: what sets `breadcrumbs-ties` apart from `breadcrumbs`.
public protocol Election: Sendable {
  /// True if it is.
  static var takesPlace: Bool { get }
}

/// A sign is elected.
public enum WithElection: Election {
  /// It is.
  public static let takesPlace = true
}

/// All deltas are summed.
public enum WithoutElection: Election {
  /// It isn't.
  public static let takesPlace = false
}

/// The selection of model breadcrumbs, as mergekit 0.1.5 defines it.
///
/// With T = ⌊density·n⌋, top = ⌊γ·n⌋ and bottom = max(0, n − T − top), the elements at the ranks bottom ..< bottom + T
/// by ascending size are kept; of equal ones the lowest flat index counts as the largest. Besides the fusing pass it
/// takes one to three.
public struct MiddlingDeltas<E: Election>: DeltaSelection {
  /// `weight`, `density`, `gamma`, `lambda`, `normalize` and `rescale`.
  public static var description: MethodDescription {
    MethodDescription(
      name: E.takesPlace ? "breadcrumbs-ties" : "breadcrumbs",
      summary: E.takesPlace
        ? "breadcrumbs with an elected sign" : "drop the largest and smallest elements of each delta",
      reference: "Davari and Belilovsky, Model Breadcrumbs, arXiv 2312.06795; mergekit 0.1.5",
      mergeSpace: .deltas,
      parameters: parameters(
        normalize: false, rescale: false,
        [
          Parameter(
            "gamma", .model, .number(0...1), standard: "0.01", "share of the largest elements that is dropped"
          )
        ]))
  }
  /// As the method's name says.
  public static var elects: Bool { E.takesPlace }

  /// The selection.
  public init(_ options: MethodOptions) {}

  /// Ranks of the sizes.
  public func stages(for tensor: TensorContext) -> [Stage] {
    tensor.values("density").contains { $0 < 1 }
      ? [Stage(over: .tensor, .ranks(channels: tensor.modelCount, of: .deltaSizes))] : []
  }

  /// The first rank that is kept, and the first above those.
  public func ranks(elementCount n: Int, in tensor: TensorContext) -> [[Rank]] {
    zip(tensor.values("density"), tensor.values("gamma")).map { density, gamma in
      guard density < 1 else { return [] }
      let target = Int((density * Double(n)).rounded(.down))
      let bottom = max(0, n - target - Int((gamma * Double(n)).rounded(.down)))
      guard target > 0 else { return [] }
      return (bottom + target < n ? [bottom, bottom + target] : [bottom]).map(Rank.place)
    }
  }

  /// Where equal sizes are divided.
  public func cuts(known: Known, in tensor: TensorContext) -> [Int] {
    boundaries(known, in: tensor).flatMap { [$0?.from.index, $0?.to?.index].compactMap { $0 } }
  }

  /// What lies between the boundaries.
  public func kept(of elements: Range<Int>, known: Known, in tensor: TensorContext) -> [KeptDeltas]? {
    zip(boundaries(known, in: tensor), tensor.values("density")).map { boundary, density in
      guard let boundary else { return KeptDeltas(sizes: density < 1 ? nil : 0...Double.infinity) }
      let least = boundary.from.least(for: elements)
      let greatest = boundary.to?.greatestBelow(for: elements) ?? .infinity
      return KeptDeltas(sizes: least > greatest ? nil : least...greatest)
    }
  }

  /// The first boundary that is kept and the first that isn't any more, of each model that has them.
  private func boundaries(_ known: Known, in tensor: TensorContext) -> [(from: Boundary, to: Boundary?)?] {
    var place = 0
    return ranks(elementCount: tensor.shape.elementCount, in: tensor).map { ranks in
      guard !ranks.isEmpty else { return nil }
      defer { place += ranks.count }
      return (Boundary(known[0], at: place), ranks.count > 1 ? Boundary(known[0], at: place + 1) : nil)
    }
  }
}
