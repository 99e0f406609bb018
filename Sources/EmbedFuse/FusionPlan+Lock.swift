import Checkpoints
import TensorCore

// Fusions that are held to a manifest: they publish what it describes, or nothing.

extension FusionPlan {
  /// Checks what can be seen without reading tensors: recipe, files, and which tensors there are.
  func checkBeforehand(against pinned: FusionManifest) throws(EmbedFuseError) {
    var problems = FusionManifest.changedRecipe(recipe.json, since: pinned.json["recipe"])
    guard problems.isEmpty else {
      throw EmbedFuseError(
        .badData, "the recipe is another than the manifest's:" + problems.problemList,
        remedy: "leave the settings out, so that the manifest's are taken, or fuse without --locked")
    }
    let found = try FusionManifest.inputs(self, digests: .init(self) { _, _, _ in .zero })
    problems = FusionManifest.changedInputs(found, since: pinned, comparesContent: false)
    try FusionManifest.refuse(problems)
  }

  /// Checks shards that have been made, all there is yet: the tensors that were read for them and those that they hold.
  func check(
    _ records: [ShardRecord], of fusion: ShardedFusion, against pinned: FusionManifest
  ) throws(EmbedFuseError) {
    let shards = fusion.layout.shards.reduce(into: [String: [Int]]()) { $0[$1.path] = $1.tensors }
    let known = (pinned.json["inputs"]?.arrayValue ?? []).map { $0["tensors"]?.objectValue ?? [:] }
    let outputs = pinned.json["output"]?["tensors"]?.objectValue ?? [:]
    var inputProblems: [String] = []
    var outputProblems: [String] = []
    for record in records.sorted(by: { $0.path < $1.path }) {
      for (tensor, finding) in zip(shards[record.path] ?? [], record.findings) {
        for (source, digest) in zip(tensors[tensor].sources, finding.sourceDigests) {
          let name = name(of: source.tensor, at: tensor)
          guard known[source.input][name] != .string(digest.description) else { continue }
          let path = FusionManifest.portable(inputs[source.input].path)
          inputProblems.append("\(path.printable): the tensor \(name.printable) has changed")
        }
        let name = tensors[tensor].info.name
        if outputs[name]?["digest"] != .string(finding.digest.description) {
          outputProblems.append("the tensor \(name.printable) comes out differently")
        }
      }
    }
    try FusionManifest.refuse(inputProblems)
    try FusionManifest.refuse(output: outputProblems, since: pinned)
  }
}

extension OutputOptions {
  /// These, with what a recipe says of them where they say nothing; held to a manifest, how its output was written is
  /// taken where neither says anything.
  ///
  /// Of an output of another kind than the manifest's only what both kinds have counts.
  ///
  /// - Throws: `EmbedFuseError`: bad data naming what is to be otherwise; missing input if the output is stored relative to
  ///   a checkpoint that isn't where the manifest names it.
  func completed(
    by recipe: Recipe, lockedTo pinned: FusionManifest?, for kind: OutputKind
  ) throws(EmbedFuseError) -> OutputOptions {
    var options = completed(by: recipe)
    guard let pinned, let writing = pinned.json["writing"] else { return options }
    var problems: [String] = []
    func adopt(_ key: String, _ given: Int?) -> Int? {
      let known = writing[key]?.intValue
      if let given, given != known {
        problems.append("\(key): \(given), but \(known.map { String($0) } ?? "the default") in the manifest")
      }
      return known
    }
    if kind == .directory, writing["max_shard_size"] != nil {
      options.maximumShardBytes = adopt("max_shard_size", maximumShardBytes)
    }
    if kind == .hdf5, let base = writing["relative_to"] {
      options.compressionLevel = adopt("compression_level", compressionLevel)
      if let name = base.stringValue {
        if options.relativeTo == nil { options.relativeTo = try Self.located(name, pinned, recipe) }
      } else if let given = options.relativeTo {
        problems.append("relative_to: \(given.printable), but nothing in the manifest")
      }
    }
    guard problems.isEmpty else {
      throw EmbedFuseError(
        .badData, "it is to be written in another way than the manifest's output:" + problems.problemList,
        remedy: "leave the settings out, so that the manifest's are taken, or fuse without --locked")
    }
    return options
  }

  /// Where the checkpoint is to which a manifest's output is stored: the recipe's base, or as the manifest names it.
  private static func located(
    _ name: String, _ pinned: FusionManifest, _ recipe: Recipe
  ) throws(EmbedFuseError) -> String {
    if pinned.json["recipe"]?["base"]?.stringValue == name, let base = recipe.base { return base }
    guard FilePath.kind(of: name) == nil else { return name }
    throw EmbedFuseError(
      .missingInput,
      "the manifest's output is stored relative to \(name.printable), which is not to be found here",
      remedy: "name it with --relative-to, wherever it is")
  }
}

extension FusionManifest {
  /// Checks that a fusion which has just been made is the one that a manifest describes.
  ///
  /// - Throws: `EmbedFuseError` (bad data) naming the tensors that changed.
  func check(against pinned: FusionManifest, path: String) throws(EmbedFuseError) {
    try Self.checkOrder(of: json.objectValue ?? [:], since: pinned)
    try Self.refuse(Self.changedInputs(json.objectValue ?? [:], since: pinned))
    try Self.refuse(output: changedOutput(since: pinned), since: pinned, path: path)
  }

  fileprivate static func refuse(
    output problems: [String], since pinned: FusionManifest, path: String? = nil
  ) throws(EmbedFuseError) {
    guard !problems.isEmpty else { return }
    let (version, made) = (embedFuseVersion, pinned.json["embedfuse"]?.stringValue ?? "")
    throw EmbedFuseError(
      .badData,
      "is not what the manifest says, though the inputs are, so it isn't published:" + problems.problemList,
      path: path,
      remedy: version == made
        ? "this should not happen; please report it"
        : "the manifest is of embedfuse \(made.printable), this is \(version): use that one, or fuse without --locked"
    )
  }

  fileprivate static func refuse(_ problems: [String]) throws(EmbedFuseError) {
    guard !problems.isEmpty else { return }
    throw EmbedFuseError(
      .badData, "the inputs are not those of the manifest, so nothing is published:" + problems.problemList,
      remedy: "bring back the inputs that it was made from, or fuse without --locked to take these")
  }
}
