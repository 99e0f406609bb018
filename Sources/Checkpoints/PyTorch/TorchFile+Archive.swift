import TensorCore

extension TorchFile {
  /// Opens the zip archive that torch writes since 1.6: one folder with `data.pkl`, `version` and a file for each
  /// storage.
  init(archive file: InputFile, isStrict: Bool) throws(EmbedFuseError) {
    let archive = try ZipArchive(file)
    func refuse(_ problem: String, remedy: String? = nil) -> EmbedFuseError {
      EmbedFuseError(.badData, problem, path: file.path, remedy: remedy)
    }
    let folders = Set(archive.entries.map { ExactString(String($0.name.prefix { $0 != "/" })) })
    guard folders.count == 1, let folder = folders.first?.text,
      archive.entries.allSatisfy({ $0.name.contains("/") })
    else { throw refuse("the zip archive doesn't hold just one folder, as torch.save writes it") }
    guard archive["\(folder)/constants.pkl"] == nil,
      !archive.entries.contains(where: { $0.name.hasPrefix("\(folder)/code/") })
    else {
      throw refuse(
        "is a TorchScript program, not a checkpoint",
        remedy: "save its weights: torch.save(torch.jit.load(PATH).state_dict(), OUT)")
    }
    guard let data = archive["\(folder)/data.pkl"] else {
      throw refuse("the zip archive has no data.pkl", remedy: "torch.save didn't write this file")
    }
    guard archive["\(folder)/version"] != nil else {
      throw refuse(
        "the zip archive has no record of its version", remedy: "torch.save didn't write this file")
    }
    var isBigEndian = false
    if let entry = archive["\(folder)/byteorder"] {
      let text = try archive.contents(of: entry, limit: 16)
      guard text == Array("little".utf8) || text == Array("big".utf8) else {
        throw refuse("its byte order is neither little nor big")
      }
      isBigEndian = text == Array("big".utf8)
    }
    let bytes = try archive.contents(of: data, limit: PickleReader.byteLimit)
    let start = data.method == .stored ? data.dataOffset : 0
    do throws(PickleError) {
      self.init(
        file: file, pickle: try PickleReader.read(bytes, isStrict: isStrict), pickleOffset: start,
        isBigEndian: isBigEndian, storages: ArchivedStorages(archive: archive, folder: folder))
    } catch {
      throw error.located(path: file.path, start: start)
    }
  }
}

/// The storages of a zip archive: `data/KEY` in its folder.
struct ArchivedStorages: TorchStorages {
  let archive: ZipArchive
  let folder: String

  private func entry(of storage: TorchTensor.Storage) -> ZipEntry? {
    guard !storage.key.isEmpty, storage.key.utf8.allSatisfy({ (0x30...0x39).contains($0) }) else {
      return nil
    }
    return archive["\(folder)/data/\(storage.key)"]
  }

  func bytes(of storage: TorchTensor.Storage) throws(PickleError) -> any ByteSource {
    guard let entry = entry(of: storage) else {
      throw PickleError(problem: "the archive has no storage '\(storage.key.printable)'")
    }
    let expected = try storage.storedByteCount()
    guard entry.byteCount == expected else {
      throw PickleError(
        problem:
          "its storage should have \(expected) bytes, but \(entry.name.printable) has \(entry.byteCount)")
    }
    return archive.source(of: entry)
  }

  func offset(of storage: TorchTensor.Storage) -> Int { entry(of: storage)?.dataOffset ?? 0 }
}
