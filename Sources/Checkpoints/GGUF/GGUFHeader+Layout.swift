import TensorCore

extension GGUFHeader {
  /// Checks types, sizes and places, and puts the tensors in the order of their values.
  static func layOut(
    _ tensors: [Description], dataStart: Int, alignment: Int, file: InputFile
  ) throws(EmbedFuseError) -> [Entry] {
    var entries: [Entry] = []
    for tensor in tensors {
      entries.append(try entry(tensor, dataStart: dataStart, alignment: alignment, file: file))
    }
    // Of tensors that start at one place the empty ones come first.
    entries.sort { ($0.offset, $0.byteCount) < ($1.offset, $1.byteCount) }
    for (first, second) in zip(entries, entries.dropFirst())
    where first.offset + first.byteCount > second.offset {
      throw EmbedFuseError(
        .badData, "overlaps the tensor \(first.info.name.printable) before it", path: file.path,
        tensor: second.info.name, offset: second.offset, remedy: notGGUF)
    }
    return entries
  }

  private static let notGGUF = "check that this is a GGUF file, and download or copy it again"

  /// Where one tensor stands.
  private static func entry(
    _ tensor: Description, dataStart: Int, alignment: Int, file: InputFile
  ) throws(EmbedFuseError) -> Entry {
    func reject(_ problem: String) -> EmbedFuseError {
      EmbedFuseError(
        .badData, problem, path: file.path, tensor: tensor.name, offset: tensor.position, remedy: notGGUF)
    }
    guard let type = GGMLType(rawValue: tensor.type) else {
      throw reject("has the unknown type \(tensor.type)")
    }
    guard type != .q8Zero || tensor.shape.rowLength % Q8Block.length == 0 else {
      throw reject(
        "has rows of \(tensor.shape.rowLength) elements, but Q8_0 stores them in blocks of \(Q8Block.length)")
    }
    guard let info = TensorInfo(name: tensor.name, elementType: type.elementType, shape: tensor.shape),
      let byteCount = type.byteCount(ofElements: tensor.shape.elementCount)
    else { throw reject("has the shape \(tensor.shape), whose size does not end at a byte") }
    guard tensor.offset % UInt64(alignment) == 0 else {
      throw reject("starts at data byte \(tensor.offset), which is no multiple of \(alignment)")
    }
    // The data may start beyond the end of a file whose tensors are all empty.
    let available = max(0, file.byteCount - dataStart)
    guard let offset = Int(exactly: tensor.offset), offset <= available, byteCount <= available - offset
    else {
      throw EmbedFuseError(
        .badData,
        "takes \(byteCount) bytes from data byte \(tensor.offset) on, but the data ends after \(available)",
        path: file.path, tensor: tensor.name, offset: tensor.position,
        remedy: "the file was cut off; download or copy it again")
    }
    return Entry(info: info, type: type, offset: dataStart + offset, byteCount: byteCount)
  }

  /// The tensors of quantised types that can't be read, a line for each type.
  static func unreadable(_ tensors: [Description]) -> [String] {
    var names: [String: [String]] = [:]
    for tensor in tensors {
      guard let type = GGMLType.name(ofUnreadable: tensor.type) else { continue }
      names[type, default: []].append(tensor.name)
    }
    return names.sorted { $0.key < $1.key }.map { type, names in
      "\(type) (\(names.count)): \(names.printableList)"
    }
  }

  /// The error for a file that holds such tensors.
  static func refusal(_ unreadable: [String], path: String) -> EmbedFuseError {
    EmbedFuseError(
      .badData,
      "holds tensors of quantised types that can't be read:\n  " + unreadable.joined(separator: "\n  "),
      path: path,
      remedy:
        "F32, F16, BF16, F64, Q8_0 and integers can be read: convert the model to one of these (convert_hf_to_gguf.py --outtype f16 in llama.cpp)"
    )
  }
}
