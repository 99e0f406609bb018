import EmbedFuse
import FuzzInput

/// GGUF files, and their key-value pairs as a writer takes them over.
@_cdecl("LLVMFuzzerTestOneInput")
public func fuzzGGUF(_ start: UnsafePointer<UInt8>?, _ count: Int) -> CInt {
  let path = FuzzInput.file(holding: UnsafeRawBufferPointer(start: start, count: count))
  do { try FuzzInput.read(try Checkpoint.openGGUF(at: path).tensors) } catch {}
  _ = try? GGUFMetadata(ofFile: path)["general.architecture"]
  return 0
}
