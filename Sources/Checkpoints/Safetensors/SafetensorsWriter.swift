import Synchronization
import TensorCore

/// Writes one safetensors file, of preallocated size, at positions known in advance.
///
/// Tensors keep their order but for alignment: wider element types come first, so that each is naturally aligned.
/// The header's metadata may be replaced before the file is finished by other values of the same length, for
/// digests of what is being written.
package final class SafetensorsWriter: CheckpointWriter {
  /// The longest header that the format allows.
  package static var headerLimit: Int { SafetensorsHeader.lengthLimit }
  /// The metadata of a file of which nothing else is to be said.
  package static let plainMetadata = [(key: "format", value: "pt")]

  /// The tensors in the order given.
  package let tensors: [TensorInfo]

  private let file: OutputFile
  /// The byte at which each tensor starts.
  private let offsets: [Int]
  private let headerByteCount: Int
  private let remaining: Atomic<Int>

  /// Creates the file.
  ///
  /// - Parameters:
  ///   - path: where; nothing may stand there.
  ///   - tensors: what is to be written; names must differ.
  ///   - metadata: the strings of `__metadata__`, in this order.
  ///   - isFlushed: as `OutputFile` has it.
  /// - Throws: `EmbedFuseError`: cannot create; bad data for a name that stands twice or a header that the format
  ///   doesn't allow.
  package init(
    creating path: String, tensors: [TensorInfo], metadata: [(key: String, value: String)] = plainMetadata,
    isFlushed: Bool = true
  ) throws(EmbedFuseError) {
    self.tensors = tensors
    let header = try SafetensorsLayout(tensors: tensors, metadata: metadata)
    file = try OutputFile(creating: path, byteCount: header.byteCount, isFlushed: isFlushed)
    remaining = Atomic(tensors.reduce(0) { $0 + $1.byteCount })
    offsets = header.offsets
    headerByteCount = header.bytes.count
    try file.write(header.bytes.span, at: 0)
  }

  /// Writes a run where it belongs.
  package func write(_ bytes: Span<UInt8>, of tensor: Int, at range: Range<Int>) throws(EmbedFuseError) {
    let start = tensors[tensor].elementType.byteCount(ofElements: range.lowerBound)
    precondition(
      start + bytes.count == tensors[tensor].elementType.byteCount(ofElements: range.upperBound),
      "the bytes of a run are those of its elements")
    try file.write(bytes, at: offsets[tensor] + start)
    remaining.subtract(bytes.count, ordering: .relaxed)
  }

  /// Replaces metadata by other values of the same length.
  package func setMetadata(_ metadata: [(key: String, value: String)]) throws(EmbedFuseError) {
    let replaced = try SafetensorsLayout(tensors: tensors, metadata: metadata)
    precondition(replaced.bytes.count == headerByteCount, "metadata must keep its length")
    try file.write(replaced.bytes.span, at: 0)
  }

  /// Checks that every byte has been written, and closes the file.
  package func finish() throws(EmbedFuseError) {
    let missing = remaining.load(ordering: .acquiring)
    guard missing == 0 else {
      throw EmbedFuseError(.internalError, "\(missing) bytes of tensors were not written", path: file.path)
    }
    try file.close()
  }
}

/// Where the header and the tensors of a safetensors file stand.
struct SafetensorsLayout {
  /// The header with its length.
  let bytes: [UInt8]
  /// The file's byte at which each tensor starts, in the order given.
  let offsets: [Int]
  /// The file's size.
  let byteCount: Int

  private static let lengthByteCount = 8

  init(tensors: [TensorInfo], metadata: [(key: String, value: String)]) throws(EmbedFuseError) {
    let order = tensors.indices.sorted { first, second in
      let ranks = (tensors[first].elementType.rawValue, tensors[second].elementType.rawValue)
      return ranks.0 == ranks.1 ? first < second : ranks.0 > ranks.1
    }
    // Room for all, so that a manifest of very many tensors isn't copied again and again; what isn't used costs nothing.
    let metadataByteCount = metadata.reduce(0) { $0 + $1.key.utf8.count + $1.value.utf8.count }
    var text: [UInt8] = []
    text.reserveCapacity(tensors.reduce(2 * metadataByteCount + 100) { $0 + $1.name.utf8.count + 120 })
    // The header's length, which isn't known yet.
    text += Array(repeating: 0, count: Self.lengthByteCount)
    text.append(UInt8(ascii: "{"))
    if !metadata.isEmpty {
      var strings = JSON.Object()
      for (key, value) in metadata { strings[key] = .string(value) }
      text += "\"__metadata__\":".utf8
      JSON.object(strings).writeCompactly(to: &text)
    }
    var names: Set<ExactString> = [ExactString("__metadata__")]
    var position = 0
    var starts = Array(repeating: 0, count: tensors.count)
    for index in order {
      let info = tensors[index]
      guard names.insert(ExactString(info.name)).inserted else {
        throw EmbedFuseError(
          .badData, "stands in the output twice, or has the reserved name __metadata__", tensor: info.name,
          remedy: EmbedFuseError.repeatedName)
      }
      starts[index] = position
      if text.last != UInt8(ascii: "{") { text.append(UInt8(ascii: ",")) }
      Self.write(info, at: position, to: &text)
      position += info.byteCount
    }
    text.append(UInt8(ascii: "}"))
    text += Array(repeating: 0x20, count: (8 - text.count % 8) % 8)
    let length = text.count - Self.lengthByteCount
    guard length <= SafetensorsHeader.lengthLimit else {
      throw EmbedFuseError(
        .badData,
        "the header takes \(length) bytes, but safetensors allows \(SafetensorsHeader.lengthLimit)",
        remedy: "write shards (--max-shard-size) or .h5 instead")
    }
    for place in 0..<Self.lengthByteCount { text[place] = UInt8(truncatingIfNeeded: length >> (8 * place)) }
    bytes = text
    let dataStart = text.count
    offsets = starts.map { $0 + dataStart }
    byteCount = dataStart + position
  }

  /// Writes a tensor's name and entry.
  private static func write(_ info: TensorInfo, at position: Int, to text: inout [UInt8]) {
    JSON.write(info.name, to: &text)
    text += ":{\"dtype\":\"".utf8
    text += info.elementType.name.utf8
    text += "\",\"shape\":[".utf8
    for (axis, extent) in info.shape.dimensions.enumerated() {
      if axis > 0 { text.append(UInt8(ascii: ",")) }
      text += String(extent).utf8
    }
    text += "],\"data_offsets\":[".utf8
    text += String(position).utf8
    text.append(UInt8(ascii: ","))
    text += String(position + info.byteCount).utf8
    text += "]}".utf8
  }
}
