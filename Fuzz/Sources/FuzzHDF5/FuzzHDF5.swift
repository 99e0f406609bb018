import EmbedFuse
import FuzzInput
import Glibc

/// The base of files of differences, and a shard that Keras's indexes may name.
private let others: Void = {
  FuzzInput.write(FuzzInput.safetensors("a 8 8\nb 8".utf8), to: "base.safetensors")
  let fixtures = "\(#filePath)/../../../../fixtures/samples/keras"
  symlink("\(fixtures)/sharded_00000.weights.h5", "\(FuzzInput.folder)/sharded_00000.weights.h5")
}()

/// HDF5 files of all kinds, our own with the files and differences in them, Keras's archives, and indexes of its
/// shards.
@_cdecl("LLVMFuzzerTestOneInput")
public func fuzzHDF5(_ start: UnsafePointer<UInt8>?, _ count: Int) -> CInt {
  let input = UnsafeRawBufferPointer(start: start, count: count)
  others
  _ = FuzzInput.file(holding: input)
  let name =
    input.starts(with: [0x50, 0x4B])
    ? "input.keras" : input.first == UInt8(ascii: "{") ? "sharded.weights.json" : "input.h5"
  var options = OpeningOptions()
  options.deltaBase = "\(FuzzInput.folder)/base.safetensors"
  do {
    let model = try ModelSource.open(FuzzInput.link(name), options: options)
    guard model.cacheBytes < 64 << 20 else { return 0 }
    try FuzzInput.read(model.tensors.map(\.stored))
  } catch {}
  return 0
}
