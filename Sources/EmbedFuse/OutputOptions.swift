import Checkpoints
import Glibc
import TensorCore

/// How a fusion is carried out and written: nothing here changes the values of the output, only
/// `maximumShardBytes`, `compressionLevel` and `relativeTo` its files.
public struct OutputOptions: Sendable {
  /// True to replace what stands at the output's path, when the new one is whole.
  public var overwrite: Bool
  /// False to leave out flushing to disk, for scratch work.
  public var synchronize: Bool
  /// Bytes of memory to stay within.
  public var memory: Int
  /// Bytes of `memory` that are taken by other things than fusing, such as the program's code.
  public var reservedMemory = 0
  /// Workers; nil for one a core.
  public var threads: Int?
  /// The most bytes of tensors in one file of a directory; nil for the product's default, or what a manifest has.
  public var maximumShardBytes: Int?
  /// The zstd level of an HDF5 output; nil for the settings made for weights.
  public var compressionLevel: Int?
  /// The checkpoint to whose tensors an HDF5 output stores the differences; nil to store values. Reading needs it.
  public var relativeTo: String?
  /// Where to write the magnitudes and weights of every group as JSON; nil for nowhere.
  public var weightsReport: String?
  /// True to continue an interrupted run into a model directory at the shards that it finished, and to leave finished
  /// shards to the next such run if this one is interrupted or fails.
  public var resumes = false

  /// The product's defaults: 512 MiB, a worker a core, shards of 5 GB, flushed, nothing replaced.
  public init(
    overwrite: Bool = false, synchronize: Bool = true, memory: Int = 512 << 20, threads: Int? = nil,
    maximumShardBytes: Int? = nil, compressionLevel: Int? = nil, relativeTo: String? = nil,
    weightsReport: String? = nil
  ) {
    self.overwrite = overwrite
    self.synchronize = synchronize
    self.memory = memory
    self.threads = threads
    self.maximumShardBytes = maximumShardBytes
    self.compressionLevel = compressionLevel
    self.relativeTo = relativeTo
    self.weightsReport = weightsReport
  }
}

extension OutputOptions {
  /// The most bytes of tensors in one file of a directory.
  var shardBytes: Int { maximumShardBytes ?? 5_000_000_000 }

  /// The workers wanted: as many as asked for, or one a core.
  var workers: Int { max(1, threads ?? Int(sysconf(Int32(_SC_NPROCESSORS_ONLN)))) }
}

extension OutputOptions {
  /// What of it decides the bytes of an output's files, for its manifest.
  func json(for kind: OutputKind) -> JSON {
    switch kind {
    case .directory: ["max_shard_size": .number(shardBytes)]
    case .hdf5:
      [
        "compression_level": compressionLevel.map { .number($0) } ?? .null,
        "relative_to": relativeTo.map { .string(FusionManifest.portable($0)) } ?? .null,
      ]
    case .safetensors, .numpy, .gguf: [:]
    }
  }
}

extension OutputOptions {
  /// These, with what a recipe says of them where they say nothing.
  func completed(by recipe: Recipe) -> OutputOptions {
    var options = self
    options.relativeTo = relativeTo ?? recipe.relativeTo
    return options
  }

  /// The checkpoint to which the output of this path is stored; nil to store values.
  ///
  /// - Throws: usage if the output can't be stored so; what `DeltaBase` throws.
  func deltaBase(of path: String) throws(EmbedFuseError) -> DeltaBase? {
    guard let relativeTo else { return nil }
    guard OutputKind(path: path) == .hdf5 else {
      throw EmbedFuseError(
        .usage, "only an .h5 output can be stored relative to another checkpoint", path: path,
        remedy: "leave --relative-to (in a recipe: relative_to) out, or name the output .h5")
    }
    return try DeltaBase(at: relativeTo)
  }
}

/// The kinds of output, chosen by the path's ending.
public enum OutputKind: String, Sendable {
  /// A model directory, for any other ending.
  case directory
  /// One safetensors file (`.safetensors`).
  case safetensors
  /// A compressed HDF5 checkpoint (`.h5`, `.hdf5`).
  case hdf5
  /// A NumPy archive (`.npz`).
  case numpy
  /// One GGUF file (`.gguf`).
  case gguf

  /// The kind that a path asks for.
  public init(path: String) {
    self =
      if path.hasSuffix(".safetensors") {
        .safetensors
      } else if path.hasSuffix(".h5") || path.hasSuffix(".hdf5") {
        .hdf5
      } else if path.hasSuffix(".npz") {
        .numpy
      } else if path.hasSuffix(".gguf") {
        .gguf
      } else { .directory }
  }

  /// Begins what takes a while and doesn't wait for the inputs: loading the library for this kind, if it isn't always
  /// there. To be called as soon as it is known what will be read or written; only time depends on it.
  public func prepare() {
    if self == .hdf5 { HDF5Library.startLoading() }
  }

  /// Endings of files that aren't written: a directory of such a name would be taken for one.
  private static let unwritten = [
    ".bin", ".pt", ".pth", ".ckpt", ".keras", ".npy", ".json", ".onnx", ".msgpack", ".pb", ".zip", ".tar",
    ".gz", ".hdf", ".yaml", ".yml",
  ]

  /// Checks that a path doesn't ask for a kind of file that can't be written.
  static func check(_ path: String) throws(EmbedFuseError) {
    guard path != "-", !path.isEmpty else {
      throw EmbedFuseError(
        .usage, path.isEmpty ? "the output has no name" : "'-' would be a directory of that name",
        remedy: "name a file or directory that is to be made; nothing is written to standard output")
    }
    let parts = FilePath.name(of: path).split(separator: ".")
    if parts.count > 1, parts[parts.count - 1].count > 3, OutputKind(path: path) == .directory,
      let meant = Suggestion.nearest(
        to: parts[parts.count - 1].lowercased(), among: ["safetensors", "hdf5", "gguf"])
    {
      throw EmbedFuseError(
        .usage, "would be a directory of that name", path: path,
        remedy: "for a file, end the name in .\(meant)")
    }
    guard let ending = unwritten.first(where: path.hasSuffix) else { return }
    throw EmbedFuseError(
      .usage, "\(ending) files can't be written", path: path,
      remedy:
        "name an output that ends in .safetensors, .h5, .npz or .gguf, or a directory; torch reads .safetensors with safetensors.torch.load_file"
    )
  }

  /// True if the files that travel with the weights, such as a tokenizer, have a place in it.
  public var holdsFiles: Bool { self == .directory || self == .hdf5 }

  /// The most bytes that one worker holds of an output whose largest tensor has this many.
  func runBytes(largest: Int) -> Int {
    // A chunk of HDF5 stands in its planes, as a frame, and in four that wait; chunks of a mebibyte may be half as long
    // again, and grow with a tensor, so that it has no more than 1500, by doubling. With a base there are the differences
    // of a block and the base's besides.
    self == .hdf5 ? 10 * max(1 << 20, largest / 750) : 1 << 20
  }
}
