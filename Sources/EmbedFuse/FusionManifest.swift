import Checkpoints
import Fusion
import TensorCore

/// The record of how an output was made: enough to check it and to make it again, and nothing that differs from
/// one machine or day to the next.
public struct FusionManifest: Sendable, Hashable {
  /// The manifest as it is written.
  public let json: JSON

  /// The version of the manifest's form.
  static let version = 1

  /// What is known of the contents once they are written.
  struct Digests: Sendable {
    /// The digest of each output tensor.
    var tensors: [ContentDigest]
    /// The digest of all tensors that were read of each input; nil for an input of which none was.
    var inputs: [ContentDigest?]
    /// The digest of the mean weights.
    var weights: ContentDigest
    /// What rounding did.
    var rounding: RoundingReport

    /// Digests that stand for those not known yet: they take the same room, and the counts beside them at least as
    /// much.
    init(placeholdersFor plan: FusionPlan) {
      let zero = ContentDigest(high: 0, low: 0)
      tensors = plan.tensors.map { _ in zero }
      let read = Set(plan.tensors.flatMap { $0.sources.map(\.input) })
      inputs = plan.inputs.indices.map { read.contains($0) ? zero : nil }
      weights = zero
      rounding = RoundingReport(plan, findings: nil)
    }

    /// The digests of what the fusing pass has read and written.
    init(_ plan: FusionPlan, findings: [FusionEngine.Finding]) {
      tensors = findings.map(\.digest)
      inputs = plan.inputs.indices.map { input in
        var read: [(name: String, digest: ContentDigest)] = []
        for (tensor, finding) in zip(plan.tensors, findings) {
          for (source, digest) in zip(tensor.sources, finding.sourceDigests) where source.input == input {
            read.append((source.tensor.info.name, digest))
          }
        }
        return read.isEmpty ? nil : .of(tensors: read)
      }
      let bits = findings.flatMap { $0.tally?.means ?? [] }.flatMap { mean in
        (0..<8).map { UInt8(truncatingIfNeeded: mean.bitPattern >> (8 * $0)) }
      }
      weights = .of(bits)
      rounding = RoundingReport(plan, findings: findings)
    }
  }

  /// The manifest of a fusion.
  init(_ plan: FusionPlan, digests: Digests, files: [(path: String, bytes: [UInt8])]) {
    var tensors = JSON.Object()
    let rounding = digests.rounding.recorded
    for (tensor, digest) in zip(plan.tensors, digests.tensors) {
      var entry: JSON.Object = [
        "dtype": .string(tensor.info.elementType.name),
        "shape": .array(tensor.info.shape.dimensions.map { .number(String($0)) }),
        "digest": .string(digest.description),
      ]
      entry["rounding"] = rounding[tensor.info.name]
      tensors[tensor.info.name] = .object(entry)
    }
    var fileDigests = JSON.Object()
    for (path, bytes) in files { fileDigests[path] = .string(ContentDigest.of(bytes).description) }
    let whole = ContentDigest.of(
      tensors: zip(plan.tensors, digests.tensors).map { ($0.info.name, $1) })
    var output: JSON.Object = ["digest": .string(whole.description)]
    if !rounding.isEmpty { output["rounding"] = digests.rounding.total.json }
    output["tensors"] = .object(tensors)
    output["files"] = .object(fileDigests)
    json = [
      "embedfuse": .string(embedFuseVersion),
      "manifest": .number(Self.version),
      "recipe": plan.recipe.json,
      "inputs": .array(
        zip(plan.inputs, digests.inputs).enumerated().map { index, input in
          Self.input(input.0, digest: input.1, isBase: index == 0 && plan.recipe.base != nil)
        }),
      "weights_digest": .string(digests.weights.description),
      "output": .object(output),
    ]
  }

  private static func input(_ input: ModelSource, digest: ContentDigest?, isBase: Bool) -> JSON {
    [
      "path": .string(portable(input.path)),
      "role": isBase ? "base" : "model",
      "bytes": .number(input.weightFiles.reduce(0) { $0 + $1.byteCount }),
      "digest": digest.map { .string($0.description) } ?? .null,
    ]
  }

  /// A path as given, but of an absolute one only the last component: the manifest must not tell about the
  /// machine.
  static func portable(_ path: String) -> String {
    FilePath.portable(path)
  }
}
