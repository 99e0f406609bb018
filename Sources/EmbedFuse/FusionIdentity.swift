import Checkpoints
import TensorCore

/// What decides an output's bytes, as far as it can be told without reading tensors: by this a finished shard is known to
/// belong to a fusion.
///
/// The inputs are told apart by the names, sizes and times of change of their weight files, and on top of that by the
/// states of these files, which tell of every change but are others for a copy (`touchedInputs`).
struct FusionIdentity: Sendable, Hashable {
  /// The identity as records keep it.
  let json: JSON

  /// An identity from a record.
  init(json: JSON) {
    self.json = json
  }

  /// The identity of a fusion into the files of a layout.
  init(_ plan: FusionPlan, layout: ShardLayout, files: [(path: String, bytes: [UInt8])]) {
    var shards = JSON.Object()
    for (number, shard) in layout.shards.enumerated() {
      let lines = layout.tensors(ofShard: number).map { "\($0.name) \($0.elementType) \($0.shape)\n" }
      shards[shard.path] = .string(ContentDigest.of(Array(lines.joined().utf8)).description)
    }
    var digests = JSON.Object()
    for (path, bytes) in files { digests[path] = .string(ContentDigest.of(bytes).description) }
    json = [
      "embedfuse": .string(embedFuseVersion), "recipe": plan.recipe.json,
      "inputs": .array(plan.filedInputs.map { Self.input($0, plan.log) }),
      "shards": .object(shards),
      "files": .object(digests), Self.statesKey: .array(plan.filedInputs.map { Self.states($0, plan.log) }),
    ]
  }

  private static func input(_ input: ModelSource, _ log: InputLog) -> JSON {
    [
      "path": .string(FusionManifest.portable(input.path)),
      "files": .array(
        files(of: input).map { path in
          let name = path.hasPrefix(input.path + "/") ? String(path.dropFirst(input.path.count + 1)) : path
          let state = log.identity(of: path)
          return [
            "name": .string(FilePath.portable(name)), "bytes": state.map { .number($0.byteCount) } ?? .null,
            "changed": state.map { .string(String($0.modified)) } ?? .null,
          ]
        }),
    ]
  }

  private static let statesKey = "states"

  /// Which files an input has and when anything of them last changed, in which no program can make one state look like
  /// another. The device doesn't count: it may be another number on each machine, and after each start.
  private static func states(_ input: ModelSource, _ log: InputLog) -> JSON {
    .array(
      files(of: input).map { path in
        log.identity(of: path).map { .string("\($0.inode) \($0.changed)") } ?? .null
      })
  }

  /// The files that decide an input's values: its weights, and what adapters say of theirs.
  private static func files(of input: ModelSource) -> [String] {
    let weights = input.weightFiles.map(\.path)
    let folders = Set(weights.map { FilePath.folder(of: $0) }).sorted()
    let configurations = folders.map { FilePath.join($0, "adapter_config.json") }
    return weights + configurations.filter { FilePath.kind(of: $0) == .file }
  }
}

extension FusionIdentity {
  /// The inputs, in words, that aren't the very same files in the very same state; empty if all are.
  func touchedInputs(since other: FusionIdentity) -> [String] {
    let (ours, theirs) = (states, other.states)
    guard ours != theirs else { return [] }
    guard ours.count == theirs.count else { return ["the inputs' files"] }
    return zip(json["inputs"]?.arrayValue ?? [], zip(ours, theirs)).filter { $1.0 != $1.1 }.map { input, _ in
      "the input \(Self.text(input["path"])) (replaced, copied or written to)"
    }
  }

  private var states: [JSON] { json[Self.statesKey]?.arrayValue ?? [] }

  /// What differs from another identity, in words; empty if nothing does. States of files don't count.
  func differences(from other: FusionIdentity) -> [String] {
    guard content != other.content else { return [] }
    var differences: [String] = []
    if json["embedfuse"] != other.json["embedfuse"] {
      differences.append(
        "the version of embedfuse (\(Self.text(json["embedfuse"])), not \(Self.text(other.json["embedfuse"])))"
      )
    }
    differences += Self.keys(json["recipe"], other.json["recipe"]).map { "the recipe's \($0.printable)" }
    differences += inputDifferences(from: other)
    // The model card tells of recipe and version.
    if differences.isEmpty {
      differences = Self.keys(json["files"], other.json["files"]).map { "the file \($0.printable)" }
    }
    if differences.isEmpty { differences.append("the division into shards (--max-shard-size)") }
    return differences
  }

  private var content: JSON {
    var object = json.objectValue ?? [:]
    object[Self.statesKey] = nil
    return .object(object)
  }

  private func inputDifferences(from other: FusionIdentity) -> [String] {
    let (ours, theirs) = (json["inputs"]?.arrayValue ?? [], other.json["inputs"]?.arrayValue ?? [])
    guard ours.count == theirs.count else { return ["the number of inputs"] }
    return zip(ours, theirs).flatMap { input, reference in
      let (files, old) = (input["files"]?.arrayValue ?? [], reference["files"]?.arrayValue ?? [])
      let path = Self.text(input["path"])
      guard files.map({ $0["name"] }) == old.map({ $0["name"] }) else {
        return ["the input \(path) (other files)"]
      }
      return zip(files, old).filter { $0 != $1 }.map { file, old in
        let (bytes, before) = (file["bytes"]?.intValue ?? 0, old["bytes"]?.intValue ?? 0)
        let sizes = bytes == before ? "" : " of \(bytes) bytes, not \(before)"
        return "the input \(path) (\(Self.text(file["name"]))\(sizes))"
      }
    }
  }

  /// The keys whose values differ, in order.
  private static func keys(_ first: JSON?, _ second: JSON?) -> [String] {
    let keys = (first?.objectValue?.keys ?? []) + (second?.objectValue?.keys ?? [])
    return Set(keys).filter { first?[$0] != second?[$0] }.sorted()
  }

  private static func text(_ json: JSON?) -> String { (json?.stringValue ?? "unknown").printable }
}

extension FusionPlan {
  /// The inputs that are read from disk, those of steps too.
  var filedInputs: [ModelSource] {
    inputs.filter { !$0.weightFiles.isEmpty } + steps.flatMap(\.filedInputs)
  }
}
