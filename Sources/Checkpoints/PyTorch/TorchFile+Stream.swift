import TensorCore

extension TorchFile {
  /// Opens the stream that torch wrote before 1.6: pickles of a magic number, the protocol, the machine, the object
  /// and the storages' keys, then each storage after the number of its elements.
  init(stream file: InputFile, isStrict: Bool) throws(EmbedFuseError) {
    // How long the pickles are is known only at their end.
    var byteCount = min(file.byteCount, 1 << 20)
    while true {
      let head = try file.bytes(0..<byteCount)
      do throws(PickleError) {
        try self.init(stream: file, head: head, isStrict: isStrict)
        return
      } catch  where error.isTruncation && byteCount < min(file.byteCount, PickleReader.byteLimit) {
        byteCount = min(2 * byteCount, file.byteCount, PickleReader.byteLimit)
      } catch {
        throw error.located(path: file.path)
      }
    }
  }

  private init(stream file: InputFile, head: [UInt8], isStrict: Bool) throws(PickleError) {
    var end = Self.streamMagic.count
    var pickles: [Pickle] = []
    for _ in 0..<4 {
      pickles.append(try PickleReader.read(head, from: end, isStrict: isStrict))
      end = pickles[pickles.count - 1].end
    }
    guard pickles[0].root == .int(1001) else {
      throw PickleError(problem: "is of another protocol than 1001, the only one of torch's older files")
    }
    let keys = (pickles[3].sequence(pickles[3].root) ?? []).map { pickles[3].string($0) }
    let storages = try StreamedStorages(keys: keys, described: pickles[2], from: end, in: file)
    // Whatever machine wrote it (the third pickle says which), torch writes these numbers lowest byte first.
    self.init(file: file, pickle: pickles[2], pickleOffset: 0, isBigEndian: false, storages: storages)
  }
}

/// The storages of the older stream, one after the other.
struct StreamedStorages: TorchStorages {
  private let places: [ExactString: FileBytes]

  /// Finds where each storage starts.
  ///
  /// - Throws: `PickleError` for keys that no tensor refers to, sizes that differ from the descriptions', and a file
  ///   that ends before its last storage.
  init(
    keys: [String?], described pickle: Pickle, from start: Int, in file: InputFile
  ) throws(PickleError) {
    var described: [ExactString: TorchTensor.Storage] = [:]
    for (index, node) in pickle.nodes.enumerated() where node.kind == .persistent {
      let storage = try pickle.storage(.node(index))
      let known = described.updateValue(storage, forKey: ExactString(storage.key))
      guard known == nil || known?.storedCount == storage.storedCount && known?.byteWidth == storage.byteWidth
      else { throw PickleError(problem: "describes the storage '\(storage.key.printable)' in two ways") }
    }
    var places: [ExactString: FileBytes] = [:]
    var position = start
    for key in keys {
      guard let key, let storage = described[ExactString(key)] else {
        throw PickleError(problem: "lists a storage that nothing refers to")
      }
      guard file.byteCount - position >= 8, let field = try? file.bytes(position..<position + 8) else {
        throw PickleError(problem: "the file ends before the storage '\(key.printable)'", offset: position)
      }
      let count = field.span.littleEndian(UInt64.self, at: 0)
      let byteCount = try storage.storedByteCount()
      guard count == UInt64(storage.storedCount) else {
        throw PickleError(
          problem:
            "the storage '\(key.printable)' should have \(storage.storedCount) elements, but has \(count)",
          offset: position)
      }
      position += 8
      guard byteCount <= file.byteCount - position else {
        throw PickleError(
          problem:
            "the file ends within the storage '\(key.printable)': \(byteCount - file.byteCount + position) bytes are missing",
          offset: position, remedy: "download or copy it again")
      }
      let place = FileBytes(file: file, offset: position, byteCount: byteCount)
      guard places.updateValue(place, forKey: ExactString(key)) == nil else {
        throw PickleError(problem: "lists the storage '\(key.printable)' twice")
      }
      position += byteCount
    }
    self.places = places
  }

  func bytes(of storage: TorchTensor.Storage) throws(PickleError) -> any ByteSource {
    guard let place = places[ExactString(storage.key)] else {
      throw PickleError(problem: "the file has no storage '\(storage.key.printable)'")
    }
    return place
  }

  func offset(of storage: TorchTensor.Storage) -> Int { places[ExactString(storage.key)]?.offset ?? 0 }
}
