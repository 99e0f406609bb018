import TensorCore

/// The names and tensors of a model within what a checkpoint file holds.
struct StateDict {
  /// The names with their values, in the file's order.
  let entries: [(name: String, value: Pickle.Value)]
  /// The keys that lead to it; empty for the root.
  let keys: [String]
  /// Names of values in it that are no tensors.
  let others: [String]

  /// Dictionaries nested deeper than this within a state dict are not looked into.
  private static let depthLimit = 8
  /// Values that are looked at in all, so that dictionaries that hold each other can't multiply.
  private static let visitLimit = 1 << 22

  /// A single tensor.
  init(_ name: String, _ value: Pickle.Value) {
    entries = [(name, value)]
    keys = []
    others = []
  }

  /// Takes the tensors of a dictionary, or a list, and of the dictionaries within it, whose keys are joined by dots.
  ///
  /// - Throws: `PickleError` if two tensors get the same name, or one gets none.
  init(of container: Pickle.Value, keys: [String], in pickle: Pickle) throws(PickleError) {
    self.keys = keys
    var entries: [(name: String, value: Pickle.Value)] = []
    var others: [String] = []
    var names: Set<ExactString> = []
    // Containers begun: what is left of each, last first, with the prefix of its names.
    var open = [(node: container, prefix: "", rest: Array(try pickle.members(container).reversed()))]
    var visits = 0
    while let level = open.indices.last {
      guard let member = open[level].rest.popLast() else {
        open.removeLast()
        continue
      }
      visits += 1
      guard visits <= Self.visitLimit else {
        throw PickleError(problem: "its dictionaries hold more than \(Self.visitLimit) values")
      }
      let isTensor = pickle.isTensor(member.value)
      guard let key = member.key else {
        guard !isTensor else {
          throw PickleError(problem: "it has a tensor whose key is neither text nor number")
        }
        continue
      }
      let name = open[level].prefix + key
      if isTensor {
        guard names.insert(ExactString(name)).inserted else {
          throw PickleError(problem: "it has two tensors named \(name.printable)")
        }
        entries.append((name, member.value))
      } else if pickle.items(of: member.value, .dictionary) != nil, open.count < Self.depthLimit,
        !open.contains(where: { $0.node == member.value }),
        !(keys.isEmpty && level == 0 && Self.isForeign(key))
      {
        open.append((member.value, name + ".", try pickle.members(member.value).reversed()))
      } else {
        others.append(name)
      }
    }
    self.entries = entries
    self.others = others
  }

  /// True for what stands beside a model in a checkpoint and is none.
  static func isForeign(_ key: String) -> Bool {
    key.hasPrefix("optimizer") || key.hasPrefix("lr_scheduler") || key.hasPrefix("rng")
      || [
        "scheduler", "scaler", "callbacks", "loops", "hyper_parameters", "epoch", "global_step",
        "pytorch-lightning_version", "param_shapes", "frozen_param_shapes",
      ].contains(key)
  }
}

extension Pickle {
  /// The members of a dictionary, or of a list by their numbers, in order. A key that is neither text nor number is
  /// nil; of equal keys the last counts.
  func members(_ container: Value) throws(PickleError) -> [(key: String?, value: Value)] {
    if let items = sequence(container) {
      return items.enumerated().map { ("\($0)", $1) }
    }
    guard let items = items(of: container, .dictionary) else { return [] }
    var result: [(key: String?, value: Value)] = []
    var places: [ExactString: Int] = [:]
    for index in stride(from: 0, to: items.count, by: 2) {
      let value = items[index + 1]
      let (key, kind): (String?, String) =
        if case .int(let number) = items[index] { ("\(number)", "i") } else { (string(items[index]), "t") }
      guard let key else {
        result.append((nil, value))
        continue
      }
      if let place = places.updateValue(result.count, forKey: ExactString(kind + key)) {
        places[ExactString(kind + key)] = place
        result[place].value = value
      } else {
        result.append((key, value))
      }
    }
    return result
  }
}
