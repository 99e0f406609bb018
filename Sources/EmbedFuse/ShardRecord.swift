import Checkpoints
import Fusion
import Kernels
import TensorCore

/// What is known of a finished shard: enough to check it, and to complete the output without making it again.
struct ShardRecord: Sendable {
  /// Its path within the output.
  let path: String
  /// What the fusing pass found out about its tensors, in their order.
  let findings: [FusionEngine.Finding]

  /// The record of a shard.
  init(path: String, findings: [FusionEngine.Finding]) {
    self.path = path
    self.findings = findings
  }

  /// The record as it is kept.
  var json: JSON { ["path": .string(path), "tensors": .array(findings.map(\.json))] }

  /// The text of `json`, made tensor by tensor: values of JSON for very many would take several times what the text does.
  var compactBytes: [UInt8] {
    var text = Array("{\"path\":".utf8)
    text.reserveCapacity(1000 * (findings.count + 1))
    JSON.string(path).writeCompactly(to: &text)
    text += ",\"tensors\":[".utf8
    for (place, finding) in findings.enumerated() {
      if place > 0 { text.append(UInt8(ascii: ",")) }
      finding.json.writeCompactly(to: &text)
    }
    text += "]}".utf8
    return text
  }

  /// Reads what `json` gives; nil for anything else.
  init?(_ json: JSON) {
    guard let path = json["path"]?.stringValue, let entries = json["tensors"]?.arrayValue else { return nil }
    let findings = entries.compactMap(FusionEngine.Finding.init)
    guard findings.count == entries.count else { return nil }
    self.init(path: path, findings: findings)
  }

  /// True if it speaks of the tensors of this shard.
  func describes(_ shard: ShardLayout.Shard, of plan: FusionPlan) -> Bool {
    path == shard.path && findings.count == shard.tensors.count
      && zip(findings, shard.tensors).allSatisfy { finding, tensor in
        let planned = plan.tensors[tensor]
        return finding.sourceDigests.count == planned.sources.count
          && finding.tally?.sums.count == planned.context?.priors.count
          && (finding.rounding == nil) == (finding.tally == nil)
      }
  }
}

extension FusionEngine.Finding {
  /// The finding as a record keeps it. Numbers stand as their bits, since they must come back exactly.
  fileprivate var json: JSON {
    var object: JSON.Object = [
      "digest": .string(digest.description),
      "sources": .array(sourceDigests.map { .string($0.description) }),
    ]
    if let tally {
      object["weights"] = [
        "sums": Self.bits(tally.sums), "minima": Self.bits(tally.minima), "maxima": Self.bits(tally.maxima),
        "elements": .number(tally.elementCount),
      ]
    }
    if let rounding {
      object["rounding"] = .array(
        [
          rounding.moved, rounding.vanished, rounding.overflowed, rounding.underflowed, rounding.nonFinite,
        ].map { .number($0) })
    }
    if !magnitudes.isEmpty { object["magnitudes"] = Self.bits(magnitudes) }
    return .object(object)
  }

  /// Reads what `json` gives; nil for anything else.
  fileprivate init?(_ json: JSON) {
    func digest(_ json: JSON) -> ContentDigest? { json.stringValue.flatMap { ContentDigest($0) } }
    guard let own = json["digest"].flatMap(digest), let sources = json["sources"]?.arrayValue,
      let magnitudes = Self.numbers(json["magnitudes"] ?? [])
    else { return nil }
    var tally: WeightTally?
    if let weights = json["weights"] {
      guard let sums = Self.numbers(weights["sums"]), let minima = Self.numbers(weights["minima"]),
        let maxima = Self.numbers(weights["maxima"]), let elements = weights["elements"]?.intValue,
        minima.count == sums.count, maxima.count == sums.count
      else { return nil }
      tally = WeightTally(modelCount: sums.count)
      tally?.sums = sums
      tally?.minima = minima
      tally?.maxima = maxima
      tally?.elementCount = elements
    }
    var rounding: RoundingCounts?
    if let values = json["rounding"] {
      guard let counts = values.arrayValue?.compactMap(\.intValue), counts.count == 5 else { return nil }
      rounding = RoundingCounts()
      rounding?.moved = counts[0]
      rounding?.vanished = counts[1]
      rounding?.overflowed = counts[2]
      rounding?.underflowed = counts[3]
      rounding?.nonFinite = counts[4]
    }
    self.init(
      digest: own, sourceDigests: sources.compactMap(digest), tally: tally, rounding: rounding,
      magnitudes: magnitudes)
  }

  private static func bits(_ values: [Double]) -> JSON {
    .array(values.map { .string(String($0.bitPattern, radix: 16)) })
  }

  private static func numbers(_ json: JSON?) -> [Double]? {
    guard let elements = json?.arrayValue else { return nil }
    let values = elements.compactMap { element in
      element.stringValue.flatMap { UInt64($0, radix: 16) }.map { Double(bitPattern: $0) }
    }
    return values.count == elements.count ? values : nil
  }
}
