import EmbedFuse
import FuzzInput
import Glibc

/// Manifests of a fused model, which is verified and fused again: a whole one, members that take the place of a sound
/// one's, or its recipe alone. They get the digest of themselves without which none is taken.
@_cdecl("LLVMFuzzerTestOneInput")
public func fuzzManifest(_ start: UnsafePointer<UInt8>?, _ count: Int) -> CInt {
  let text = Array(UnsafeRawBufferPointer(start: start, count: count))
  _ = try? FusionManifest(text, path: "embedfuse.json")
  guard let given = (try? JSON.parse(text.span))?.objectValue else { return 0 }
  var manifest = given
  if given["output"] == nil {
    // Only with the digests as they are the recipe is carried out.
    manifest = template
    let isRecipe = !given.members.contains { template[$0.key] != nil }
    for member in (isRecipe ? ["recipe": .object(given)] : given).members {
      manifest[member.key] = member.value
    }
  }
  manifest["digest"] = nil
  let digest = ContentDigest.of(Array(JSON.object(manifest).compactText.utf8))
  manifest["digest"] = .string(digest.description)
  FuzzInput.write(Array(JSON.object(manifest).compactText.utf8), to: "fused/embedfuse.json")
  CallingThread.run { _ = try? await Verification(of: "fused").run(rerun: true, threads: 1) }
  return 0
}

/// The manifest of a fusion of the small models; the process then is in the folder where they are.
private let template: JSON.Object = {
  FuzzModels.written
  chdir(FuzzInput.folder)
  let names = FuzzModels.names
  let recipe = Recipe(base: names[0], models: Array(names[1...]))
  CallingThread.run {
    do {
      _ = try await FusionPlan(recipe).run(
        to: "fused", options: OutputOptions(overwrite: true, synchronize: false, threads: 1))
      _ = try await Verification(of: "fused").run(rerun: true, threads: 1)
    } catch {
      preconditionFailure("a sound fusion failed: \(error)")
    }
  }
  return (try? JSON.read("fused/embedfuse.json"))!.objectValue!
}()
