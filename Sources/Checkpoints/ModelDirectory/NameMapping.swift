import TensorCore

/// Which tensor of an input stands for which of the base, wrapper prefixes apart.
///
/// Data-parallel wrappers, compilers and libraries put prefixes before all names of a checkpoint (`module.`,
/// `_orig_mod.`, `0.auto_model.`, `bert.`), which say nothing of the model. Of all ways to take such prefixes off
/// the input's names, the base's, or both, the one that makes most names agree is used.
package struct NameMapping: Sendable {
  /// The input's name for each name of the base that it has.
  package let inputNames: [String: String]
  /// The names of the base that the input lacks, in the base's order.
  package let missing: [String]
  /// The names of the input that the base lacks, in the input's order.
  package let extra: [String]
  /// The prefix taken off the input's names to compare them; empty for none.
  package let inputPrefix: String
  /// The prefix taken off the base's names to compare them; empty for none.
  package let basePrefix: String

  /// Prefixes that wrap whole models.
  static let wrappers = [
    "module.", "_orig_mod.", "_forward_module.", "_fsdp_wrapped_module.", "model.", "base_model.model.",
    "base_model.",
    "0.auto_model.", "0.model.", "auto_model.", "encoder_model.", "bert.", "roberta.", "xlm-roberta.",
    "xlm_roberta.",
    "distilbert.", "electra.", "deberta.", "mpnet.", "transformer.", "state_dict.",
  ]

  /// Matches an input's names with the base's.
  ///
  /// What compilers and sharding insert into names (`_orig_mod`) doesn't count either, unless two names of one side
  /// would become one without it: these are compared as they are.
  ///
  /// - Throws: `EmbedFuseError` (bad data) if two ways of taking prefixes off agree equally well but match
  ///   different tensors, if two tensors of one side have the same name, or if names of the two sides differ only in how
  ///   their characters are composed.
  package init(base: [String], input: [String], path: String) throws(EmbedFuseError) {
    try EmbedFuseError.checkComposition(
      of: base + input, path: path, remedy: "give the tensor the same name in both models, byte for byte")
    try Self.checkNames(base, of: "the base's", path: path)
    if base == input {
      // No other way can match more names, or all of them otherwise: prefixes only make names shorter.
      inputNames = Dictionary(uniqueKeysWithValues: zip(base, base))
      (missing, extra, inputPrefix, basePrefix) = ([], [], "", "")
      return
    }
    try Self.checkNames(input, of: "its", path: path)
    let (baseNames, cleanNames) = (Self.cleaned(base), Self.cleaned(input))
    var best: (count: Int, cost: Int, mapping: [String: String], input: String, base: String)?
    var rival: (input: String, base: String)?
    let inputCandidates = Self.candidates(for: cleanNames)
    for basePrefix in Self.candidates(for: baseNames) {
      guard let baseRest = Self.stripped(base, baseNames, basePrefix) else { continue }
      for inputPrefix in inputCandidates {
        guard let stripped = Self.stripped(input, cleanNames, inputPrefix) else { continue }
        let mapping = baseRest.reduce(into: [String: String]()) { result, pair in
          if let name = stripped[pair.key] { result[pair.value] = name }
        }
        let cost = basePrefix.utf8.count + inputPrefix.utf8.count
        if best == nil || mapping.count > best!.count || (mapping == best!.mapping && cost < best!.cost) {
          if mapping.count != best?.count { rival = nil }
          best = (mapping.count, cost, mapping, inputPrefix, basePrefix)
        } else if mapping.count == best!.count, mapping != best!.mapping {
          rival = (inputPrefix, basePrefix)
        }
      }
    }
    guard let best else { preconditionFailure("names that differ still do without a prefix taken off") }
    if let rival, best.count > 0 {
      throw EmbedFuseError(
        .badData,
        "its names fit the base's in two ways that match different tensors: without the prefix '\(best.input)' and without '\(rival.input)'",
        path: path, remedy: "rename its tensors as in the base")
    }
    inputNames = best.mapping
    inputPrefix = best.input
    basePrefix = best.base
    missing = base.filter { best.mapping[$0] == nil }
    let used = Set(best.mapping.values)
    extra = input.filter { !used.contains($0) }
  }

  /// The prefixes that may be taken off these clean names: none, and every sequence of wrappers that most names have.
  private static func candidates(for names: [String]) -> [String] {
    var result = [""]
    var next = 0
    while next < result.count, result.count < 64 {
      let prefix = result[next]
      next += 1
      guard prefix.split(separator: ".").count < 8 else { continue }
      for wrapper in wrappers where !result.contains(prefix + wrapper) {
        let wrapped = prefix + wrapper
        let count = names.lazy.filter { $0.hasPrefix(wrapped) }.count
        if 2 * count > names.count { result.append(prefix + wrapper) }
      }
    }
    return result
  }

  /// What compilers and sharding put anywhere into names.
  private static let inserted: Set<Substring> = [
    "_orig_mod", "_fsdp_wrapped_module", "_checkpoint_wrapped_module",
  ]

  /// The names without what compilers and sharding insert; where several would become one, these as they are. All
  /// differ, as the names given do: those that are kept hold what is inserted, or are the clean name of no other.
  private static func cleaned(_ names: [String]) -> [String] {
    let clean = names.map(clean)
    // Names without anything inserted, which most checkpoints' are, can't become one.
    guard clean != names else { return names }
    let counts = clean.reduce(into: [String: Int]()) { $0[$1, default: 0] += 1 }
    return zip(names, clean).map { counts[$1] == 1 ? $1 : $0 }
  }

  /// Checks that no two tensors have one name.
  private static func checkNames(
    _ names: [String], of owner: String, path: String
  ) throws(EmbedFuseError) {
    var seen: Set<String> = []
    guard let name = names.first(where: { !seen.insert($0).inserted }) else { return }
    throw EmbedFuseError(
      .badData, "two of \(owner) tensors have the name '\(name.printable)'", path: path,
      remedy: "rename one of the two")
  }

  /// A name without what compilers and sharding put into its middle.
  private static func clean(_ name: String) -> String {
    guard name.utf8.contains(UInt8(ascii: "_")) else { return name }
    return name.split(separator: ".", omittingEmptySubsequences: false)
      .filter { !inserted.contains($0) }.joined(separator: ".")
  }

  /// The names by what remains of their clean forms without the prefix; nil if two of them become one.
  private static func stripped(
    _ names: [String], _ cleanNames: [String], _ prefix: String
  ) -> [ExactString: String]? {
    var result: [ExactString: String] = [:]
    for (name, clean) in zip(names, cleanNames) {
      let rest = clean.hasPrefix(prefix) ? String(clean.dropFirst(prefix.count)) : clean
      guard result.updateValue(name, forKey: ExactString(rest)) == nil else { return nil }
    }
    return result
  }
}
