import Checkpoints
import Fusion
import TensorCore

/// A fusion that stands among the inputs of another: its tensors are fused block by block when they are read, so that
/// no intermediate file is needed. They are rounded to their type, as if they had been written.
final class FusionStep: Sendable {
  /// The name by which others take it.
  let name: String
  /// What it fuses.
  let plan: FusionPlan
  /// The engine once its stages have been run.
  private let engine = Locked<FusionEngine?>(nil)
  /// The digests of the sources' blocks that have been read, by tensor and block.
  private let digests: Locked<[[[ContentDigest]]]>

  init(_ plan: FusionPlan, name: String) {
    self.plan = plan
    self.name = name
    digests = Locked(plan.tensors.map { Array(repeating: [], count: BlockGrid($0.info).count) })
  }

  /// The inputs that it reads from disk.
  var filedInputs: [ModelSource] { plan.filedInputs }

  /// Runs the stages of the fusion, and those of the steps that it takes itself.
  func prepare(pool: WorkerPool, progress: FusionProgress) async throws {
    var engine = try await plan.engine(pool: pool, progress: progress)
    try await engine.prepare()
    self.engine.withLock { $0 = engine }
  }

  /// The fusion as a model.
  func source(named name: String) -> ModelSource {
    let tensors = zip(plan.tensors, plan.modules).enumerated().compactMap { index, planned in
      let (tensor, module) = planned
      let local =
        module.isEmpty
        ? tensor.info.name : String(Substring(tensor.info.name.utf8.dropFirst(module.utf8.count + 1)))
      return TensorInfo(name: local, elementType: tensor.info.elementType, shape: tensor.info.shape).map {
        info in
        ModelSource.Tensor(
          module: module,
          stored: StoredTensor(info: info, storage: Storage(step: self, tensor: index), path: name))
      }
    }
    var source = plan.reference.replacing(tensors: tensors, path: name)
    source.cacheBytes = plan.inputs.reduce(0) { $0 + $1.cacheBytes }
    return source
  }

  /// The output bytes of one block of a tensor. The digests of what it is made of are kept.
  private func bytes(
    ofBlock block: Int, in range: Range<Int>, of tensor: Int
  ) throws(EmbedFuseError) -> [UInt8] {
    guard let engine = engine.withLock({ $0 }) else {
      throw EmbedFuseError(.internalError, "the step is read before it was prepared")
    }
    let isKnown = digests.withLock { !$0[tensor][block].isEmpty }
    let (bytes, found) = try engine.bytes(ofBlock: range, of: tensor, digesting: !isKnown)
    if !isKnown { digests.withLock { $0[tensor][block] = found } }
    return bytes
  }

  /// The digest of a tensor that an output tensor is made of. What hasn't been read yet is read now.
  func sourceDigest(of tensor: Int, source: Int) throws(EmbedFuseError) -> ContentDigest {
    let stored = plan.tensors[tensor].sources[source].tensor
    let grid = BlockGrid(stored.info)
    var builder = TensorDigestBuilder(stored.info)
    let known = digests.withLock { $0[tensor] }
    var buffer: [UInt8] = []
    for block in 0..<grid.count {
      builder.set(
        known[block].isEmpty
          ? try stored.digest(ofBlock: grid[block], reading: &buffer) : known[block][source],
        ofBlock: block)
    }
    return builder.finish()
  }

  /// One fused tensor.
  private struct Storage: TensorStorage {
    let step: FusionStep
    let tensor: Int

    var workerBytes: Int { FusionPlan.workerBytes([step.plan], kinds: [.directory]) }

    func read(_ range: Range<Int>, into bytes: inout MutableSpan<UInt8>) throws(EmbedFuseError) {
      let info = step.plan.tensors[tensor].info
      let grid = BlockGrid(info)
      var block = grid.index(containing: range.lowerBound)
      var written = 0
      while block < grid.count, grid[block].lowerBound < range.upperBound {
        let made = try step.bytes(ofBlock: block, in: grid[block], of: tensor)
        let wanted = grid[block].clamped(to: range)
        let first = info.elementType.byteCount(ofElements: wanted.lowerBound - grid[block].lowerBound)
        for i in 0..<info.elementType.byteCount(ofElements: wanted.count) {
          bytes[written] = made[first + i]
          written += 1
        }
        block += 1
      }
    }
  }
}

extension FusionEngine {
  /// Runs all stages of all tensors and keeps what they find.
  mutating func prepare() async throws {
    try await learn()
    for group in groups(of: Array(0..<tensorCount)) { try await runStages(of: group) }
  }

  /// The output bytes of one block of a tensor and, if asked for, the digests of its sources' blocks.
  func bytes(
    ofBlock range: Range<Int>, of tensor: Int, digesting: Bool
  ) throws(EmbedFuseError) -> (bytes: [UInt8], digests: [ContentDigest]) {
    var worker = takeWorker()
    defer { shelf.put(worker) }
    let planned = variants[0].tensors[tensor]
    let size = planned.info.elementType.byteCount(ofElements: range.count)
    try worker.read(range, of: sources(of: tensor))
    _ = try fill(range, of: planned, variant: 0, tensor: tensor, with: &worker)
    let digests = digesting ? worker.digests(over: range.count, of: sources(of: tensor)) : []
    return (Array(worker.outputs[0][..<size]), digests)
  }
}
