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

extension FusionManifest {
  /// Checks that a fusion which has just been made is the one that a manifest describes.
  ///
  /// - Throws: `EmbedFuseError` (bad data) naming the tensors that changed.
  func check(against pinned: FusionManifest, path: String) throws(EmbedFuseError) {
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
