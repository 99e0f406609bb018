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
  let name =
    input.starts(with: [0x50, 0x4B])
    ? "input.keras" : input.first == UInt8(ascii: "{") ? "sharded.weights.json" : "input.h5"
  // A new file each time: the library shares what it knows of one that is open.
  unlink("\(FuzzInput.folder)/\(name)")
  FuzzInput.write(Array(input), to: name)
  read("\(FuzzInput.folder)/\(name)")
  precondition(openObjects(0x1F, 0x1F) <= 0, "a file, or something in it, was left open")
  return 0
}

private func read(_ path: String) {
  var options = OpeningOptions()
  options.deltaBase = "\(FuzzInput.folder)/base.safetensors"
  do {
    let model = try ModelSource.open(path, options: options)
    guard model.cacheBytes < 64 << 20 else { return }
    try FuzzInput.read(model.tensors.map(\.stored))
  } catch {}
}

/// How many objects of some kinds the library has open: `H5Fget_obj_count`, 0x1F for all kinds and all files.
@_silgen_name("H5Fget_obj_count")
private func openObjects(_ file: Int64, _ kinds: UInt32) -> Int
