import Checkpoints
import TensorCore

extension FusionPlan {
  /// Why the output at a path has to be made: it isn't there, is damaged, or comes from another recipe, another version
  /// or other inputs. Nil if it is what this plan would make.
  ///
  /// All inputs and the output are read and compared by their digests; times don't count, nor do files that were put beside
  /// the output's, unless they are weights.
  ///
  /// - Parameter pinned: the manifest to which the output would be held.
  /// - Throws: `EmbedFuseError` if an input can't be read; `CancellationError` if the task is cancelled.
  public func reasonToFuse(
    to path: String, lockedTo pinned: FusionManifest? = nil, options: OutputOptions = OutputOptions()
  ) async throws -> String? {
    let options = try options.completed(by: recipe, lockedTo: pinned, for: OutputKind(path: path))
    guard FilePath.kind(of: path) != nil else { return "there is no output yet" }
    if let report = options.weightsReport, FilePath.kind(of: report) == nil {
      return "there is no weights report yet"
    }
    let manifest: FusionManifest
    let output: ModelSource
    var opening = OpeningOptions()
    opening.deltaBase = options.relativeTo
    do {
      // What the output consists of is no input.
      (output, manifest) = try InputLog.$current.withValue(nil) {
        let output = try ModelSource.open(path, options: opening)
        return (output, try FusionManifest(in: output))
      }
    } catch let error as EmbedFuseError where !error.isCancellation {
      return "the output can't be checked: \(error.problem)"
    }
    if let reason = try reasonBeforeReading(
      manifest, options.json(for: OutputKind(path: path)))
    {
      return reason
    }
    let pool = WorkerPool(width: options.workers)
    let now = try FusionManifest.inputs(self, digests: try await inputDigests(pool: pool))
    do throws(EmbedFuseError) {
      try FusionManifest.checkOrder(of: now, since: manifest)
    } catch {
      return error.problem
    }
    if let change = FusionManifest.changedInputs(now, since: manifest).first { return change }
    let verification = Verification(tolerant: output, manifest: manifest, options: opening)
    do {
      _ = try await InputLog.$current.withValue(nil) {
        try await verification.run(threads: options.threads)
      }
    } catch let error as EmbedFuseError where !error.isCancellation {
      return "the output is damaged: \(error.problem)"
    }
    return nil
  }

  /// A reason that shows without reading tensors.
  private func reasonBeforeReading(
    _ manifest: FusionManifest, _ writing: JSON
  ) throws(EmbedFuseError) -> String? {
    let made = manifest.json["embedfuse"]?.stringValue ?? ""
    if made != embedFuseVersion { return "it was made by embedfuse \(made.printable)" }
    if manifest.json["recipe"] != recipe.json {
      return FusionManifest.changedRecipe(recipe.json, since: manifest.json["recipe"]).first
        ?? "the inputs have other names"
    }
    if manifest.json["writing"] != writing { return "it is to be written in another way" }
    return nil
  }
}
