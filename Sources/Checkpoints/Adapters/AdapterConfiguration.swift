import TensorCore

/// What `adapter_config.json` says of a LoRA adapter, as far as its merging needs it (PEFT's `LoraConfig`).
struct AdapterConfiguration: Sendable {
  /// The rank r that holds where no pattern says otherwise.
  let rank: Int
  /// α that holds where no pattern says otherwise.
  let alpha: Double
  /// True if the scale is α/√r (rsLoRA, arXiv:2312.03732), false if it is α/r (LoRA, arXiv:2106.09685).
  let isRankStabilized: Bool
  /// True if weights are split into magnitude and direction (DoRA, arXiv:2402.09353).
  let isDecomposed: Bool
  /// True if linear weights stand as [in, out], as in GPT-2.
  let isTransposed: Bool
  /// The base as the adapter's training knew it; nil if it isn't said.
  let baseName: String?
  /// Settings that are not known here and were left alone.
  let notes: [String]

  private let rankPatterns: [(pattern: ModulePattern, value: Double)]
  private let alphaPatterns: [(pattern: ModulePattern, value: Double)]

  /// Reads the file at `path`.
  ///
  /// - Throws: `EmbedFuseError` (bad data) for what is malformed, and for every kind of adapter that can't be merged
  ///   right, by its name.
  init(at path: String) throws(EmbedFuseError) {
    guard let config = try JSON.read(path).objectValue else {
      throw EmbedFuseError(.badData, "is no JSON object", path: path, remedy: Self.saveAgain)
    }
    try Self.refuseOtherKinds(config, path: path)
    guard let rank = config["r"]?.intValue, rank > 0 else {
      throw EmbedFuseError(.badData, "gives no rank r of at least 1", path: path, remedy: Self.saveAgain)
    }
    guard let alpha = config["lora_alpha"]?.doubleValue else {
      throw EmbedFuseError(.badData, "gives no number lora_alpha", path: path, remedy: Self.saveAgain)
    }
    self.rank = rank
    self.alpha = alpha
    isRankStabilized = try Self.flag("use_rslora", config, path: path)
    isDecomposed = try Self.flag("use_dora", config, path: path)
    isTransposed = try Self.flag("fan_in_fan_out", config, path: path)
    baseName = config["base_model_name_or_path"]?.stringValue
    rankPatterns = try Self.patterns("rank_pattern", config, path: path)
    alphaPatterns = try Self.patterns("alpha_pattern", config, path: path)
    for (_, value) in rankPatterns where value < 1 || value != value.rounded() {
      throw EmbedFuseError(
        .badData, "rank_pattern gives \(value), which is no rank", path: path, remedy: Self.saveAgain)
    }
    let unknown = config.members.filter { !Self.known.contains($0.key) && !Self.isOff($0.value) }
    notes = unknown.map {
      "\(path.printable): the setting \($0.key.printable) is not known here and was left alone"
    }
  }

  /// The rank and the scale of a module's update.
  func settings(ofModule name: String) -> (rank: Int, scale: Double) {
    let rank = rankPatterns.first { $0.pattern.matches(name) }.map { Int($0.value) } ?? self.rank
    let alpha = alphaPatterns.first { $0.pattern.matches(name) }?.value ?? self.alpha
    return (rank, isRankStabilized ? alpha / Double(rank).squareRoot() : alpha / Double(rank))
  }

  private static func flag(
    _ key: String, _ config: JSON.Object, path: String
  ) throws(EmbedFuseError) -> Bool {
    guard let value = config[key], value != .null else { return false }
    guard let flag = value.boolValue else {
      throw EmbedFuseError(
        .badData, "\(key) is \(value.excerpt), which is neither true nor false", path: path,
        remedy: saveAgain)
    }
    return flag
  }

  /// The patterns of a setting in their order, in which the first that matches counts.
  private static func patterns(
    _ key: String, _ config: JSON.Object, path: String
  ) throws(EmbedFuseError) -> [(pattern: ModulePattern, value: Double)] {
    guard let value = config[key], value != .null else { return [] }
    guard let members = value.objectValue?.members, members.count <= 10_000 else {
      throw EmbedFuseError(.badData, "\(key) is no object of patterns", path: path, remedy: saveAgain)
    }
    var result: [(pattern: ModulePattern, value: Double)] = []
    for member in members {
      guard let number = member.value.doubleValue, number.magnitude < 1e9 else {
        throw EmbedFuseError(
          .badData, "\(key) gives \(member.value.excerpt) for '\(member.key.printable)', not a number",
          path: path, remedy: saveAgain)
      }
      result.append((try ModulePattern(member.key, path: path), number))
    }
    return result
  }

  /// True for a value that switches nothing on.
  private static func isOff(_ value: JSON) -> Bool {
    switch value {
    case .null, .bool(false): true
    case .array(let elements): elements.isEmpty
    case .object(let object): object.members.isEmpty
    default: false
    }
  }
}

extension AdapterConfiguration {
  /// Settings that change nothing about a finished adapter, or that are read above.
  private static let known: Set<String> = [
    "r", "lora_alpha", "use_rslora", "use_dora", "fan_in_fan_out", "rank_pattern", "alpha_pattern",
    "base_model_name_or_path", "peft_type", "init_lora_weights", "bias", "modules_to_save",
    "auto_mapping", "exclude_modules", "inference_mode", "layers_pattern", "layers_to_transform",
    "lora_dropout",
    "megatron_core", "peft_version", "qalora_group_size", "revision", "target_modules", "task_type",
    "corda_config", "eva_config", "loftq_config", "lora_ga_config", "ensure_weight_tying", "runtime_config",
    "use_cache", "lora_bias",
  ]

  /// Settings under which W + scale·B·A is not the merged weight, with what they stand for.
  private static let refused: [(key: String, what: String)] = [
    ("use_qalora", "QA-LoRA: its A acts on pooled groups of inputs"),
    ("use_bdlora", "block-diagonal LoRA"),
    ("target_parameters", "LoRA on bare parameters (mixtures of experts)"),
    ("trainable_token_indices", "rows of the embedding trained by themselves"),
    ("layer_replication", "layers that stand in for several"),
    ("megatron_config", "LoRA on Megatron's parallel layers"),
    ("alora_invocation_tokens", "activated LoRA: it acts only after certain tokens"),
    ("arrow_config", "a router among several adapters"),
    ("kasa_config", "KaSA: it changes the base"),
    ("velora_config", "VeLoRA"),
    ("monteclora_config", "MonteCLoRA"),
    ("lora_bias", "a bias within the update"),
  ]

  /// Ways to start training that leave the base as it is. All others move part of it into the adapter.
  private static let plainStarts: Set<String> = ["gaussian", "eva", "orthogonal", "mica"]

  private static let saveAgain = "save the adapter again with peft, or download it again"

  private static let mergeFirst =
    "merge it into its base with peft (merge_and_unload), save that, and name the merged model instead"

  private static func refuseOtherKinds(_ config: JSON.Object, path: String) throws(EmbedFuseError) {
    let kind = config["peft_type"]
    guard kind == "LORA" else {
      throw EmbedFuseError(
        .badData,
        "peft_type is \((kind?.compactText ?? "missing").printable); only LORA adapters can be read",
        path: path, remedy: mergeFirst)
    }
    for (key, what) in refused {
      guard let value = config[key], !isOff(value) else { continue }
      throw EmbedFuseError(
        .badData, "uses \(key) (\(what)), which can't be merged right here", path: path, remedy: mergeFirst)
    }
    switch config["init_lora_weights"] {
    case nil, .null, .bool: break
    case .string(let start) where plainStarts.contains(start.lowercased()): break
    case let start?:
      throw EmbedFuseError(
        .badData,
        "init_lora_weights is \(start.compactText.printable): training began by moving part of the base into the adapter, so it fits only that changed base",
        path: path,
        remedy:
          "convert it to a plain LoRA when saving (path_initial_model_for_weight_conversion in peft), or \(mergeFirst)"
      )
    }
  }
}
