import EmbedFuse
import FuzzInput

/// NumPy archives, arrays and, wrapped into an array, the dictionaries of their headers.
@_cdecl("LLVMFuzzerTestOneInput")
public func fuzzNumPy(_ start: UnsafePointer<UInt8>?, _ count: Int) -> CInt {
  var bytes = Array(UnsafeRawBufferPointer(start: start, count: count))
  let isArchive = bytes.starts(with: [0x50, 0x4B])
  if !isArchive && !bytes.starts(with: [0x93]) { bytes = array(ofDictionary: bytes) }
  let path = bytes.withUnsafeBytes { FuzzInput.file(holding: $0) }
  var options = OpeningOptions()
  for readsPairs in [false, true] {
    options.readsVoidPairsAsBFloat16 = readsPairs
    do {
      let checkpoint =
        isArchive
        ? try Checkpoint.openNPZ(at: path, options: options)
        : try Checkpoint.openNPY(at: path, options: options)
      try FuzzInput.read(checkpoint.tensors)
    } catch {}
  }
  return 0
}

/// An array with this dictionary and 96 bytes of data.
private func array(ofDictionary text: [UInt8]) -> [UInt8] {
  let length = UInt16(truncatingIfNeeded: min(text.count, 65_535))
  return [0x93] + Array("NUMPY".utf8) + [1, 0, UInt8(truncatingIfNeeded: length), UInt8(length >> 8)]
    + text.prefix(Int(length)) + [UInt8](0..<96)
}
