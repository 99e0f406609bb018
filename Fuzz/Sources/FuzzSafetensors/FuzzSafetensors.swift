import EmbedFuse
import FuzzInput

/// The shards that indexes may name.
private let shards: Void = {
  FuzzInput.write(FuzzInput.safetensors("a 4 4\nb 4".utf8), to: "1.safetensors")
  FuzzInput.write(FuzzInput.safetensors("c 2 2\nd 0".utf8), to: "2.safetensors")
}()

/// Safetensors files, and as JSON: headers, which get as many values as they ask for, and indexes of shards.
@_cdecl("LLVMFuzzerTestOneInput")
public func fuzzSafetensors(_ start: UnsafePointer<UInt8>?, _ count: Int) -> CInt {
  let bytes = Array(UnsafeRawBufferPointer(start: start, count: count))
  guard bytes.first == UInt8(ascii: "{") else {
    open(bytes)
    return 0
  }
  guard let json = try? JSON.parse(bytes.span, duplicateKeys: .lastWins) else {
    precondition((try? JSON.parse(bytes.span)) == nil, "what is refused leniently is taken strictly")
    open(FuzzInput.safetensors(header: bytes, byteCount: 16))
    return 0
  }
  for text in [json.compactText, json.prettyText] {
    precondition((try? JSON.parse(text)) == json, "written JSON reads back as something else")
  }
  if json["weight_map"] != nil {
    shards
    open(bytes, as: FuzzInput.link("model.safetensors.index.json"))
  } else {
    let ends = json.objectValue?.members.compactMap { $0.value["data_offsets"]?.arrayValue?.last?.intValue }
    let end = ends?.max() ?? 0
    open(FuzzInput.safetensors(header: bytes, byteCount: 0..<65_536 ~= end ? end : 16))
  }
  return 0
}

private func open(_ bytes: [UInt8], as link: String? = nil) {
  let path = bytes.withUnsafeBytes { FuzzInput.file(holding: $0) }
  do { try FuzzInput.read(Checkpoint.openSafetensors(at: link ?? path).tensors) } catch {}
}
