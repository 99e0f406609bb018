import TensorCore

/// A difference between two models beyond their tensors.
public struct Finding: Sendable, Hashable {
  /// True if fusing the two makes no sense; false for a setting of use, where the base's is kept.
  public let isIncompatible: Bool
  /// What differs, with both values.
  public let message: String
}

/// Compares the configurations, modules, vocabularies and settings of a model with those of others.
///
/// Only what both have is compared: loose tensors fit every directory. Old and new spellings of one thing are
/// equal, and so are vocabularies of equal content however they are written.
public struct Compatibility {
  private let base: ConfigurationFiles

  /// Compares others with this model, whose files are read once for all of them.
  public init(with base: ModelSource) {
    self.base = ConfigurationFiles(of: base)
  }

  /// All differences between the base and another input.
  public func findings(of other: ModelSource) throws(EmbedFuseError) -> [Finding] {
    var comparison = Comparison(base: base, other: ConfigurationFiles(of: other))
    comparison.compareNames()
    try comparison.compareConfigurations()
    try comparison.compareModules()
    try comparison.compareVocabularies()
    try comparison.compareSettings()
    comparison.summarizeSettings()
    return comparison.findings
  }
}

/// Two models being compared.
struct Comparison {
  let baseFiles: ConfigurationFiles
  let otherFiles: ConfigurationFiles
  private(set) var findings: [Finding] = []

  var base: ModelSource { baseFiles.source }
  var other: ModelSource { otherFiles.source }

  init(base: ConfigurationFiles, other: ConfigurationFiles) {
    baseFiles = base
    otherFiles = other
  }

  /// Settings of use that differ, for one finding at the end.
  private var settings: [String] = []

  /// Adds an incompatibility.
  mutating func report(_ what: String, _ ours: String, _ theirs: String) {
    findings.append(
      Finding(
        isIncompatible: true,
        message:
          "\(other.path.printable): \(what.printable) is \(theirs.printable), but \(ours.printable) in \(base.path.printable)"
      ))
  }

  /// Adds a setting of use in which the two differ; of objects the members that do.
  mutating func reportSetting(_ name: String, _ ours: JSON, _ theirs: JSON) {
    if let first = ours.objectValue, let second = theirs.objectValue {
      for member in first.members {
        if let value = second[member.key], !member.value.isSameValue(as: value) {
          reportSetting("\(name).\(member.key)", member.value, value)
        }
      }
    } else {
      settings.append("\(name) \(theirs.compactText) (\(ours.compactText))".printable)
    }
  }

  /// Gathers the settings that differ into one finding.
  mutating func summarizeSettings() {
    guard !settings.isEmpty else { return }
    findings.append(
      Finding(
        isIncompatible: false,
        message:
          "\(other.path.printable): settings of use differ, the base's (in brackets) are kept: \(settings.joined(separator: ", "))"
      ))
  }

  /// The same file of both models as JSON; nil if one lacks it or both have the same bytes.
  private func pair(_ file: String) throws(EmbedFuseError) -> (JSON, JSON)? {
    guard let ours = try baseFiles.bytes(file), let theirs = try otherFiles.bytes(file), ours != theirs,
      let first = try baseFiles.json(file), let second = try otherFiles.json(file)
    else { return nil }
    return (first, second)
  }
}

// MARK: - config.json

extension Comparison {
  /// Keys that decide what the weights mean.
  private static let architecture = [
    "model_type", "hidden_size", "dim", "d_model", "num_hidden_layers", "num_layers", "n_layers",
    "num_attention_heads", "num_key_value_heads", "n_heads", "head_dim", "intermediate_size", "hidden_dim",
    "d_ff",
    "hidden_act", "activation", "position_embedding_type", "layer_norm_eps", "rms_norm_eps",
    "layer_norm_epsilon",
    "rope_theta", "max_position_embeddings", "type_vocab_size", "vocab_size", "is_decoder",
  ]
  /// Keys that say how a checkpoint came about, not what it computes.
  private static let noise: Set<String> = [
    "transformers_version", "torch_dtype", "dtype", "_name_or_path", "name_or_path", "use_cache",
    "architectures",
    "_attn_implementation_autoset", "gradient_checkpointing", "auto_map",
  ]

  mutating func compareConfigurations() throws(EmbedFuseError) {
    guard let ours = try baseFiles.config()?.objectValue, let theirs = try otherFiles.config()?.objectValue
    else { return }
    for member in ours.members {
      guard !Self.noise.contains(member.key), let value = theirs[member.key],
        !member.value.isSameValue(as: value)
      else { continue }
      if Self.architecture.contains(member.key) {
        report("\(member.key) of config.json", member.value.compactText, value.compactText)
      } else {
        reportSetting(member.key, member.value, value)
      }
    }
  }
}

extension JSON {
  /// True for equal values, numbers compared as numbers (1e-12 and 1.0e-12).
  func isSameValue(as other: JSON) -> Bool {
    if let first = doubleValue, let second = other.doubleValue { return first == second }
    return self == other
  }
}

// MARK: - modules.json

extension Comparison {
  mutating func compareModules() throws(EmbedFuseError) {
    guard !base.modules.isEmpty, !other.modules.isEmpty else { return }
    let ours = base.modules.map(\.type)
    let theirs = other.modules.map(\.type)
    guard ours == theirs else {
      report(
        "the list of modules", ours.joined(separator: ", "), theirs.joined(separator: ", "))
      return
    }
    for (first, second) in zip(base.modules, other.modules).dropFirst() {
      guard let ours = try baseFiles.json(FilePath.join(first.path, "config.json"))?.objectValue,
        let theirs = try otherFiles.json(FilePath.join(second.path, "config.json"))?.objectValue
      else { continue }
      let (left, right) = (Self.canonical(ours, type: first.type), Self.canonical(theirs, type: second.type))
      for (key, value) in left.sorted(by: { $0.key < $1.key }) {
        guard let theirs = right[key], !value.isSameValue(as: theirs) else { continue }
        report(
          "\(key) of \(first.path)/config.json (\(first.type))", value.compactText, theirs.compactText)
      }
    }
  }

  /// A module's configuration in the newer spelling; keys that only one side knows have their defaults.
  static func canonical(_ config: JSON.Object, type: String) -> [String: JSON] {
    var result = config.members.reduce(into: [String: JSON]()) { $0[$1.key] = $1.value }
    if let width = result.removeValue(forKey: "word_embedding_dimension") {
      result["embedding_dimension"] = width
    }
    if type == "Pooling" {
      // Older: one truth value for each mode. Newer: the modes by name.
      let modes = [
        "pooling_mode_cls_token": "cls", "pooling_mode_mean_tokens": "mean", "pooling_mode_max_tokens": "max",
        "pooling_mode_mean_sqrt_len_tokens": "mean_sqrt_len_tokens",
        "pooling_mode_weightedmean_tokens": "weightedmean", "pooling_mode_lasttoken": "lasttoken",
      ]
      let chosen = modes.filter { result[$0.key]?.boolValue == true }.map(\.value).sorted()
      for key in modes.keys { result[key] = nil }
      if result["pooling_mode"] == nil { result["pooling_mode"] = .string(chosen.joined(separator: "+")) }
    }
    return result
  }
}

// MARK: - Settings of use

extension Comparison {
  private static let settings: [(file: String, keys: [String])] = [
    ("sentence_bert_config.json", ["max_seq_length", "do_lower_case"]),
    ("config_sentence_transformers.json", ["prompts", "default_prompt_name", "similarity_fn_name"]),
    ("tokenizer_config.json", ["model_max_length", "do_lower_case", "padding_side", "truncation_side"]),
    ("tokenizer.json", ["truncation", "padding", "normalizer"]),
  ]

  mutating func compareSettings() throws(EmbedFuseError) {
    for (name, keys) in Self.settings {
      // The tokenizer stands with the transformer, the library's own files at the root.
      let folders = Set(["", base.transformerFolder]).sorted()
      for folder in folders {
        guard let (ours, theirs) = try pair(FilePath.join(folder, name)) else { continue }
        for key in keys {
          guard let first = ours[key], let second = theirs[key], !first.isSameValue(as: second) else {
            continue
          }
          reportSetting(key, first, second)
        }
      }
    }
  }
}

// MARK: - Names

extension Comparison {
  /// Keras and torch store the same layer under other names, and most kernels transposed; Keras itself has two ways.
  mutating func compareNames() {
    guard base.naming != other.naming,
      Set(base.tensors.map(\.name)).isDisjoint(with: other.tensors.map(\.name))
    else { return }
    report("the naming of its weights", base.naming.description, other.naming.description)
  }
}

extension Checkpoint.Naming: CustomStringConvertible {
  /// The words for a message.
  public var description: String {
    switch self {
    case .plain: "that of torch or another framework (whose kernels lie otherwise than Keras's)"
    case .kerasLayers: "that of Keras's older files, by layer (save all models the same way)"
    case .kerasVariables: "that of Keras 3, by place (save all models the same way)"
    }
  }
}
