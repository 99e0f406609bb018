import TensorCore

/// What an HDF5 file says of one dataset, unchecked but for the limits of the library.
struct HDF5Dataset: Sendable {
  /// How the values are stored.
  enum Layout: Sendable {
    /// In one piece at this byte of the file; nil where nothing was written.
    case contiguous(offset: Int?)
    /// In chunks of these extents.
    case chunked([UInt64], ChunkPlaces)
    /// Within the dataset's header, from which the library took them.
    case compact(HDF5Description.Outcome<[UInt8]>)
  }

  /// Where the chunks stand.
  enum ChunkPlaces: Sendable {
    /// All that were written, in the order of the library.
    case listed([Chunk])
    /// Too many to list, which takes time in the square of their number: the library is asked for each.
    case onDemand(count: Int)
  }

  /// A stored chunk.
  struct Chunk: Sendable {
    /// The coordinates of its first element.
    var corner: [UInt64]
    /// The filters that were skipped, by the bits of their places in the pipeline.
    var mask: UInt32
    /// Its place in the file.
    var offset: Int
    var byteCount: Int
  }

  /// The path components of its links from the root.
  var components: [String]
  var type: HDF5ElementKind
  var dimensions: [UInt64]
  var layout: Layout
  /// The pipeline, or nil where it holds a filter that only the library applies.
  var filters: [ChunkFilter]?
  /// A filter of the pipeline that nothing here undoes, by number and name.
  var missingFilter: String?
  /// The element that stands for all that was never written; nil where there is none.
  var fillValue: [UInt8]?
  /// The attributes `dtype`, `name` and `shape`.
  var dtype: String?
  var name: String?
  var shape: [UInt64]?
  /// What stands in the attributes `delta_of`, `base_digest` and `base_blocks` of a dataset of differences.
  var delta: DeltaRecord?

  /// The path as it is written in messages.
  var path: String { components.joined(separator: "/") }
}
