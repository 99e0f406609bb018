import Checkpoints
import TensorCore

/// What a finished part says of itself: which fusion it belongs to, how that is planned again, and its shards.
struct PartRecord: Sendable {
  /// The file's name in the part's folder.
  static let fileName = "embedfuse-part.json"
  /// The version of the record's form.
  private static let version = 1

  /// Which part.
  let part: OutputPart
  /// What decides the output's bytes.
  let identity: FusionIdentity
  /// The recipe, with the inputs' paths as they were given.
  let recipe: Recipe
  /// The folder that relative paths start from.
  let workingDirectory: String
  /// The most bytes of tensors in one file.
  let maximumShardBytes: Int
  /// The shards by their paths.
  let shards: [String: ShardRecord]

  /// The record of a part that has been made.
  init(_ part: OutputPart, of fusion: ShardedFusion, options: OutputOptions, records: [Int: ShardRecord]) {
    self.part = part
    identity = fusion.identity
    recipe = fusion.plan.recipe
    workingDirectory = FilePath.workingDirectory ?? ""
    maximumShardBytes = options.shardBytes
    shards = records.values.reduce(into: [:]) { $0[$1.path] = $1 }
  }

  /// The record as it is kept.
  var json: JSON {
    let opening = recipe.opening
    return [
      "embedfuse_part": .number(Self.version), "part": .number(part.number), "of": .number(part.count),
      "identity": identity.json, "recipe": recipe.json(naming: { $0 }, value: \.literalJSON),
      "opening": [
        "strict_pickle": .bool(opening.strictPickle),
        "void_pairs_as_bf16": .bool(opening.readsVoidPairsAsBFloat16),
        "delta_base": opening.deltaBase.map { .string($0) } ?? .null,
      ],
      "working_directory": .string(workingDirectory),
      "maximum_shard_bytes": .number(maximumShardBytes),
      "shards": .array(shards.sorted { $0.key < $1.key }.map(\.value.json)),
    ]
  }

  /// Reads the record in a part's folder.
  ///
  /// - Throws: `EmbedFuseError`: missing input if there is none, bad data if it isn't one.
  init(ofPartAt folder: String) throws(EmbedFuseError) {
    let path = FilePath.join(folder, Self.fileName)
    let bytes = try InputFile.record(at: path)
    let json = try JSON.parse(bytes.span, path: path)
    let unknown = EmbedFuseError(
      .badData, "is no record of a part in a known form", path: path,
      remedy: "remove \(folder.printable) and make the part again")
    guard json["embedfuse_part"]?.intValue == Self.version, let number = json["part"]?.intValue,
      let count = json["of"]?.intValue, let part = try? OutputPart(number, of: count),
      let identity = json["identity"], let recipe = json["recipe"], let opening = json["opening"],
      let working = json["working_directory"]?.stringValue,
      let limit = json["maximum_shard_bytes"]?.intValue, limit > 0,
      let shards = json["shards"]?.arrayValue
    else { throw unknown }
    self.part = part
    self.identity = FusionIdentity(json: identity)
    var read = try Recipe(json: recipe, unknown: unknown)
    read.opening.strictPickle = opening["strict_pickle"]?.boolValue ?? false
    read.opening.readsVoidPairsAsBFloat16 = opening["void_pairs_as_bf16"]?.boolValue ?? false
    read.opening.deltaBase = opening["delta_base"]?.stringValue
    self.recipe = read
    workingDirectory = working
    maximumShardBytes = limit
    let records = shards.compactMap(ShardRecord.init)
    guard records.count == shards.count else { throw unknown }
    self.shards = records.reduce(into: [:]) { $0[$1.path] = $1 }
  }
}
