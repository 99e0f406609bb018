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
}

extension FusionManifest {
  /// Checks that a fusion which has just been made is the one that a manifest describes.
  ///
  /// - Throws: `EmbedFuseError` (bad data) naming the tensors that changed.
  func check(against pinned: FusionManifest, path: String) throws(EmbedFuseError) {
    try Self.refuse(Self.changedInputs(json.objectValue ?? [:], since: pinned))
    let problems = changedOutput(since: pinned)
    guard problems.isEmpty else {
      let (version, made) = (embedFuseVersion, pinned.json["embedfuse"]?.stringValue ?? "")
      throw EmbedFuseError(
        .badData,
        "is not what the manifest says, though the inputs are, so it isn't published:"
          + problems.problemList, path: path,
        remedy: version == made
          ? "this should not happen; please report it"
          : "the manifest is of embedfuse \(made.printable), this is \(version): use that one, or fuse without --locked"
      )
    }
  }

  fileprivate static func refuse(_ problems: [String]) throws(EmbedFuseError) {
    guard !problems.isEmpty else { return }
    throw EmbedFuseError(
      .badData, "the inputs are not those of the manifest, so nothing is published:" + problems.problemList,
      remedy: "bring back the inputs that it was made from, or fuse without --locked to take these")
  }
}
