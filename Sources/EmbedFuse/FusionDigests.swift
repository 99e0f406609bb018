import Checkpoints
import Fusion
import TensorCore

/// What is known of the contents of a fusion once they are read and written.
struct FusionDigests: Sendable {
  /// What was read of one input: its tensors under their names within the model, each once.
  struct OfInput: Sendable {
    /// The tensors with the files that hold them and the digests of their content.
    private(set) var tensors: [(name: String, file: String, digest: ContentDigest)] = []
    private var names: Set<String> = []

    /// Takes a tensor in, unless it is known.
    mutating func add(_ name: String, in file: String, _ digest: ContentDigest) {
      if names.insert(name).inserted { tensors.append((name, file, digest)) }
    }

    /// The digest of the tensors that were read, and of those of each file; nil if there are none.
    func digests() -> (whole: ContentDigest, byFile: [String: ContentDigest])? {
      guard let file = tensors.first?.file else { return nil }
      let whole = ContentDigest.of(tensors: tensors.map { ($0.name, $0.digest) })
      guard tensors.contains(where: { $0.file != file }) else { return (whole, [file: whole]) }
      let files = Dictionary(grouping: tensors, by: \.file)
      return (whole, files.mapValues { .of(tensors: $0.map { ($0.name, $0.digest) }) })
    }
  }

  /// What was read of all inputs.
  struct Inputs: Sendable {
    /// Each input of the fusion itself.
    var tensors: [OfInput]
    /// Each input of the steps, by their names.
    var steps: [String: [OfInput]]
  }

  /// The digest of each output tensor.
  var tensors: [ContentDigest]
  /// What was read of the inputs.
  var inputs: Inputs
  /// The digest of the mean weights.
  var weights: ContentDigest
  /// What rounding did.
  var rounding: RoundingReport

  /// Digests that stand for those not known yet: they take the same room, and the counts beside them at least as
  /// much.
  init(placeholdersFor plan: FusionPlan) {
    tensors = plan.tensors.map { _ in .zero }
    inputs = Inputs(plan) { _, _, _ in .zero }
    weights = .zero
    rounding = RoundingReport(plan, findings: nil)
  }

  /// The digests of what the fusing pass has read and written.
  ///
  /// - Throws: what reading throws, if steps hold what hasn't been read.
  init(_ plan: FusionPlan, findings: [FusionEngine.Finding]) throws(EmbedFuseError) {
    tensors = findings.map(\.digest)
    inputs = try Inputs(plan) { (step, tensor, source) throws(EmbedFuseError) in
      guard let step else { return findings[tensor].sourceDigests[source] }
      return try step.sourceDigest(of: tensor, source: source)
    }
    let bits = findings.flatMap { $0.tally?.means ?? [] }.flatMap { mean in
      (0..<8).map { UInt8(truncatingIfNeeded: mean.bitPattern >> (8 * $0)) }
    }
    weights = .of(bits)
    rounding = RoundingReport(plan, findings: findings)
  }
}

extension FusionDigests.Inputs {
  /// The digests that `digest` has for each source of each tensor, of the plan itself (nil) and of its steps. A source
  /// without one isn't listed.
  init<Failure: Error>(
    _ plan: FusionPlan,
    digest: (FusionStep?, _ tensor: Int, _ source: Int) throws(Failure) -> ContentDigest?
  ) throws(Failure) {
    tensors = try Self.ofInputs(plan) { (tensor, source) throws(Failure) in try digest(nil, tensor, source) }
    steps = [:]
    for step in plan.allSteps {
      // A step that another takes follows from what that one is made of.
      steps[step.name] = try Self.ofInputs(step.plan, omitsSteps: true) { (tensor, source) throws(Failure) in
        try digest(step, tensor, source)
      }
    }
  }

  private static func ofInputs<Failure: Error>(
    _ plan: FusionPlan, omitsSteps: Bool = false,
    digest: (_ tensor: Int, _ source: Int) throws(Failure) -> ContentDigest?
  ) throws(Failure) -> [FusionDigests.OfInput] {
    var inputs = plan.inputs.map { _ in FusionDigests.OfInput() }
    let leavesOut = plan.inputs.indices.map { omitsSteps && plan.isStep($0) }
    for (index, tensor) in plan.tensors.enumerated() {
      for (place, source) in tensor.sources.enumerated() where !leavesOut[source.input] {
        guard let digest = try digest(index, place) else { continue }
        inputs[source.input].add(
          plan.name(of: source.tensor, at: index), in: source.tensor.path, digest)
      }
    }
    return inputs
  }
}

extension FusionPlan {
  /// The steps among the inputs, and those among the inputs of steps, each name once: the ones that come first.
  var allSteps: [FusionStep] {
    var result: [FusionStep] = []
    for step in steps {
      for inner in step.plan.allSteps + [step] where !result.contains(where: { $0.name == inner.name }) {
        result.append(inner)
      }
    }
    return result
  }

  /// The name of a source of an output tensor within its model.
  func name(of source: StoredTensor, at tensor: Int) -> String {
    modules[tensor].isEmpty ? source.info.name : "\(modules[tensor])/\(source.info.name)"
  }

  /// The digests of all that a fusion would read, without fusing.
  ///
  /// - Throws: what reading throws.
  func inputDigests(pool: WorkerPool) async throws -> FusionDigests.Inputs {
    var stored: [StoredTensor] = []
    var places: [String: Int] = [:]
    func key(_ plan: String, _ tensor: Int, _ source: Int) -> String { "\(tensor) \(source) \(plan)" }
    for step in [nil] + allSteps.map(Optional.some) {
      let plan = step?.plan ?? self
      var known: [String: Int] = [:]
      for (index, tensor) in plan.tensors.enumerated() {
        for (place, source) in tensor.sources.enumerated()
        where !plan.isStep(source.input) {
          let name = "\(source.input) \(plan.name(of: source.tensor, at: index))"
          let number = known[name] ?? stored.count
          if known.updateValue(number, forKey: name) == nil { stored.append(source.tensor) }
          places[key(step?.name ?? "", index, place)] = number
        }
      }
    }
    let digests = try await stored.digests(pool: pool)
    return FusionDigests.Inputs(self) { step, tensor, source in
      places[key(step?.name ?? "", tensor, source)].map { digests[$0] }
    }
  }

  /// True if an input is fused on the way, so that nothing of it stands on disk.
  func isStep(_ input: Int) -> Bool {
    ModelReference.isMade(inputs[input].path, by: recipe.steps.map(\.name))
  }
}
