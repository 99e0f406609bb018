import Kernels
import TensorCore

/// The base of a file that stores differences, as far as its reader knows it: what the file says of it, and where it is.
final class DeltaSource: Sendable {
  /// A tensor that is stored as differences.
  struct Tensor: Sendable {
    /// The tensor, under its name within the whole model.
    let info: TensorInfo
    /// The digests of the base's blocks.
    let blocks: [ContentDigest]
  }

  /// The file.
  let path: String
  /// The base's path as the file has it.
  let recordedPath: String
  /// The digest of the tensors of the base to which there are differences.
  let digest: ContentDigest
  private let tensors: [Tensor]
  /// The base's tensors by name; nil if the file is only described.
  private let base: (path: String, tensors: [String: StoredTensor])?
  private let buffers = FreeList<[UInt8]> { [] }
  /// The first tensor that turned out to be another in the base, once one has.
  private let difference = Locked<String?>(nil)

  /// Finds the base and compares its description.
  ///
  /// - Throws: missing input where there is no base; bad data where it has not the same tensors.
  init(
    of path: String, recordedPath: String, tensors: [Tensor], digest: ContentDigest, options: OpeningOptions
  ) throws(EmbedFuseError) {
    self.path = path
    self.recordedPath = recordedPath
    self.tensors = tensors
    self.digest = digest
    guard !options.describing else {
      base = nil
      return
    }
    let found: String
    if let named = options.deltaBase {
      found = named
    } else {
      found = try Self.find(recordedPath, beside: path)
    }
    let source = try ModelSource.open(found, options: OpeningOptions(describing: true))
    guard source.relativeTo == nil else {
      throw EmbedFuseError(
        .badData,
        "it is stored relative to \(found.printable), which is itself stored relative to another checkpoint",
        path: path, remedy: Self.remedy)
    }
    let stored = Dictionary(source.tensors.map { ($0.name, $0.stored) }) { first, _ in first }
    for tensor in tensors {
      let info = tensor.info
      guard let other = stored[info.name]?.info else {
        throw Self.otherBase(found, info.name, "there is none of this name", path)
      }
      guard other.elementType == info.elementType, other.shape == info.shape else {
        throw Self.otherBase(
          found, info.name, "\(other.elementType) \(other.shape), not \(info.elementType) \(info.shape)", path
        )
      }
    }
    base = (found, stored)
  }

  private static let remedy = "name the checkpoint that it was stored relative to with --delta-base"

  private static func otherBase(
    _ base: String, _ tensor: String, _ what: String, _ path: String
  ) -> EmbedFuseError {
    EmbedFuseError(
      .badData, "\(base.printable) is not the base to which it was stored: \(what)", path: path,
      tensor: tensor, remedy: remedy)
  }

  /// The base where it is recorded, beside the file or in the working directory.
  ///
  /// A file can make this read whatever stands at a relative path, but the digests decide whether it is used.
  private static func find(_ recorded: String, beside file: String) throws(EmbedFuseError) -> String {
    let folder = FilePath.folder(of: file)
    guard !recorded.isEmpty, !recorded.hasPrefix("/"), !recorded.utf8.contains(0) else {
      throw EmbedFuseError(.badData, "the path of its base is not a relative one", path: file, remedy: remedy)
    }
    let places = [
      FilePath.join(folder, recorded), recorded, FilePath.join(folder, FilePath.name(of: recorded)),
    ]
    for place in places where [.file, .directory].contains(FilePath.kind(of: place)) { return place }
    throw EmbedFuseError(
      .missingInput,
      "it holds differences to \(recorded.printable), which is neither beside it nor in the working directory",
      path: file, remedy: remedy)
  }
}

// MARK: - Values

extension DeltaSource {
  /// What reading the base keeps in memory.
  fileprivate var residentBytes: Int { base?.tensors.values.map(\.storage.residentBytes).max() ?? 0 }

  /// What a worker needs for it.
  fileprivate func workerBytes(of info: TensorInfo) -> Int {
    (base?.tensors[info.name]?.storage.workerBytes ?? 0)
      + info.elementType.byteCount(ofElements: BlockGrid.blockLength)
  }

  /// The tensor of this index.
  fileprivate func info(of index: Int) -> TensorInfo { tensors[index].info }

  /// The storage of tensor `index`, whose differences come from `differences`.
  func storage(of index: Int, differences: any TensorStorage) -> any TensorStorage {
    DeltaStorage(source: self, index: index, differences: differences)
  }

  /// Puts the values of a range in the place of its differences, at the front of `bytes`.
  fileprivate func restore(
    _ range: Range<Int>, of index: Int, in bytes: inout MutableSpan<UInt8>
  ) throws(EmbedFuseError) {
    let info = tensors[index].info
    guard let base, let stored = base.tensors[info.name] else {
      throw EmbedFuseError(
        .internalError, "its values were asked for without its base", path: path, tensor: info.name)
    }
    var buffer = try buffers.take()
    defer { buffers.put(buffer) }
    let grid = BlockGrid(info)
    let width = info.elementType.bitWidth / 8
    var block = grid.index(containing: range.lowerBound)
    while block < grid.count, grid[block].lowerBound < range.upperBound {
      let whole = grid[block]
      guard try stored.digest(ofBlock: whole, reading: &buffer) == tensors[index].blocks[block] else {
        throw Self.otherBase(
          base.path, try firstDifference(info.name), "the tensor has other values", path)
      }
      let part = whole.clamped(to: range)
      let start = (part.lowerBound - whole.lowerBound) * width
      Differences.decode(
        &bytes, at: (part.lowerBound - range.lowerBound) * width,
        relativeTo: buffer.span.extracting(start..<start + part.count * width), width: width)
      block += 1
    }
  }

  /// The first tensor in which the base differs, so that workers which find different ones say the same.
  private func firstDifference(_ found: String) throws(EmbedFuseError) -> String {
    try difference.withLock { known throws(EmbedFuseError) in
      if let known { return known }
      let name = try searchedDifference() ?? found
      known = name
      return name
    }
  }

  private func searchedDifference() throws(EmbedFuseError) -> String? {
    var buffer: [UInt8] = []
    for tensor in tensors {
      guard let stored = base?.tensors[tensor.info.name] else { return tensor.info.name }
      let grid = BlockGrid(tensor.info)
      for block in 0..<grid.count
      where try stored.digest(ofBlock: grid[block], reading: &buffer) != tensor.blocks[block] {
        return tensor.info.name
      }
    }
    return nil
  }
}

/// The storage of a tensor that is kept as differences. What is read of the base is digested block by block and
/// compared, so that another base never gives values.
private struct DeltaStorage: TensorStorage {
  let source: DeltaSource
  let index: Int
  let differences: any TensorStorage

  var residentBytes: Int { differences.residentBytes + source.residentBytes }
  var workerBytes: Int { differences.workerBytes + source.workerBytes(of: source.info(of: index)) }

  func read(_ range: Range<Int>, into bytes: inout MutableSpan<UInt8>) throws(EmbedFuseError) {
    guard !range.isEmpty else { return }
    try differences.read(range, into: &bytes)
    try source.restore(range, of: index, in: &bytes)
  }
}
