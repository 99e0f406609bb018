import Checkpoints
import Fusion
import TensorCore

/// The record of how an output was made: enough to check it and to make it again, and nothing that differs from
/// one machine or day to the next.
///
/// It ends with a digest of itself, over its compact text without that member, and it is only taken in the very
/// spelling in which it is written: so one flipped bit anywhere in it is found.
public struct FusionManifest: Sendable, Hashable {
  /// The manifest as it is written.
  public let json: JSON

  /// The version of the manifest's form.
  static let version = 2

  /// The manifest of a fusion.
  init(
    _ plan: FusionPlan, digests: FusionDigests, files: [(path: String, bytes: [UInt8])], writing: JSON
  ) throws(EmbedFuseError) {
    var tensors = JSON.Object(minimumCapacity: plan.tensors.count)
    let rounding = digests.rounding.recorded
    for (tensor, digest) in zip(plan.tensors, digests.tensors) {
      try EmbedFuseError.checkCancellation()
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
    let contents = OutputContents(plan)
    var metadata = JSON.Object()
    for (key, value) in contents.metadata { metadata[key] = .string(value) }
    let whole = ContentDigest.of(
      tensors: zip(plan.tensors, digests.tensors).map { ($0.info.name, $1) })
    var object = try Self.inputs(plan, digests: digests.inputs)
    object["weights_digest"] = .string(digests.weights.description)
    object["writing"] = writing
    var output: JSON.Object = [
      "digest": .string(whole.description), "metadata": .object(metadata),
    ]
    if !rounding.isEmpty { output["rounding"] = digests.rounding.total.json }
    output["tensors"] = .object(tensors)
    output["files"] = .object(fileDigests)
    object["output"] = .object(output)
    try EmbedFuseError.checkCancellation()
    json = Self.sealed(object)
  }

  /// What a fusion starts from: version, recipe, and the inputs with their digests.
  static func inputs(
    _ plan: FusionPlan, digests: FusionDigests.Inputs
  ) throws(EmbedFuseError) -> JSON.Object {
    var object: JSON.Object = [
      "embedfuse": .string(embedFuseVersion), "manifest": .number(version), "recipe": plan.recipe.json,
      "inputs": .array(try inputEntries(of: plan, digests: digests.tensors)),
    ]
    let steps = plan.allSteps
    if !steps.isEmpty {
      var entries: [JSON] = []
      for step in steps {
        entries.append([
          "name": .string(step.name),
          "inputs": .array(try inputEntries(of: step.plan, digests: digests.steps[step.name] ?? [])),
        ])
      }
      object["steps"] = .array(entries)
    }
    return object
  }

  /// The inputs of a plan with what is known of their content.
  private static func inputEntries(
    of plan: FusionPlan, digests: [FusionDigests.OfInput]
  ) throws(EmbedFuseError) -> [JSON] {
    var entries: [JSON] = []
    for (index, input) in plan.inputs.enumerated() {
      try EmbedFuseError.checkCancellation()
      let found = index < digests.count ? digests[index] : FusionDigests.OfInput()
      var tensors = JSON.Object(minimumCapacity: found.tensors.count)
      for tensor in found.tensors { tensors[tensor.name] = .string(tensor.digest.description) }
      var files = JSON.Object()
      let digests = found.digests()
      for (path, byteCount) in input.weightFiles {
        var file: JSON.Object = ["bytes": .number(byteCount)]
        if let digest = digests?.byFile[path] { file["tensors_digest"] = .string(digest.description) }
        files[relative(path, to: input.path)] = .object(file)
      }
      if index == plan.recipe.configFrom ?? 0 {
        for file in input.companions {
          let bytes = try file.bytes()
          files[file.relativePath] = [
            "bytes": .number(bytes.count), "digest": .string(ContentDigest.of(bytes).description),
          ]
        }
      }
      entries.append([
        "path": .string(portable(input.path)),
        "role": .string(index == 0 && plan.recipe.base != nil ? "base" : "model"),
        "digest": digests.map { .string($0.whole.description) } ?? .null,
        "files": .object(files),
        "tensors": .object(tensors),
      ])
    }
    return entries
  }

  /// The path of an input's file within the input, or the name of one that stands elsewhere.
  private static func relative(_ path: String, to input: String) -> String {
    let prefix = FilePath.trimmed(input) + "/"
    return path.hasPrefix(prefix) ? String(path.dropFirst(prefix.count)) : FilePath.name(of: path)
  }

  /// A path as given, but of an absolute one only the last component: the manifest must not tell about the
  /// machine.
  static func portable(_ path: String) -> String {
    guard let (model, adapter) = ModelReference.parts(of: path, steps: []) else {
      return FilePath.portable(path)
    }
    return portable(model) + "+" + portable(adapter)
  }
}

extension FusionManifest {
  /// The name of the member that holds the manifest's digest of itself, the last one.
  private static let sealKey = "digest"

  /// A manifest with the digest of itself.
  static func sealed(_ object: JSON.Object) -> JSON {
    var object = object
    object[sealKey] = nil
    object[sealKey] = .string(seal(of: object))
    return .object(object)
  }

  private static func seal(of object: JSON.Object) -> String {
    ContentDigest.of(JSON.object(object).compactBytes).description
  }

  /// Reads a manifest as a file or a header holds it.
  ///
  /// - Parameter path: the file, for messages.
  /// - Throws: `EmbedFuseError` (bad data) if it is not what embedfuse has written, to the bit.
  public init(_ bytes: [UInt8], path: String) throws(EmbedFuseError) {
    let json: JSON
    do throws(EmbedFuseError) {
      json = try JSON.parse(bytes.span, path: path)
    } catch {
      throw EmbedFuseError(
        .badData, "the manifest is damaged: \(error.problem)", path: path, offset: error.offset,
        remedy: Self.remedy)
    }
    guard json["embedfuse"] != nil, let version = json["manifest"]?.intValue else {
      throw EmbedFuseError(
        .badData, "is no manifest of a fusion, or a damaged one", path: path,
        remedy: "name what embedfuse merge has written, or its embedfuse.json")
    }
    guard version == Self.version else {
      throw EmbedFuseError(
        .badData, "the manifest is of version \(version), but this embedfuse knows version \(Self.version)",
        path: path, remedy: "use the embedfuse that made it, or fuse again")
    }
    guard var object = json.objectValue, let seal = object[Self.sealKey]?.stringValue else {
      throw EmbedFuseError(
        .badData, "the manifest is damaged: it lacks its digest", path: path, remedy: Self.remedy)
    }
    object[Self.sealKey] = nil
    // In a header room may be left behind it.
    let text = bytes[..<((bytes.lastIndex { $0 != 0x20 } ?? -1) + 1)]
    guard Self.seal(of: object) == seal,
      text.elementsEqual(json.prettyBytes) || text.elementsEqual(json.compactBytes)
    else {
      throw EmbedFuseError(
        .badData, "the manifest is damaged or was edited: its content has another digest than it says",
        path: path, remedy: Self.remedy)
    }
    self.json = json
  }

  private static let remedy = "copy it again, or fuse again"

  /// The manifest of a fused checkpoint, or a manifest file.
  ///
  /// - Throws: `EmbedFuseError`: missing input if there is none; bad data if it is damaged.
  public init(of path: String, options: OpeningOptions = OpeningOptions()) throws(EmbedFuseError) {
    if path.hasSuffix(".json"), FilePath.kind(of: path) != .directory {
      let file = try InputFile(path)
      try self.init(try file.bytes(), path: path)
    } else {
      try self.init(in: try ModelSource.open(path, options: options))
    }
  }

  /// The file that holds the manifest of a fused checkpoint, or is one.
  public static func file(of path: String) -> String {
    FilePath.kind(of: path) == .directory ? FilePath.join(path, CompanionFiles.manifest) : path
  }

  /// The manifest that an opened checkpoint carries.
  init(in source: ModelSource) throws(EmbedFuseError) {
    guard let bytes = try source.manifest() else {
      throw EmbedFuseError(
        .missingInput, "has no manifest, so there is nothing to check it against", path: source.path,
        remedy:
          "verify checks what merge has written; what was converted to another element type has no manifest")
    }
    try self.init(bytes, path: FilePath.join(source.path, CompanionFiles.manifest))
  }
}
