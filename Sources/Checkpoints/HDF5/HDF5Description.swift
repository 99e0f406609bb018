import CHDF5
import TensorCore

/// What an HDF5 file says of itself, as the library put it in a process of its own: well-formed, but otherwise unchecked.
///
/// The file may be made to do harm, and may have taken over the process that looked at it, so that nothing here need be
/// what the file holds, or fit together.
struct HDF5Description: Sendable {
  /// What came of asking the library for something.
  typealias Outcome<Value> = Result<Value, Failure>

  /// The library's messages about what it could not do.
  struct Failure: Error {
    var text: String
  }

  /// What a link leads to.
  enum Target: Sendable {
    /// The group or dataset of a number.
    case object(Int)
    /// Neither a group nor a dataset.
    case other
    /// A group below as many as are looked at.
    case tooDeep
    case unreadable(Failure)
  }

  /// A group or a dataset.
  struct Object: Sendable {
    /// Where its header stands, the same for every path that leads to it.
    var address: UInt64
    var attributes: [String: Attribute]
    var contents: Contents
  }

  /// What an object consists of.
  enum Contents: Sendable {
    case group(Outcome<[Link]>)
    case dataset(Outcome<Dataset>)
  }

  /// A link from a group.
  struct Link: Sendable {
    var name: String
    /// False for names that aren't UTF-8, of which `name` is an approximation.
    var isText: Bool
    /// What it leads to; nil for links by name, soft or to other files.
    var target: Target?
  }

  /// The value of an attribute.
  enum Attribute: Sendable {
    case text(String)
    case texts([String])
    case integers([UInt64])
    case other
    case unreadable(Failure)
  }

  /// How much the library is asked for: bytes of an attribute at most, chunks of a dataset that are listed at most (it
  /// takes time in the square of their number), groups within groups at most.
  static let limits = ef_h5_limits(text: 64 << 20, chunks: 4096, depth: 64)

  /// Bytes in front of what HDF5 counts as the file's start. Addresses of chunks leave them out.
  let userblock: Int
  /// The root.
  let root: Target
  /// The groups and datasets, each once, in the order in which they were come upon.
  let objects: [Object]
}

extension HDF5Description {
  /// How a dataset is described.
  struct Dataset: Sendable {
    var type: ef_h5_type
    /// The extents; nil for a dataset without values.
    var dimensions: [UInt64]?
    var storage: Outcome<Storage>
  }

  /// How a dataset is stored.
  struct Storage: Sendable {
    var layout: Layout
    /// How many filters there are, of which the first 8 are described.
    var filterCount: UInt64
    var filters: [Filter]
    /// nil for what can't be a tensor.
    var values: Values?
  }

  /// The ways to store values.
  enum Layout: Sendable {
    case contiguous
    case compact
    /// In chunks of these extents.
    case chunked([UInt64])
    case elsewhere
  }

  /// A filter that chunks went through.
  struct Filter: Sendable {
    var number: Int32
    /// The first of its parameters.
    var parameter: UInt32
    var name: String
  }

  /// What a dataset's values are, or where.
  struct Values: Sendable {
    /// The element that stands for what was never written; nil if there is none.
    var fillValue: Outcome<[UInt8]?>
    var place: Place
  }

  /// Where values stand.
  enum Place: Sendable {
    case offset(UInt64)
    /// The number of the chunks that were written, and a list of them unless there are too many.
    case chunks(Outcome<(count: UInt64, list: Outcome<[Chunk]>?)>)
    /// The values themselves.
    case values(Outcome<[UInt8]>)
    case elsewhere
  }

  /// A stored chunk.
  struct Chunk: Sendable {
    /// The coordinates of its first element.
    var corner: [UInt64]
    /// The filters that were skipped, by the bits of their places in the pipeline.
    var mask: UInt32
    /// Its place, counted from the end of the userblock.
    var address: UInt64
    var byteCount: UInt64
  }
}
