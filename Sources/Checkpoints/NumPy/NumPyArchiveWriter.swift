import TensorCore

/// Writes a `.npz` file: a zip archive of stored arrays, one for each tensor under its name, at positions known in
/// advance.
///
/// NumPy has no names for BF16 and the types of 8 bits: their elements are bytes without a meaning to it (`V2`, `V1`),
/// and a remark on the archive's entry tells the type to those who know to look there.
package final class NumPyArchiveWriter: CheckpointWriter {
  /// The tensors in the order given.
  package let tensors: [TensorInfo]

  /// The checksum of a run.
  private struct Part: Sendable {
    let start: Int
    let byteCount: Int
    let checksum: CRC32
  }

  private let file: OutputFile
  private let headers: [[UInt8]]
  private let records: [ZipRecord]
  /// The runs that were written of each tensor.
  private let parts: Locked<[[Part]]>
  private let others = Locked<[(name: String, bytes: [UInt8])]>([])

  /// Creates the file.
  ///
  /// - Parameters:
  ///   - path: where; nothing may stand there.
  ///   - tensors: what is to be written; names must differ.
  /// - Throws: `EmbedFuseError`: cannot create; bad data listing the tensors that an archive can't hold.
  package init(creating path: String, tensors: [TensorInfo]) throws(EmbedFuseError) {
    try Self.check(tensors)
    self.tensors = tensors
    headers = tensors.map(Self.header)
    var position = 0
    var records: [ZipRecord] = []
    for (info, header) in zip(tensors, headers) {
      let record = ZipRecord(
        name: Array("\(info.name).npy".utf8), byteCount: header.count + info.byteCount, offset: position,
        comment: NumPyType.isExact(info.elementType) ? "" : info.elementType.name)
      records.append(record)
      position = record.dataOffset + record.byteCount
    }
    self.records = records
    parts = Locked(tensors.map { _ in [] })
    file = try OutputFile(creating: path, byteCount: position)
  }

  /// Refuses what an archive can't hold.
  private static func check(_ tensors: [TensorInfo]) throws(EmbedFuseError) {
    var names: Set<ExactString> = []
    var problems: [String] = []
    for info in tensors {
      guard names.insert(ExactString(info.name)).inserted else {
        throw EmbedFuseError(
          .badData, "stands in the output twice", tensor: info.name, remedy: EmbedFuseError.repeatedName)
      }
      if NumPyType.description(of: info.elementType) == nil {
        problems.append("\(info.name.printable) is of type \(info.elementType)")
      } else if info.shape.rank > 64 {
        problems.append("\(info.name.printable) has \(info.shape.rank) dimensions")
      } else if info.name.utf8.contains(0) || info.name.utf8.count > 65_000 {
        problems.append("\(String(info.name.prefix(100)).printable) is no name for an array")
      }
    }
    guard problems.isEmpty else {
      throw EmbedFuseError(
        .badData,
        "NumPy can't hold \(problems.count) of the tensors:" + problems.messageLines,
        remedy: "NumPy has up to 64 dimensions and no packed types; write .safetensors instead")
    }
  }

  /// What stands before the elements, as NumPy writes it: 64 divides its length.
  private static func header(of info: TensorInfo) -> [UInt8] {
    let extents = info.shape.dimensions.map(String.init).joined(separator: ", ")
    let shape = "(\(extents)\(info.shape.rank == 1 ? "," : ""))"
    let description = NumPyType.description(of: info.elementType)!
    var text = Array("{'descr': '\(description)', 'fortran_order': False, 'shape': \(shape), }".utf8)
    text += Array(repeating: 0x20, count: 63 - (10 + text.count) % 64) + [0x0A]
    return NumPyHeader.magic + [1, 0] + UInt16(text.count).littleEndianBytes + text
  }

  /// Writes a run where it belongs.
  package func write(_ bytes: Span<UInt8>, of tensor: Int, at range: Range<Int>) throws(EmbedFuseError) {
    let type = tensors[tensor].elementType
    precondition(bytes.count == type.byteCount(ofElements: range.count), "a run is as long as its elements")
    let start = type.byteCount(ofElements: range.lowerBound)
    try file.write(bytes, at: records[tensor].dataOffset + headers[tensor].count + start)
    let part = Part(start: start, byteCount: bytes.count, checksum: CRC32(bytes))
    parts.withLock { $0[tensor].append(part) }
  }

  /// Adds a file that travels with the tensors. It is written by `finish`, after them; NumPy gives its bytes.
  package func add(file name: String, bytes: [UInt8]) {
    others.withLock { $0.append((name, bytes)) }
  }

  /// Checks that every byte has been written, writes headers, other files and directory, and closes the file.
  package func finish() throws(EmbedFuseError) {
    var directory: [UInt8] = []
    for (tensor, header) in headers.enumerated() {
      let checksum = try checksum(of: tensor)
      let before = records[tensor].localHeader(checksum: checksum) + header
      try file.write(before.span, at: records[tensor].offset)
      directory += records[tensor].directoryEntry(checksum: checksum)
    }
    var position = records.last.map { $0.dataOffset + $0.byteCount } ?? 0
    let others = others.withLock { $0 }
    for (name, bytes) in others {
      let record = ZipRecord(
        name: Array(name.utf8), byteCount: bytes.count, offset: position, comment: "")
      let checksum = CRC32(bytes.span)
      let whole = record.localHeader(checksum: checksum) + bytes
      try file.write(whole.span, at: position)
      directory += record.directoryEntry(checksum: checksum)
      position += whole.count
    }
    directory += ZipRecord.end(
      count: records.count + others.count, byteCount: directory.count, offset: position)
    try file.write(directory.span, at: position)
    try file.close()
  }

  /// The checksum of a whole array, from those of its header and its runs.
  private func checksum(of tensor: Int) throws(EmbedFuseError) -> CRC32 {
    let header = headers[tensor]
    var checksum = CRC32(header.span)
    var position = 0
    for part in parts.withLock({ $0[tensor] }).sorted(by: { $0.start < $1.start }) {
      checksum.append(part.checksum, ofBytes: part.byteCount)
      position += part.byteCount
    }
    guard position == tensors[tensor].byteCount else {
      throw EmbedFuseError(
        .internalError, "\(tensors[tensor].byteCount - position) bytes were not written", path: file.path,
        tensor: tensors[tensor].name)
    }
    return checksum
  }
}
