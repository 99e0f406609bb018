import TensorCore

extension Checkpoint {
  /// Opens a GGUF file. Tensors in Q8_0 are read as F32, which holds their values exactly.
  ///
  /// - Throws: `EmbedFuseError`: missing input if it isn't there; bad data for what the format forbids, and for other
  ///   quantised types, with the tensors listed; if the file is only described they are in a note.
  public static func openGGUF(
    at path: String, options: OpeningOptions = OpeningOptions()
  ) throws(EmbedFuseError) -> Checkpoint {
    let file = try InputFile(path)
    let header = try GGUFHeader(of: file, describing: options.describing)
    let tensors = header.entries.map { entry in
      let storage: any TensorStorage =
        entry.type == .q8Zero
        ? Q8Storage(file: file, offset: entry.offset)
        : file.storage(from: entry.offset, elementType: entry.info.elementType)
      return StoredTensor(info: entry.info, storage: storage, path: path)
    }
    var notes: [String] = []
    let quantized = header.entries.count { $0.type == .q8Zero }
    if quantized > 0 {
      notes.append(
        "\(path.printable): \(quantized.counted("tensor")) in Q8_0 \(quantized == 1 ? "is" : "are") read as F32"
      )
    }
    for line in header.unreadable { notes.append("\(path.printable): tensors that can't be read: \(line)") }
    return Checkpoint(
      path: path, format: .gguf, tensors: tensors,
      metadata: header.keyValues.reduce(into: [:]) { $0[$1.key] = $1.text },
      files: [(path, file.byteCount)], notes: notes)
  }
}
