import TensorCore

extension StateDict {
  /// Keys under which programs keep the model, most usual first.
  private static let usualKeys = [
    "state_dict", "model_state_dict", "model", "module", "net", "params", "ema_state_dict", "model_ema",
    "ema",
    "weights",
  ]
  /// How deep a state dict may be.
  private static let searchDepth = 4

  /// A dictionary that may be the one.
  private struct Candidate {
    let keys: [String]
    let value: Pickle.Value
    /// Values that are tensors, and those that aren't.
    let tensors: Int
    let others: Int
    var isMostlyTensors: Bool { tensors > others }
    /// The keys as `--key` takes them.
    var name: String { keys.joined(separator: ".") }
  }

  /// The state dict of a checkpoint: what `key` leads to, or else the root if most of it are tensors, the one
  /// dictionary of tensors under a usual key, or the one under any other. A lone tensor is one of the given name.
  ///
  /// - Throws: `PickleError`, with the keys to choose from, if there are several or none.
  static func find(
    in pickle: Pickle, key: String?, loneName: String
  ) throws(PickleError) -> StateDict {
    if pickle.isTensor(pickle.root) { return StateDict(loneName, pickle.root) }
    if let key, let dictionary = try at(key, in: pickle) { return dictionary }
    guard case .node(let node) = pickle.root, [.dictionary, .list, .tuple].contains(pickle.nodes[node].kind)
    else { throw noStateDict(pickle) }
    let root = try candidate([], pickle.root, in: pickle)
    if root.isMostlyTensors { return try StateDict(of: root.value, keys: [], in: pickle) }
    var level = [root]
    for _ in 1...searchDepth {
      level = try children(of: level, in: pickle)
      let found = level.filter(\.isMostlyTensors)
      let usual = found.filter { usualKeys.contains($0.keys.last ?? "") }
      // A root with tensors of its own is the model, unless a usual key says otherwise.
      if usual.isEmpty, root.tensors > 0 { break }
      let choice = usual.isEmpty ? found : usual
      if choice.count == 1 { return try StateDict(of: choice[0].value, keys: choice[0].keys, in: pickle) }
      if choice.count > 1 { throw ambiguous(choice) }
    }
    if root.tensors > 0 { return try StateDict(of: root.value, keys: [], in: pickle) }
    throw noStateDict(pickle)
  }

  /// The state dicts that `find` chooses from, by their keys, with the number of their tensors; for a user who has to
  /// name one.
  private static func listing(_ candidates: [Candidate]) -> String {
    let lines = candidates.prefix(20).map { "\($0.name.printable) (\($0.tensors.counted("tensor")))" }
    return lines.joined(separator: ", ") + (candidates.count > 20 ? " and more" : "")
  }

  private static func ambiguous(_ candidates: [Candidate]) -> PickleError {
    PickleError(
      problem: "holds several state dicts: \(listing(candidates))",
      remedy: "choose one with --key \(candidates[0].name.printable)")
  }

  private static func noStateDict(_ pickle: Pickle) -> PickleError {
    var found = "a value"
    if case .node(let index) = pickle.root {
      let node = pickle.nodes[index]
      switch node.kind {
      case .object, .call:
        let name = pickle.globalName(node.items[0]) ?? "an unknown class"
        found = node.kind == .object ? "an object of \(name.printable)" : "what \(name.printable) would give"
      default: found = "a \(node.kind) without tensors"
      }
    }
    return PickleError(
      problem: "holds \(found), but a state dict is expected: names with tensors",
      remedy: "save it with torch.save(model.state_dict(), PATH)")
  }

  /// Counts the tensors of a container.
  private static func candidate(
    _ keys: [String], _ value: Pickle.Value, in pickle: Pickle
  ) throws(PickleError) -> Candidate {
    let members = try pickle.members(value).filter { !isForeign($0.key ?? "") || pickle.isTensor($0.value) }
    let tensors = members.count { pickle.isTensor($0.value) }
    return Candidate(keys: keys, value: value, tensors: tensors, others: members.count - tensors)
  }

  /// The dictionaries within these that may be models.
  private static func children(
    of level: [Candidate], in pickle: Pickle
  ) throws(PickleError) -> [Candidate] {
    var result: [Candidate] = []
    var seen: Set<Pickle.Value> = []
    var visits = 0
    for parent in level {
      for member in try pickle.members(parent.value) {
        visits += 1
        guard visits <= PickleReader.countLimit else {
          throw PickleError(problem: "its dictionaries hold more than \(PickleReader.countLimit) values")
        }
        guard let key = member.key, !isForeign(key), pickle.items(of: member.value, .dictionary) != nil,
          seen.insert(member.value).inserted || result.count < 100
        else { continue }
        result.append(try candidate(parent.keys + [key], member.value, in: pickle))
      }
    }
    return result
  }

  /// What keys joined by dots lead to; a key may hold dots itself. Nil where they lead nowhere, but the root is a
  /// state dict.
  private static func at(_ path: String, in pickle: Pickle) throws(PickleError) -> StateDict? {
    var value = pickle.root
    var keys: [String] = []
    var rest = path[...]
    while !rest.isEmpty {
      let members = try pickle.members(value)
      let fitting = members.filter { member in
        guard let key = member.key, !key.isEmpty else { return false }
        return rest == key || rest.hasPrefix(key + ".")
      }
      guard let next = fitting.max(by: { $0.key!.utf8.count < $1.key!.utf8.count }) else {
        let root = try candidate([], pickle.root, in: pickle)
        if root.isMostlyTensors { return nil }
        let candidates = try children(of: [root], in: pickle).filter { $0.tensors > 0 }
        throw PickleError(
          problem: "has nothing under the key '\(path.printable)'",
          remedy: candidates.isEmpty ? nil : "its state dicts: \(listing(candidates))")
      }
      keys.append(next.key!)
      value = next.value
      rest = rest.dropFirst(next.key!.count).drop { $0 == "." }
    }
    guard pickle.items(of: value, .dictionary) != nil || pickle.sequence(value) != nil else {
      throw PickleError(
        problem: "has no dictionary under the key '\(path.printable)'",
        remedy: "name the key of a state dict: names with tensors")
    }
    return try StateDict(of: value, keys: keys, in: pickle)
  }
}
