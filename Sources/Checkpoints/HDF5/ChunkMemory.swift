import Glibc
import TensorCore

/// How much memory the chunks of a file take while it is read block by block.
///
/// A block of rows may cross many chunks, and the next block the same ones: those stay decoded meanwhile, or every
/// block would decode them again. So much is kept: what the blocks of all workers touch together, and what one block
/// of the tensor that comes next touches.
struct ChunkMemory {
  /// Bytes of a chunk beyond which it must be plausible for the file, so that a small damaged one can't ask for much.
  private static let plainBytes = 256 << 20
  /// Bytes of a large chunk for each byte of the file at most. Weights don't compress to a hundredth.
  private static let largestRatio = 100

  /// Bytes of decoded chunks that are kept.
  let cacheBytes: Int
  /// Bytes that a worker needs to decode a chunk, besides its values.
  let workerBytes: Int
  /// What the library keeps of a file: its caches, and where chunks stand.
  private let libraryBytes: Int

  /// Bytes that stay in memory whoever reads: also the gaps that small buffers leave between them.
  var residentBytes: Int { Self.sum(Self.sum(cacheBytes, min(cacheBytes / 4, 8 << 20)), libraryBytes) }

  /// The memory for the datasets of a file.
  ///
  /// - Parameter most: the cache takes no more if one block's chunks need no more; nil for no limit.
  init(_ datasets: [HDF5Dataset], most: Int?) {
    let workers = min(16, max(1, sysconf(Int32(_SC_NPROCESSORS_ONLN))))
    // What the chunks under all workers' blocks take, and under one; all that is chunked; the most for decoding.
    var (shared, single): ([Int], [Int]) = ([], [])
    var (total, buffers, listed) = (0, 0, 0)
    for dataset in datasets {
      guard case .chunked(let extents, let places) = dataset.layout,
        let grid = ChunkGrid(dimensions: dataset.dimensions, chunk: extents)
      else { continue }
      if case .listed(let chunks) = places { listed += chunks.count }
      let chunk = Self.product(grid.chunkLength, dataset.type.byteCount)
      shared.append(Self.product(chunk, grid.chunksTouched(byBlocks: workers)))
      single.append(Self.product(chunk, grid.chunksTouched(byBlocks: 1)))
      total = Self.sum(total, Self.product(chunk, grid.count))
      buffers = max(buffers, Self.buffers(dataset, chunk: chunk))
    }
    single.sort(by: >)
    // A block that reaches from one row of chunks into the next is done with the first when it comes to the second.
    let least = (single.first ?? 0) / 2 + (single.first ?? 0) % 2
    let wanted = min(total, Self.sum(shared.max() ?? 0, single.dropFirst().first ?? 0))
    cacheBytes = most.map { max(least, min(wanted, $0)) } ?? wanted
    workerBytes = buffers
    libraryBytes = (3 << 20) + 512 * listed
  }

  /// Bytes that decoding a chunk takes besides its values: as it is stored, and between two filters.
  private static func buffers(_ dataset: HDF5Dataset, chunk: Int) -> Int {
    if let filters = dataset.filters, filters.isEmpty { return 0 }
    if let filters = dataset.filters, case .chunked(_, .listed) = dataset.layout,
      chunk > ChunkDecoder.streamingBytes, ChunkDecoder.streams(filters)
    {
      return 1 << 20
    }
    return product(2, chunk)
  }

  private static func product(_ first: Int, _ second: Int) -> Int {
    let (product, overflow) = first.multipliedReportingOverflow(by: second)
    return overflow ? .max : product
  }

  private static func sum(_ first: Int, _ second: Int) -> Int {
    let (sum, overflow) = first.addingReportingOverflow(second)
    return overflow ? .max : sum
  }

  /// Checks that the chunks of a dataset have a size that can be held.
  static func check(_ grid: ChunkGrid, of dataset: HDF5Dataset, in file: HDF5File) throws(EmbedFuseError) {
    let bytes = product(grid.chunkLength, dataset.type.byteCount)
    guard bytes <= max(plainBytes, product(largestRatio, file.input.byteCount)) else {
      throw EmbedFuseError(
        .badData, "its chunks have \(bytes) bytes, too much for a file of \(file.input.byteCount)",
        path: file.path, tensor: dataset.path)
    }
  }
}
