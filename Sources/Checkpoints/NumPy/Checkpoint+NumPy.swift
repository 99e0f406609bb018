import TensorCore

extension Checkpoint {
  /// Opens a `.npy` file: one tensor, named as the file without its ending.
  ///
  /// - Throws: `EmbedFuseError`: missing input if it isn't there; bad data for what the format forbids, for pickled
  ///   objects and for types that checkpoints don't have.
  public static func openNPY(
    at path: String, options: OpeningOptions = OpeningOptions()
  ) throws(EmbedFuseError) -> Checkpoint {
    let file = try InputFile(path)
    let name = String(FilePath.name(of: path).dropLast(".npy".count))
    let header = try NumPyHeader(
      NumPyHeader.Place(path: path, name: name), byteCount: file.byteCount,
      exactType: options.readsVoidPairsAsBFloat16 ? .bf16 : nil
    ) { range throws(EmbedFuseError) in
      try file.bytes(range)
    }
    let values = FileRegion(file: file, offset: header.dataOffset, elementType: header.elementType)
    return Checkpoint(
      path: path, format: .numpy, tensors: [try header.tensor(named: name, values: values, path: path)],
      files: [(path, file.byteCount)])
  }
}

extension NumPyHeader {
  /// The tensor whose elements stand in `values` as the header says.
  func tensor(
    named name: String, values: any TensorStorage, path: String
  ) throws(EmbedFuseError) -> StoredTensor {
    guard let info = TensorInfo(name: name, elementType: elementType, shape: shape) else {
      throw Place(path: path, name: name).reject("has extents whose product overflows")
    }
    var storage = values
    if isBigEndian { storage = ByteSwappedStorage(stored: storage, type: elementType) }
    if isFortranOrder, shape.rank > 1, shape.elementCount > 0 {
      storage = FortranStorage(storage, shape: shape, type: elementType)
    }
    return StoredTensor(info: info, storage: storage, path: path)
  }
}
