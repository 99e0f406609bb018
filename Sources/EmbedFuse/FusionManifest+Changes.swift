import Checkpoints
import TensorCore

// What differs between two manifests, for people: inputs, recipe and output each on their own.

extension FusionManifest {
  /// What a pinned manifest has of the inputs that is otherwise now: tensors and files by name.
  ///
  /// Tensors are compared by content, wherever they stand: another format, other shards or another path of an input
  /// with the same tensors is no change. What only one side has looked at isn't compared.
  ///
  /// - Parameter comparesContent: false to compare only which tensors there are, not their digests.
  static func changedInputs(
    _ now: JSON.Object, since pinned: FusionManifest, comparesContent: Bool = true
  ) -> [String] {
    var problems = changedEntries(
      now["inputs"], pinned.json["inputs"], of: "", comparesContent: comparesContent)
    let steps = now["steps"]?.arrayValue ?? []
    for step in pinned.json["steps"]?.arrayValue ?? [] {
      let name = step["name"]?.stringValue ?? ""
      guard let found = steps.first(where: { $0["name"]?.stringValue == name }) else {
        problems.append("the step \(name.printable) is missing")
        continue
      }
      problems += changedEntries(
        found["inputs"], step["inputs"], of: " of the step \(name.printable)",
        comparesContent: comparesContent)
    }
    return problems
  }

  /// Checks that inputs which are those of a pinned manifest are so in its order.
  ///
  /// - Throws: `EmbedFuseError` (bad data) with the order that is right.
  static func checkOrder(of now: JSON.Object, since pinned: FusionManifest) throws(EmbedFuseError) {
    let steps = now["steps"]?.arrayValue ?? []
    var pairs = [(step: "", now: now["inputs"], pinned: pinned.json["inputs"])]
    for step in pinned.json["steps"]?.arrayValue ?? [] {
      let found = steps.first { $0["name"] == step["name"] }
      pairs.append(
        (" of the step \((step["name"]?.stringValue ?? "").printable)", found?["inputs"], step["inputs"]))
    }
    for (step, now, pinned) in pairs {
      var rest = now?.arrayValue ?? []
      let known = pinned?.arrayValue ?? []
      guard rest.count == known.count, rest.map({ $0["digest"] }) != known.map({ $0["digest"] }) else {
        continue
      }
      var order: [String] = []
      for entry in known {
        guard let place = rest.firstIndex(where: { $0["digest"] == entry["digest"] }) else { break }
        order.append((rest.remove(at: place)["path"]?.stringValue ?? "").printable)
      }
      guard rest.isEmpty else { continue }
      throw EmbedFuseError(
        .badData, "the inputs\(step) are those of the manifest, but in another order",
        remedy: "name them in this order: \(order.joined(separator: " "))")
    }
  }

  private static func changedEntries(
    _ now: JSON?, _ pinned: JSON?, of step: String, comparesContent: Bool
  ) -> [String] {
    let (now, pinned) = (now?.arrayValue ?? [], pinned?.arrayValue ?? [])
    guard now.count == pinned.count else {
      return ["there are \(now.count) inputs\(step), but the manifest has \(pinned.count)"]
    }
    var problems: [String] = []
    for (now, pinned) in zip(now, pinned) {
      let path = (now["path"]?.stringValue ?? "").printable + step
      problems += changedTensors(
        now["tensors"], pinned["tensors"], at: path, comparesContent: comparesContent)
      let files = now["files"]
      for file in pinned["files"]?.objectValue?.members ?? [] where file.value["digest"] != nil {
        guard let found = files?[file.key] else {
          problems.append("\(path): the file \(file.key.printable) is missing")
          continue
        }
        if found["digest"] != file.value["digest"] {
          problems.append("\(path): the file \(file.key.printable) has changed")
        }
      }
      let known = pinned["files"]
      for file in files?.objectValue?.members ?? []
      where file.value["digest"] != nil && known?[file.key] == nil {
        problems.append("\(path): the file \(file.key.printable) is new")
      }
    }
    return problems
  }

  private static func changedTensors(
    _ now: JSON?, _ pinned: JSON?, at path: String, comparesContent: Bool
  ) -> [String] {
    guard let now = now?.objectValue, let pinned = pinned?.objectValue, !now.members.isEmpty else {
      return []
    }
    var problems: [String] = []
    for tensor in pinned.members {
      guard let digest = now[tensor.key] else {
        problems.append("\(path): the tensor \(tensor.key.printable) is missing")
        continue
      }
      if comparesContent, digest != tensor.value {
        problems.append("\(path): the tensor \(tensor.key.printable) has changed")
      }
    }
    for tensor in now.members where pinned[tensor.key] == nil {
      problems.append("\(path): the tensor \(tensor.key.printable) is new")
    }
    return problems
  }

  /// What a pinned manifest has of the recipe that is otherwise now, paths of inputs left out.
  static func changedRecipe(_ now: JSON?, since pinned: JSON?, of step: String = "") -> [String] {
    var problems: [String] = []
    let (now, pinned) = (now?.objectValue ?? [:], pinned?.objectValue ?? [:])
    let keys = now.keys + pinned.keys.filter { now[$0] == nil }
    for key in keys where now[key] != pinned[key] {
      switch key {
      case "base", "models", "companions":
        // Only what stands there counts, not what it is called.
        let (count, expected) = (Self.count(now[key]), Self.count(pinned[key]))
        if count != expected {
          problems.append("\(key)\(step): \(count), but \(expected) in the manifest")
        }
      case "steps":
        let (steps, known) = (now[key]?.arrayValue ?? [], pinned[key]?.arrayValue ?? [])
        guard steps.map({ $0["name"] }) == known.map({ $0["name"] }) else {
          problems.append("the steps have other names")
          continue
        }
        for (step, known) in zip(steps, known) {
          problems += changedRecipe(
            step["recipe"], since: known["recipe"],
            of: " of the step \((step["name"]?.stringValue ?? "").printable)")
        }
      case "parameters":
        let (values, known) = (now[key]?.objectValue ?? [:], pinned[key]?.objectValue ?? [:])
        for name in values.keys + known.keys.filter({ values[$0] == nil }) where values[name] != known[name] {
          problems.append(
            "\(name.printable)\(step): \(text(values[name])), but \(text(known[name])) in the manifest")
        }
      default:
        problems.append(
          "\(key.printable)\(step): \(text(now[key])), but \(text(pinned[key])) in the manifest")
      }
    }
    return problems
  }

  private static func count(_ value: JSON?) -> Int {
    value?.arrayValue?.count ?? (value?.stringValue == nil ? 0 : 1)
  }

  private static func text(_ value: JSON?) -> String {
    value.map { $0.compactText.printable } ?? "nothing"
  }

  /// What a pinned manifest has of the output that comes out otherwise.
  func changedOutput(since pinned: FusionManifest) -> [String] {
    var problems: [String] = []
    let (now, known) = (json["output"]?["tensors"], pinned.json["output"]?["tensors"])
    for tensor in known?.objectValue?.members ?? [] {
      guard let found = now?[tensor.key] else {
        problems.append("the tensor \(tensor.key.printable) doesn't come out")
        continue
      }
      if found != tensor.value { problems.append("the tensor \(tensor.key.printable) comes out differently") }
    }
    for tensor in now?.objectValue?.members ?? [] where known?[tensor.key] == nil {
      problems.append("the tensor \(tensor.key.printable) comes out besides")
    }
    if problems.isEmpty, json["weights_digest"] != pinned.json["weights_digest"] {
      problems.append("the weights come out differently")
    }
    return problems
  }
}

extension [String] {
  /// One a line, at most 50 of them.
  var problemList: String {
    "\n  " + prefix(50).joined(separator: "\n  ") + (count > 50 ? "\n  and \(count - 50) more" : "")
  }
}
