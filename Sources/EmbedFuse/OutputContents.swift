import Checkpoints
import TensorCore

/// What an output holds, whatever its kind: of a fusion, or of a conversion.
struct OutputContents: Sendable {
  /// The tensors under their names within the whole model.
  let tensors: [TensorInfo]
  /// The folder of each tensor's module; empty for the transformer.
  let modules: [String]
  /// The model that it takes after.
  let reference: ModelSource
  /// Texts attached to the whole checkpoint.
  let metadata: [(key: String, value: String)]

  /// The tensors within their modules' folders.
  func placements() -> [ShardLayout.Placement] {
    zip(tensors, modules).compactMap { info, module in
      let name =
        module.isEmpty ? info.name : String(Substring(info.name.utf8.dropFirst(module.utf8.count + 1)))
      return TensorInfo(name: name, elementType: info.elementType, shape: info.shape).map {
        ShardLayout.Placement(
          folder: module.isEmpty ? reference.transformerFolder : module, info: $0)
      }
    }
  }

  /// The key-value pairs of a GGUF output: those of the model that it takes after, if that is one.
  func keyValuePairs() throws(EmbedFuseError) -> GGUFMetadata {
    if reference.format == .gguf, let file = reference.weightFiles.first {
      return try GGUFMetadata(ofFile: file.path)
    }
    return GGUFMetadata(architecture: try reference.config()?["model_type"]?.stringValue ?? "unknown")
  }

  /// A `config.json` whose element type is the output's, so that loaders don't convert it back, and whose number of
  /// layers is, after slices. Its bytes are kept if it says so already or says nothing.
  static func config(
    _ bytes: [UInt8], announcing type: ElementType?, layers: Int? = nil, path: String
  ) throws(EmbedFuseError) -> [UInt8] {
    guard type != nil || layers != nil,
      var config = try JSON.parse(bytes.span, duplicateKeys: .lastWins, path: path).objectValue
    else { return bytes }
    let names: [ElementType: String] = [.f64: "float64", .f32: "float32", .f16: "float16", .bf16: "bfloat16"]
    var changed = false
    if let name = type.flatMap({ names[$0] }) {
      for key in ["torch_dtype", "dtype"]
      where config[key]?.stringValue != nil && config[key] != .string(name) {
        config[key] = .string(name)
        changed = true
      }
    }
    if let layers {
      for key in ["num_hidden_layers", "n_layer", "n_layers", "num_layers"]
      where config[key]?.intValue != nil && config[key]?.intValue != layers {
        config[key] = .number(layers)
        changed = true
      }
    }
    return changed ? JSON.object(config).prettyBytes : bytes
  }
}

extension OutputContents {
  /// What a fusion writes.
  init(_ plan: FusionPlan) {
    self.init(
      tensors: plan.tensors.map(\.info), modules: plan.modules, reference: plan.reference,
      metadata: [("format", "pt")])
  }
}

extension ModelSource {
  /// What an output that takes its files from here lacks.
  var lossNotes: [String] {
    guard !lostCompanions.isEmpty else { return [] }
    let names = lostCompanions.printableList
    return ["\(path.printable): left out, since names must be UTF-8 and links lead to files: \(names)"]
  }
}

/// A manifest as it stands in an output.
struct OutputManifest: Sendable {
  private let json: JSON

  /// As a file of its own.
  var file: [UInt8] { json.prettyBytes }
  /// As a text among a file's metadata.
  var text: String { json.compactText }
  /// The files that it lists.
  var listedFiles: Set<String> { Set(json["output"]?["files"]?.objectValue?.keys ?? []) }

  /// The manifest of a fusion.
  init(_ manifest: FusionManifest) { self.init(manifest.json) }

  /// The text with spaces behind it, as long as another whose numbers have more digits.
  func text(filling room: Int) -> String {
    let text = text
    return text + String(repeating: " ", count: max(0, room - text.utf8.count))
  }

  /// The manifest of another output of the same tensors. In one that has no place for other files it speaks of none.
  init(_ bytes: [UInt8], path: String, for kind: OutputKind, writing: JSON) throws(EmbedFuseError) {
    let manifest = try FusionManifest(bytes, path: FilePath.join(path, CompanionFiles.manifest))
    var object = manifest.json.objectValue ?? [:]
    object["writing"] = writing
    if !kind.holdsFiles, var output = object["output"]?.objectValue {
      output["files"] = .object(JSON.Object())
      object["output"] = .object(output)
    }
    self.init(FusionManifest.sealed(object))
  }

  private init(_ json: JSON) {
    self.json = json
  }
}

extension Publication {
  /// The place of an output.
  convenience init(
    to path: String, options: OutputOptions, continuing worth: ((String) -> Int)? = nil
  ) throws(EmbedFuseError) {
    try self.init(
      to: path, kind: OutputKind(path: path) == .directory ? .directory : .file, overwrite: options.overwrite,
      synchronize: options.synchronize, continuing: worth)
  }
}
