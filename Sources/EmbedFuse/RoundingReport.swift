import Fusion
import Kernels
import TensorCore

/// What rounding to the output's types did to a fusion: which deltas it made vanish, what grew too large or too small.
public struct RoundingReport: Sendable, Hashable {
  /// What it did to some tensors.
  public struct Counts: Sendable, Hashable {
    /// Elements whose exact fused value differs from the base's; nil where the base wasn't read, or the type has more
    /// than 16 bits.
    public let moved: Int?
    /// Elements among them whose rounded value is the base's, rounded likewise; nil where `moved` is.
    public let vanished: Int?
    /// Finite values that became infinite, or NaN where the type has no infinity.
    public let overflowed: Int
    /// Values that became 0 and weren't.
    public let underflowed: Int
    /// Values that were infinite or NaN before they were rounded, although all inputs were finite: the arithmetic has left
    /// the range of binary64. 0 where inputs may hold such values. It isn't among what programs and manifests are told.
    public let nonFinite: Int

    /// The share of the deltas that vanished; nil where there were none.
    public var vanishedShare: Double? {
      guard let moved, let vanished, moved > 0 else { return nil }
      return Double(vanished) / Double(moved)
    }

    /// The counts for programs.
    public var json: JSON {
      var object = JSON.Object()
      if let moved, let vanished {
        object["moved"] = .number(moved)
        object["vanished"] = .number(vanished)
      }
      object["overflowed"] = .number(overflowed)
      object["underflowed"] = .number(underflowed)
      return .object(object)
    }
  }

  /// What it did to one tensor.
  public struct Tensor: Sendable, Hashable {
    /// The tensor's name.
    public let name: String
    /// The narrowest type that its values were rounded to.
    public let elementType: ElementType
    /// The counts.
    public let counts: Counts
  }

  /// The fused tensors of less than binary64, and those of binary64 in which something was computed that isn't finite, in
  /// the order of the output.
  public let tensors: [Tensor]

  /// A tensor of which a larger share of the deltas has vanished gives reason for a warning.
  public static let vanishedShareLimit = 0.01
}

extension RoundingReport {
  /// The counts of all tensors together.
  public var total: Counts {
    let compared = tensors.filter { $0.counts.moved != nil }
    func sum(_ values: [Int?]) -> Int { values.reduce(0) { $0 + ($1 ?? 0) } }
    return Counts(
      moved: compared.isEmpty ? nil : sum(compared.map(\.counts.moved)),
      vanished: compared.isEmpty ? nil : sum(compared.map(\.counts.vanished)),
      overflowed: sum(tensors.map(\.counts.overflowed)), underflowed: sum(tensors.map(\.counts.underflowed)),
      nonFinite: sum(tensors.map(\.counts.nonFinite)))
  }

  /// The types of at most 16 bits that values were rounded to, in the order of the output.
  public var narrowTypes: [ElementType] {
    tensors.map(\.elementType).reduce(into: []) {
      if $1.bitWidth <= 16, !$0.contains($1) { $0.append($1) }
    }
  }

  /// What rounding did in one line; nil if no type is narrower than F32 and nothing was lost.
  public var summary: String? {
    let total = total
    guard !narrowTypes.isEmpty || total.overflowed + total.underflowed > 0 else { return nil }
    let types = (narrowTypes.isEmpty ? [.f32] : narrowTypes).map(\.name).joined(separator: ", ")
    var parts: [String] = []
    if let moved = total.moved, let vanished = total.vanished {
      parts.append(
        moved == 0
          ? "no element moved"
          : "\(Self.percent(total.vanishedShare ?? 0)) of \(moved) deltas vanished"
            + (vanished > 0 && vanished < moved / 100_000 ? " (\(vanished))" : ""))
    }
    parts.append("\(total.overflowed) overflowed, \(total.underflowed) became 0")
    return "rounding to \(types): \(parts.joined(separator: "; "))"
  }

  /// What gives reason to worry, a line each: the tensors that lost more than 1 % of their deltas, overflows, and what was
  /// computed that isn't finite.
  public var warnings: [String] {
    var result: [String] = []
    let lossy = tensors.filter { ($0.counts.vanishedShare ?? 0) > Self.vanishedShareLimit }
      .sorted { $0.counts.vanishedShare! > $1.counts.vanishedShare! }
    if !lossy.isEmpty {
      let names = lossy.prefix(3).map { "\($0.name.printable) \(Self.percent($0.counts.vanishedShare!))" }
      result.append(
        "rounding to \(Self.types(of: lossy)) made more than 1 % of the deltas vanish in \(lossy.count) of \(tensors.count) tensors (\(lossy.count > 3 ? "worst: " : "")\(names.joined(separator: ", "))); --dtype f32 keeps them"
      )
    }
    let overflown = tensors.filter { $0.counts.overflowed > 0 }
      .sorted { $0.counts.overflowed > $1.counts.overflowed }
    if !overflown.isEmpty {
      let names = overflown.prefix(3).map { "\($0.name.printable) \($0.counts.overflowed)" }
      let wide = overflown.contains { $0.elementType.bitWidth > 16 } ? "f64" : "f32"
      result.append(
        "values too large for \(Self.types(of: overflown)) became infinite or NaN in \(overflown.count) of \(tensors.count) tensors (\(overflown.count > 3 ? "most: " : "")\(names.joined(separator: ", "))); --dtype \(wide) holds them"
      )
    }
    let undefined = tensors.filter { $0.counts.nonFinite > 0 }
      .sorted { $0.counts.nonFinite > $1.counts.nonFinite }
    if !undefined.isEmpty {
      let names = undefined.prefix(3).map { "\($0.name.printable) \($0.counts.nonFinite)" }
      result.append(
        "infinite values or NaN came out of finite inputs in \(undefined.count.counted("tensor")) (\(undefined.count > 3 ? "most: " : "")\(names.joined(separator: ", "))); choose weights, lambda and other parameters of ordinary size, and models whose deltas are below 1e150"
      )
    }
    return result
  }

  private static func types(of tensors: [Tensor]) -> String {
    Set(tensors.map(\.elementType.name)).sorted().joined(separator: ", ")
  }

  /// A share as people read it, with two digits behind the point.
  private static func percent(_ share: Double) -> String {
    FigureText.hundredths(share * 100) + " %"
  }
}

extension RoundingReport {
  /// A report on a conversion, by the tensors that it writes and what was found out about them.
  init(_ written: [PlannedTensor], findings: [FusionEngine.Finding]) {
    tensors = zip(written, findings).compactMap { planned, finding in
      guard planned.context != nil, planned.info.elementType != .f64, let found = finding.rounding else {
        return nil
      }
      return Tensor(
        name: planned.info.name, elementType: planned.info.elementType,
        counts: Counts(
          moved: nil, vanished: nil, overflowed: found.overflowed, underflowed: found.underflowed,
          nonFinite: 0))
    }
  }

  /// A report on a fusion, by its planned tensors and what was found out about them; before anything is known, the
  /// greatest counts that there could be.
  init(_ plan: FusionPlan, findings: [FusionEngine.Finding]?) {
    tensors = plan.tensors.enumerated().compactMap { place, planned in
      guard planned.context != nil else { return nil }
      let type = plan.recipe.narrowestType(of: planned.info.elementType)
      var found = RoundingCounts()
      if let findings {
        found = findings[place].rounding ?? found
      } else {
        let count = planned.info.shape.elementCount
        (found.moved, found.vanished, found.overflowed, found.underflowed) = (count, count, count, count)
      }
      if plan.recipe.nonFinite == .allow { found.nonFinite = 0 }
      guard type != .f64 || found.nonFinite > 0 else { return nil }
      let isCompared = planned.hasBase && type.bitWidth <= 16
      return Tensor(
        name: planned.info.name, elementType: type,
        counts: Counts(
          moved: isCompared ? found.moved : nil, vanished: isCompared ? found.vanished : nil,
          overflowed: found.overflowed, underflowed: found.underflowed, nonFinite: found.nonFinite))
    }
  }

  /// The counts of the tensors that manifests tell about, those of at most 16 bits, by name.
  var recorded: [String: JSON] {
    tensors.reduce(into: [:]) { if $1.elementType.bitWidth <= 16 { $0[$1.name] = $1.counts.json } }
  }
}

extension Recipe {
  /// The narrower of the intermediate type, if there is one, and an output's type.
  fileprivate func narrowestType(of type: ElementType) -> ElementType {
    guard let intermediateType, intermediateType.bitWidth < type.bitWidth else { return type }
    return intermediateType
  }
}
