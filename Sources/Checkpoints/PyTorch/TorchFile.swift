import TensorCore

/// A file that `torch.save` wrote: a pickle that describes tensors, and the storages that hold their values.
struct TorchFile {
  let file: InputFile
  let pickle: Pickle
  /// The file's byte at which the pickle starts, or 0 where it isn't there as it is.
  let pickleOffset: Int
  /// True if values stand highest byte first.
  let isBigEndian: Bool
  /// The bytes of storages by their keys.
  let storages: any TorchStorages

  /// Opens a file of either kind, told apart by its first bytes.
  ///
  /// - Throws: `EmbedFuseError`: missing input if it isn't there or is a kind of file that can't be read, with what
  ///   can be done; bad data for one that breaks its format.
  init(at path: String, isStrict: Bool) throws(EmbedFuseError) {
    let file = try InputFile(path)
    let head = try file.bytes(0..<min(file.byteCount, 512))
    if head.starts(with: [0x50, 0x4B, 3, 4]) {
      self = try TorchFile(archive: file, isStrict: isStrict)
    } else if head.starts(with: Self.streamMagic) {
      self = try TorchFile(stream: file, isStrict: isStrict)
    } else {
      throw Self.foreign(head, path: path)
    }
  }

  init(file: InputFile, pickle: Pickle, pickleOffset: Int, isBigEndian: Bool, storages: any TorchStorages) {
    self.file = file
    self.pickle = pickle
    self.pickleOffset = pickleOffset
    self.isBigEndian = isBigEndian
    self.storages = storages
  }

  /// What the older stream starts with: a pickle of the number 0x1950a86a20f9469cfc6c.
  static let streamMagic: [UInt8] = [
    0x80, 2, 0x8A, 10, 0x6C, 0xFC, 0x9C, 0x46, 0xF9, 0x20, 0x6A, 0xA8, 0x50, 0x19, 0x2E,
  ]

  /// What to say of a file that torch.save didn't write.
  private static func foreign(_ head: [UInt8], path: String) -> EmbedFuseError {
    let found: (problem: String, remedy: String)
    if head.isEmpty {
      found = ("the file has 0 bytes", "download or copy it again")
    } else if head.count > 262, head[257..<262].elementsEqual("ustar".utf8) {
      found = (
        "is a tar archive, as torch before 0.1.10 wrote", "load it with an older torch and save it again"
      )
    } else if head[0] == 0x80, head.count > 1, (1...5).contains(head[1]) {
      found = (
        "is a bare pickle, not a file that torch.save wrote",
        "save it with torch.save(model.state_dict(), PATH)"
      )
    } else {
      found = (
        "is neither a zip archive nor the older stream, one of which torch.save writes",
        "download or save it again"
      )
    }
    return EmbedFuseError(.badData, found.problem, path: path, remedy: found.remedy)
  }
}

/// The storages that a file of torch holds.
protocol TorchStorages: Sendable {
  /// The bytes of a storage, as many as its description says.
  ///
  /// - Throws: `PickleError` if there is none of this key or it has another size.
  func bytes(of storage: TorchTensor.Storage) throws(PickleError) -> any ByteSource
  /// Where they stand in the file, to read tensors in that order.
  func offset(of storage: TorchTensor.Storage) -> Int
}

extension TorchTensor.Storage {
  /// Bytes of all that the file stores under its key.
  ///
  /// - Throws: `PickleError` for a class that is unknown and for a size that no file has.
  func storedByteCount() throws(PickleError) -> Int {
    guard let width = byteWidth else {
      throw PickleError(
        problem: "has a storage of the class \(storageClass.printable), which torch doesn't have")
    }
    let (bytes, overflow) = storedCount.multipliedReportingOverflow(by: width)
    guard storedCount >= 0, !overflow else {
      throw PickleError(problem: "has a storage of \(storedCount) elements, a size that no file has")
    }
    return bytes
  }
}
