import TensorCore

/// One step of a chunk's filter pipeline that embedfuse undoes itself.
enum ChunkFilter: Sendable, Hashable {
  /// HDF5's shuffle, filter 2, of elements of this many bytes.
  case shuffle(width: Int)
  /// A zlib stream, filter 1.
  case deflate
  /// A checksum after the bytes, filter 3.
  case fletcher32
  /// LibLZF as h5py applies it, filter 32000.
  case lzf
  /// Zstandard, filter 32015.
  case zstd

  /// Bytes that the filter adds; nil if only its result tells.
  var addedBytes: Int? {
    switch self {
    case .shuffle: 0
    case .fletcher32: 4
    case .deflate, .lzf, .zstd: nil
    }
  }

  /// A filter by its number and its first parameter; nil for those that only the library applies.
  private init?(number: Int32, parameter: UInt32) {
    switch number {
    case 1: self = .deflate
    case 2:
      guard parameter > 0, parameter <= 1 << 16 else { return nil }
      self = .shuffle(width: Int(parameter))
    case 3: self = .fletcher32
    case 32000: self = .lzf
    case 32015: self = .zstd
    default: return nil
    }
  }

  /// The pipeline of a dataset, if all its filters are undone outside of the library: at most one compresses, so that
  /// every step's size is known.
  static func pipeline(_ storage: HDF5Description.Storage) -> [ChunkFilter]? {
    let known = storage.filters.compactMap { ChunkFilter(number: $0.number, parameter: $0.parameter) }
    guard known.count == storage.filterCount, known.count(where: { $0.addedBytes == nil }) <= 1 else {
      return nil
    }
    return known
  }

  /// The steps that were applied to a chunk: bit `i` of the mask is set where filter `i` was skipped.
  static func applied(_ filters: [ChunkFilter], mask: UInt32) throws(EmbedFuseError) -> [ChunkFilter] {
    guard mask >> UInt32(filters.count) == 0 else {
      throw EmbedFuseError(
        .badData, "filter mask \(mask) names a filter beyond the \(filters.count) of the dataset")
    }
    return filters.indices.filter { mask >> UInt32($0) & 1 == 0 }.map { filters[$0] }
  }
}
