import Dispatch
import EmbedFuse
import FuzzInput
import Glibc

/// Manifests of a fused model, or their recipes alone, which is verified and fused again.
@_cdecl("LLVMFuzzerTestOneInput")
public func fuzzManifest(_ start: UnsafePointer<UInt8>?, _ count: Int) -> CInt {
  var text = Array(UnsafeRawBufferPointer(start: start, count: count))
  guard var manifest = template.objectValue else { preconditionFailure("the first fusion failed") }
  if let json = try? JSON.parse(text.span), json["output"] == nil {
    // Only with the digests as they are the recipe is carried out.
    manifest["recipe"] = json
    text = Array(JSON.object(manifest).compactText.utf8)
  }
  FuzzInput.write(text, to: "fused/embedfuse.json")
  waiting { _ = try? await Verification(of: "fused").run(rerun: true, threads: 1) }
  return 0
}

/// The manifest of a fusion of the small models; the process then is in the folder where they are.
private let template: JSON = {
  FuzzModels.written
  chdir(FuzzInput.folder)
  let names = FuzzModels.names
  let recipe = Recipe(base: names[0], models: Array(names[1...]))
  waiting { _ = try? await FusionPlan(recipe).run(to: "fused", options: OutputOptions(synchronize: false)) }
  return (try? JSON.read("fused/embedfuse.json")) ?? .null
}()

/// Waits for asynchronous work.
private func waiting(_ work: @escaping @Sendable () async -> Void) {
  let done = DispatchSemaphore(value: 0)
  Task {
    await work()
    done.signal()
  }
  done.wait()
}
