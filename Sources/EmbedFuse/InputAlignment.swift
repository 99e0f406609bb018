import Checkpoints
import TensorCore

/// The inputs' tensors lined up by the names of the first input, with all that doesn't fit found together.
struct InputAlignment {
  /// One tensor of the output with its counterpart in every input.
  struct Row {
    /// The folder of its module; empty for the transformer.
    let module: String
    /// Its name within the whole model.
    let name: String
    /// The name without a wrapper prefix, by which it belongs to a layer.
    let comparableName: String
    /// Each input's tensor; the first is always there.
    let sources: [StoredTensor?]

    /// The tensor as the output has it.
    func info(as type: ElementType) throws(EmbedFuseError) -> TensorInfo {
      guard let info = TensorInfo(name: name, elementType: type, shape: sources[0]!.info.shape) else {
        throw EmbedFuseError(.badData, "its size as \(type) does not end at a byte", tensor: name)
      }
      return info
    }
  }

  /// The tensors, in the order of the first input.
  let rows: [Row]
  /// What should be told.
  let notes: [String]
  /// The tensors that an input lacks, has alone, or has in another shape, if that is allowed.
  let mismatches: [Mismatch]

  /// A tensor that has no counterpart in one input or in the first.
  struct Mismatch {
    /// The input's place.
    let input: Int
    let tensor: String
    let kind: ModelComparison.Mismatch.Kind
  }

  /// Lines up the inputs of a recipe.
  ///
  /// - Throws: `EmbedFuseError` (bad data) listing every incompatibility.
  init(recipe: Recipe, inputs: [ModelSource]) throws(EmbedFuseError) {
    try self.init(inputs, policy: recipe.missing, base: recipe.base, isStrict: true)
  }

  /// Lines up inputs that needn't fit each other, to compare what they share. What doesn't fit is told.
  ///
  /// - Throws: `EmbedFuseError` (bad data) if names can be mapped in several ways.
  init(comparing inputs: [ModelSource]) throws(EmbedFuseError) {
    try self.init(inputs, policy: .base, base: inputs[0].path, isStrict: false)
  }

  private init(
    _ inputs: [ModelSource], policy: MissingPolicy, base: String?, isStrict: Bool
  ) throws(EmbedFuseError) {
    let reference = inputs[0]
    var mismatches: [Mismatch] = []
    var notes = inputs.flatMap(\.notes)
    var problems: [String] = []
    var problemCount = 0
    // The first input's own tensors, then those of each other that stand for them.
    var columns: [[StoredTensor?]] = [reference.tensors.map(\.stored)]
    var prefix = ""
    let compatibility = Compatibility(with: reference)
    for (index, input) in inputs.enumerated().dropFirst() {
      try EmbedFuseError.checkCancellation()
      let mapping = try Self.mapping(of: input, to: reference)
      if let mapping {
        if mapping.basePrefix.utf8.count > prefix.utf8.count { prefix = mapping.basePrefix }
        if mapping.inputPrefix != mapping.basePrefix {
          notes.append(
            "\(input.path.printable): its names carry the prefix '\(mapping.inputPrefix.printable)', \(reference.path.printable)'s the prefix '\(mapping.basePrefix.printable)'"
          )
        }
      }
      let column = Column(input, mapping: mapping, reference: reference)
      // Another architecture or vocabulary explains what its tensors only show: it comes first.
      let findings = try compatibility.findings(of: input)
      if isStrict {
        let found = findings.filter(\.isIncompatible).map(\.message) + column.problems(policy: policy)
        problems += found.firstOnes(of: input, comparedWith: reference)
        problemCount += found.count
        notes +=
          column.notes(policy: policy).firstOnes(of: input, comparedWith: reference)
          + findings.filter { !$0.isIncompatible }.map(\.message)
      } else {
        mismatches += column.mismatches(input: index)
        notes += findings.map(\.message)
      }
      columns.append(column.tensors)
    }
    guard problems.isEmpty else {
      throw EmbedFuseError(
        .badData,
        "the inputs don't fit each other, in \(problemCount.counted("point")):" + problems.problemList,
        remedy: Self.remedy(for: problems, base: base))
    }
    rows = reference.tensors.enumerated().compactMap { place, tensor in
      let sources = columns.map { $0[place] }
      let lacks = tensor.stored.info.elementType.isFusable && sources.contains { $0 == nil }
      if lacks && policy == .drop { return nil }
      let name = tensor.name
      let isWrapped = !prefix.isEmpty && name.hasPrefix(prefix)
      return Row(
        module: tensor.module, name: name,
        comparableName: isWrapped ? String(name.dropFirst(prefix.count)) : name, sources: sources)
    }
    self.notes = notes
    self.mismatches = mismatches
  }

  /// How an input's names belong to the reference's; nil if they are the same, in the same order, as they mostly are.
  private static func mapping(
    of input: ModelSource, to reference: ModelSource
  ) throws(EmbedFuseError) -> NameMapping? {
    if input.tensors.elementsEqual(reference.tensors, by: { $0.name.hasSameBytes(as: $1.name) }) {
      return nil
    }
    return try NameMapping(
      base: reference.tensors.map(\.name), input: input.tensors.map(\.name), path: input.path)
  }

  private static func remedy(for problems: [String], base: String?) -> String {
    problems.contains { $0.contains("lacks the tensor") || $0.contains("has the tensor") }
      ? "fuse models of one architecture; tensors that some lack can be kept from the base (--missing base) or left out (--missing drop)"
      : "fuse only checkpoints that were fine-tuned from the same \(base == nil ? "model" : "base")"
  }
}

extension InputAlignment {
  /// One input's tensors in the places of the first input's.
  private struct Column {
    let input: ModelSource
    let reference: ModelSource
    /// The tensors that fit.
    private(set) var tensors: [StoredTensor?] = []
    private var missing: [ModelSource.Tensor] = []
    private var extra: [ModelSource.Tensor] = []
    private var misshapen: [(ours: ModelSource.Tensor, theirs: TensorInfo)] = []

    /// Without a mapping the tensors stand for those of the reference one by one.
    init(_ input: ModelSource, mapping: NameMapping?, reference: ModelSource) {
      self.input = input
      self.reference = reference
      tensors.reserveCapacity(reference.tensors.count)
      guard let mapping else {
        for (ours, theirs) in zip(reference.tensors, input.tensors) { add(theirs.stored, for: ours) }
        return
      }
      let stored = input.tensors.reduce(into: [String: StoredTensor]()) { $0[$1.name] = $1.stored }
      let tied = TiedWeights(input)
      for tensor in reference.tensors {
        let name =
          mapping.inputNames[tensor.name]
          ?? tied.storedName(of: tensor.name).flatMap { mapping.inputNames[$0] ?? $0 }
        add(name.flatMap { stored[$0] }, for: tensor)
      }
      guard !mapping.extra.isEmpty else { return }
      let ours = Set(reference.tensors.map(\.name))
      let baseTied = TiedWeights(reference)
      let extraNames = Set(mapping.extra)
      extra = input.tensors.filter { tensor in
        guard extraNames.contains(tensor.name), tensor.stored.info.elementType.isFusable else { return false }
        // A copy of what the base stores once under another name says nothing new.
        return baseTied.storedName(of: tensor.name).map { !ours.contains($0) } ?? true
      }
    }

    /// Puts a tensor in the place of one of the reference, if it fits there.
    private mutating func add(_ theirs: StoredTensor?, for ours: ModelSource.Tensor) {
      let type = ours.stored.info.elementType
      guard let theirs else {
        // Buffers of integers are no longer saved by newer libraries.
        if type.isFusable { missing.append(ours) }
        tensors.append(nil)
        return
      }
      let fits =
        theirs.info.shape == ours.stored.info.shape && theirs.info.elementType.isFusable == type.isFusable
      if !fits { misshapen.append((ours, theirs.info)) }
      tensors.append(fits ? theirs : nil)
    }

    func problems(policy: MissingPolicy) -> [String] {
      let path = input.path.printable
      var result = misshapen.map { ours, theirs in
        "\(path): tensor \(ours.name.printable) is \(theirs.elementType) \(theirs.shape), but \(ours.stored.info.elementType) \(ours.stored.info.shape) in \(reference.path.printable)"
      }
      guard policy == .error else { return result }
      result += missing.map {
        "\(path) lacks the tensor \($0.name.printable) (\($0.stored.info.elementType) \($0.stored.info.shape))"
      }
      result += extra.map {
        "\(path) has the tensor \($0.name.printable) (\($0.stored.info.elementType) \($0.stored.info.shape)), which \(reference.path.printable) lacks"
      }
      return result
    }

    func mismatches(input place: Int) -> [Mismatch] {
      missing.map { Mismatch(input: place, tensor: $0.name, kind: .missing) }
        + extra.map { Mismatch(input: place, tensor: $0.name, kind: .extra) }
        + misshapen.map { Mismatch(input: place, tensor: $0.ours.name, kind: .otherForm) }
    }

    func notes(policy: MissingPolicy) -> [String] {
      guard policy != .error else { return [] }
      let path = input.path.printable
      let fate = policy == .drop ? "left out" : "kept from \(reference.path.printable)"
      return missing.map { "\(path) lacks the tensor \($0.name.printable), which is \(fate)" }
        + extra.map {
          "\(path): the tensor \($0.name.printable) is left out, since \(reference.path.printable) lacks it"
        }
    }
  }
}

extension [String] {
  /// What there is to say of one input: the first 20 points, how many more there are, and what shows them all.
  fileprivate func firstOnes(of input: ModelSource, comparedWith reference: ModelSource) -> [String] {
    guard count > 20 else { return self }
    return prefix(20) + [
      "\(input.path.printable): \(count - 20) more of these; all: embedfuse diff \(reference.path.printable) \(input.path.printable) --json"
    ]
  }
}
