import TensorCore

/// Where the values of one tensor come from.
///
/// The streaming pass asks for ranges of elements in ascending order, each once a pass; several workers ask at
/// the same time. An implementation therefore holds no mutable state, or guards it, and keeps no more in
/// memory than a block and what `residentBytes` says.
public protocol TensorStorage: Sendable {
  /// Writes the elements of `range`, counted row-major from the tensor's first, into `bytes`: little-endian, of
  /// the tensor's own element type, without gaps.
  ///
  /// `bytes` is at least as long as the range needs; what is beyond stays as it is. For the packed types (F4, F6) a range starts and ends at bytes.
  ///
  /// - Throws: `EmbedFuseError` where the file can't be read, or ends before the tensor does.
  func read(_ range: Range<Int>, into bytes: inout MutableSpan<UInt8>) throws(EmbedFuseError)

  /// True if any range may be read, and a short one costs little more than its bytes.
  var readsAnywhere: Bool { get }

  /// Bytes that reading keeps in memory at most, counted once for all tensors of a file: decoded chunks that several
  /// blocks share. Nothing for what is read straight from the file.
  var residentBytes: Int { get }

  /// Bytes that each worker needs at most besides what it reads into, to decode what stands in the file. A worker reads
  /// one tensor at a time.
  var workerBytes: Int { get }
}

extension TensorStorage {
  /// False.
  public var readsAnywhere: Bool { false }

  /// Nothing.
  public var residentBytes: Int { 0 }

  /// Nothing.
  public var workerBytes: Int { 0 }
}

/// A tensor that a checkpoint holds: its description and the way to its values.
///
/// A plan keeps each of them in several places, so copies share what they say.
public struct StoredTensor: Sendable {
  private let contents: Contents

  /// Name, element type, shape and size.
  public var info: TensorInfo { contents.info }
  /// The way to its values.
  public var storage: any TensorStorage { contents.storage }
  /// The file that holds it, for messages.
  public var path: String { contents.path }

  /// A tensor stored in the file at `path`.
  public init(info: TensorInfo, storage: any TensorStorage, path: String) {
    contents = Contents(info: info, storage: storage, path: path)
  }

  private final class Contents: Sendable {
    let info: TensorInfo
    let storage: any TensorStorage
    let path: String

    init(info: TensorInfo, storage: any TensorStorage, path: String) {
      self.info = info
      self.storage = storage
      self.path = path
    }
  }
}

/// An opened checkpoint: every tensor it holds, ready to be read in blocks, whatever its format.
public struct Checkpoint: Sendable {
  /// The formats that can be told apart, by the words that users know them by.
  public enum Format: String, Sendable, CaseIterable {
    /// One safetensors file, or several with an index.
    case safetensors
    /// One HDF5 file of datasets: our own, h5py's or Keras's.
    case hdf5
    /// Files written by `torch.save`: a zip archive or the older stream, one or several with an index.
    case pytorch
    /// NumPy arrays: `.npy`, or `.npz`.
    case numpy
    /// One GGUF file.
    case gguf
  }

  /// Where the names of the tensors come from: checkpoints of different kinds of names can't be lined up.
  public enum Naming: Sendable {
    /// From the framework's modules, or from whoever wrote the file.
    case plain
    /// From Keras's older files: the weights' own names, such as `proj/kernel`.
    case kerasLayers
    /// From Keras 3: the places of layers and variables, such as `layers/dense/vars/0`.
    case kerasVariables
  }

  /// The path as the user named it.
  public let path: String
  /// How it is stored.
  public let format: Format
  /// The tensors, in the order of their values in the file (of several files: in the files' order).
  public let tensors: [StoredTensor]
  /// Text attached to the whole checkpoint (the `__metadata__` of safetensors).
  public let metadata: [String: String]
  /// Names that stand for other tensors here: tied weights, stored once.
  public let aliases: [String: String]
  /// The files read, in order: name as the user would write it and size in bytes.
  public let files: [(path: String, byteCount: Int)]
  /// What should be told about how it was read: what was chosen, what was ignored.
  public let notes: [String]
  /// Where the names come from.
  public let naming: Naming

  /// A checkpoint of these tensors.
  public init(
    path: String, format: Format, tensors: [StoredTensor], metadata: [String: String] = [:],
    aliases: [String: String] = [:], files: [(path: String, byteCount: Int)], notes: [String] = [],
    naming: Naming = .plain
  ) {
    self.path = path
    self.format = format
    self.tensors = tensors
    self.metadata = metadata
    self.aliases = aliases
    self.files = files
    self.notes = notes
    self.naming = naming
  }
}
