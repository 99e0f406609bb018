import EmbedFuse
import FuzzInput

/// Zip archives, streams and, wrapped into an archive, pickles.
@_cdecl("LLVMFuzzerTestOneInput")
public func fuzzPyTorch(_ start: UnsafePointer<UInt8>?, _ count: Int) -> CInt {
  let input = UnsafeRawBufferPointer(start: start, count: count)
  var bytes = Array(input)
  if !bytes.starts(with: [0x50, 0x4B]) && !bytes.starts(with: [0x80, 2, 0x8A, 10]) {
    bytes = archive(ofPickle: bytes)
  }
  let path = bytes.withUnsafeBytes { FuzzInput.file(holding: $0) }
  for key in [nil, "model"] {
    for isStrict in [false, true] {
      var options = OpeningOptions()
      options.stateDictKey = key
      options.strictPickle = isStrict
      do {
        try FuzzInput.read(try Checkpoint.openPyTorch(at: path, options: options).tensors)
      } catch {
        // The strict way refuses all that the other one does.
        break
      }
    }
  }
  return 0
}

/// An archive as torch writes it: the pickle without a checksum, and two storages.
private func archive(ofPickle pickle: [UInt8]) -> [UInt8] {
  func little<Value: FixedWidthInteger>(_ value: Value) -> [UInt8] {
    (0..<Value.bitWidth / 8).map { UInt8(truncatingIfNeeded: value >> (8 * $0)) }
  }
  var archive: [UInt8] = []
  var directory: [UInt8] = []
  let storage = [UInt8](0..<96)
  let entries = [("m/data.pkl", pickle), ("m/data/0", storage), ("m/data/1", storage), ("m/version", [0x33])]
  for (name, data) in entries {
    let sizes = little(UInt32(0)) + little(UInt32(data.count)) + little(UInt32(data.count))
    let fields = [0, 0, 0, 0, 0, 0, 0, 0] + sizes + little(UInt16(name.utf8.count)) + [0, 0]
    directory += [0x50, 0x4B, 1, 2, 20, 0, 20, 0] + fields + [UInt8](repeating: 0, count: 10)
    directory += little(UInt32(archive.count)) + Array(name.utf8)
    archive += [0x50, 0x4B, 3, 4, 20, 0] + fields + Array(name.utf8) + data
  }
  let start = archive.count
  archive += directory + [0x50, 0x4B, 5, 6, 0, 0, 0, 0]
  archive += little(UInt16(entries.count)) + little(UInt16(entries.count))
  return archive + little(UInt32(directory.count)) + little(UInt32(start)) + [0, 0]
}
