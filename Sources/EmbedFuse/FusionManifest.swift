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

    /// Digests that stand for those not known yet: they take the same room.
    init(placeholdersFor plan: FusionPlan) {
      let zero = ContentDigest(high: 0, low: 0)
      tensors = plan.tensors.map { _ in zero }
      let read = Set(plan.tensors.flatMap { $0.sources.map(\.input) })
      inputs = plan.inputs.indices.map { read.contains($0) ? zero : nil }
      weights = zero
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
    }
  }

  /// The manifest of a fusion.
  init(_ plan: FusionPlan, digests: Digests, files: [(path: String, bytes: [UInt8])]) {
    var tensors = JSON.Object()
    for (tensor, digest) in zip(plan.tensors, digests.tensors) {
      tensors[tensor.info.name] = [
        "dtype": .string(tensor.info.elementType.name),
        "shape": .array(tensor.info.shape.dimensions.map { .number(String($0)) }),
        "digest": .string(digest.description),
      ]
    }
    var fileDigests = JSON.Object()
    for (path, bytes) in files { fileDigests[path] = .string(ContentDigest.of(bytes).description) }
    let whole = ContentDigest.of(
      tensors: zip(plan.tensors, digests.tensors).map { ($0.info.name, $1) })
    json = [
      "embedfuse": .string(embedFuseVersion),
      "manifest": .number(Self.version),
      "recipe": Self.recipe(plan.recipe),
      "inputs": .array(
        zip(plan.inputs, digests.inputs).enumerated().map { index, input in
          Self.input(input.0, digest: input.1, isBase: index == 0 && plan.recipe.base != nil)
        }),
      "weights_digest": .string(digests.weights.description),
      "output": [
        "digest": .string(whole.description), "tensors": .object(tensors), "files": .object(fileDigests),
      ],
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
    path.hasPrefix("/") ? FilePath.name(of: path) : path
  }

  private static func recipe(_ recipe: Recipe) -> JSON {
    var parameters = JSON.Object()
    for (name, value) in recipe.method.parameterValues {
      parameters[name] = Double(value).map { .number($0) } ?? Bool(value).map { .bool($0) } ?? .string(value)
    }
    return [
      "base": recipe.base.map { .string(portable($0)) } ?? .null,
      "models": .array(recipe.models.map { .string(portable($0)) }),
      "method": .string(recipe.method.name),
      "parameters": .object(parameters),
      "weights": .array(recipe.weights.map(\.json)),
      "dtype": recipe.elementType.map { .string($0.name) } ?? .null,
      "missing": .string(recipe.missing.rawValue),
      "nonfinite": .string(recipe.nonFinite.rawValue),
      "config_from": recipe.configFrom.map { .number($0) } ?? .null,
    ]
  }
}

extension TensorValue {
  /// A number, or a list of filters with values.
  var json: JSON {
    if rules.count == 1, rules[0].filter == nil { return .number(rules[0].value) }
    return .array(
      rules.map { rule in
        var object = JSON.Object()
        object["filter"] = rule.filter.map { .string($0) }
        object["value"] = .number(rule.value)
        return .object(object)
      })
  }

  /// Reads what `json` gives.
  init?(_ json: JSON) {
    if let number = json.doubleValue {
      self.init(number)
      return
    }
    var rules: [Rule] = []
    for entry in json.arrayValue ?? [] {
      guard let value = entry["value"]?.doubleValue else { return nil }
      rules.append(Rule(filter: entry["filter"]?.stringValue, value: value))
    }
    guard !rules.isEmpty else { return nil }
    self.init(rules: rules)
  }
}

extension Recipe {
  /// Reads the recipe of a manifest.
  ///
  /// - Throws: `EmbedFuseError` (bad data) if the manifest isn't of a known form.
  init(manifest json: JSON, path: String) throws(EmbedFuseError) {
    let unknown = EmbedFuseError(.badData, "its manifest holds no recipe of a known form", path: path)
    guard json["manifest"]?.intValue == FusionManifest.version, let recipe = json["recipe"],
      let name = recipe["method"]?.stringValue, let models = recipe["models"]?.arrayValue,
      let missing = recipe["missing"]?.stringValue.flatMap(MissingPolicy.init(rawValue:)),
      let nonFinite = recipe["nonfinite"]?.stringValue.flatMap(NonFinitePolicy.init(rawValue:))
    else { throw unknown }
    var parameters: [String: String] = [:]
    for member in recipe["parameters"]?.objectValue?.members ?? [] {
      switch member.value {
      case .string(let text), .number(let text): parameters[member.key] = text
      case .bool(let value): parameters[member.key] = String(value)
      default: throw unknown
      }
    }
    let weights = (recipe["weights"]?.arrayValue ?? []).compactMap { TensorValue($0) }
    self.init(
      base: recipe["base"]?.stringValue, models: models.compactMap(\.stringValue),
      method: try MethodSettings(named: name, parameters: parameters), weights: weights,
      elementType: recipe["dtype"]?.stringValue.flatMap(ElementType.init(name:)), missing: missing,
      nonFinite: nonFinite, configFrom: recipe["config_from"]?.intValue)
  }
}
