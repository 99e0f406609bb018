import TensorCore

extension SafetensorsHeader {
  /// Puts the tensors in order and checks that they cover the data without gap or overlap.
  static func layOut(
    _ tensors: [PlacedTensor], dataStart: Int, file: InputFile
  ) throws(EmbedFuseError) -> [Entry] {
    try EmbedFuseError.checkCancellation()
    let ordered = tensors.sorted { ($0.begin, $0.end) < ($1.begin, $1.end) }
    var previous: PlacedTensor?
    for tensor in ordered {
      try check(tensor, after: previous, path: file.path)
      previous = tensor
    }
    let position = previous?.end ?? 0
    let available = file.byteCount - dataStart
    guard position <= available else {
      throw EmbedFuseError(
        .badData,
        "the tensors take \(position) bytes, but the file ends after \(available): \(position - available) are missing",
        path: file.path, offset: file.byteCount, remedy: "the file was cut off; download or copy it again")
    }
    guard position == available else {
      throw EmbedFuseError(
        .badData, "\(available - position) bytes follow the last tensor, but the file should end here",
        path: file.path, offset: dataStart + position,
        remedy: "the file was added to or is not of one save; download or copy it again")
    }
    // Every offset is known to lie in the file only now, so that no sum before could overflow.
    return ordered.map { Entry(info: $0.info, offset: dataStart + $0.begin) }
  }

  private static func check(
    _ tensor: PlacedTensor, after previous: PlacedTensor?, path: String
  ) throws(EmbedFuseError) {
    let position = previous?.end ?? 0
    let (info, begin, end) = (tensor.info, tensor.begin, tensor.end)
    guard begin == position else {
      let before = previous.map { "tensor \($0.info.name.printable) before it" } ?? "start of the data"
      throw EmbedFuseError(
        .badData,
        "begins at data byte \(begin), where \(position) is expected: it "
          + (begin < position
            ? "overlaps the \(before)" : "leaves a gap of \(begin - position) bytes to the \(before)"),
        path: path, tensor: info.name, remedy: notSafetensors)
    }
    guard end - begin == info.byteCount else {
      throw EmbedFuseError(
        .badData,
        "takes \(end - begin) bytes, but \(info.elementType) of shape \(info.shape) takes \(info.byteCount)",
        path: path, tensor: info.name, remedy: notSafetensors)
    }
  }
}
