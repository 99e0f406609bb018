import Glibc
import TensorCore

/// How much memory the chunks of a file take while it is read block by block.
///
/// A block of rows may cross many chunks, and the next block the same ones: those stay decoded meanwhile, or every
/// block would decode them again. So much is kept: what a block of one tensor touches, the same of the tensor that
/// comes next, and a small chunk for every worker.
struct ChunkMemory {
  /// Bytes of a chunk beyond which it must be plausible for the file, so that a small damaged one can't ask for much.
  private static let plainBytes = 256 << 20
  /// Bytes of a large chunk for each byte of the file at most. Weights don't compress to a hundredth.
  private static let largestRatio = 100

  /// Bytes of decoded chunks that are kept.
  let cacheBytes: Int
  /// These, and what decoding takes besides.
  let residentBytes: Int

  /// The memory for the datasets of a file.
  init(_ datasets: [HDF5Dataset]) {
    // What the chunks under one block take, the largest first; all that is chunked; the largest that takes buffers.
    var windows: [Int] = []
    var (total, buffers) = (0, 0)
    for dataset in datasets {
      guard case .chunked(let extents, _) = dataset.layout,
        let grid = ChunkGrid(dimensions: dataset.dimensions, chunk: extents)
      else { continue }
      let chunk = Self.saturated(grid.chunkLength, dataset.type.byteCount)
      let all = Self.saturated(chunk, grid.count)
      let touched = grid.chunksTouched(byRangeOf: BlockGrid.blockLength)
      let window = Self.saturated(chunk, touched)
      // Of a tensor in several windows the next one is wanted before all workers are done with the last.
      windows += window < all ? [window, window] : [window]
      total = total.addingReportingOverflow(all).overflow ? .max : total + all
      buffers = max(buffers, Self.buffers(dataset, chunk: chunk))
    }
    windows.sort(by: >)
    let (first, second) = (windows.first ?? 0, windows.dropFirst().first ?? 0)
    let workers = min(16, max(1, sysconf(Int32(_SC_NPROCESSORS_ONLN))))
    let wanted = [second, workers * min(first, 1 << 20)].reduce(first) {
      $0.addingReportingOverflow($1).overflow ? .max : $0 + $1
    }
    cacheBytes = min(total, wanted)
    residentBytes = cacheBytes.addingReportingOverflow(buffers).overflow ? .max : cacheBytes + buffers
  }

  /// Bytes that decoding a chunk takes besides its values: as it is stored, and between two filters.
  private static func buffers(_ dataset: HDF5Dataset, chunk: Int) -> Int {
    if let filters = dataset.filters, filters.isEmpty { return 0 }
    if let filters = dataset.filters, case .chunked(_, .listed) = dataset.layout,
      chunk > ChunkDecoder.streamingBytes, ChunkDecoder.streams(filters)
    {
      return 1 << 20
    }
    return saturated(2, chunk)
  }

  private static func saturated(_ first: Int, _ second: Int) -> Int {
    let (product, overflow) = first.multipliedReportingOverflow(by: second)
    return overflow ? .max : product
  }

  /// Checks that the chunks of a dataset have a size that can be held.
  static func check(_ grid: ChunkGrid, of dataset: HDF5Dataset, in file: HDF5File) throws(EmbedFuseError) {
    let bytes = saturated(grid.chunkLength, dataset.type.byteCount)
    guard bytes <= max(plainBytes, saturated(largestRatio, file.input.byteCount)) else {
      throw EmbedFuseError(
        .badData, "its chunks have \(bytes) bytes, too much for a file of \(file.input.byteCount)",
        path: file.path, tensor: dataset.path)
    }
  }
}
