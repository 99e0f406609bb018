import Checkpoints
import Fusion
import Synchronization
import TensorCore

/// A fusion that stands among the inputs of another: its tensors are fused block by block when they are read, so that
/// no intermediate file is needed. They are rounded to their type, as if they had been written.
final class FusionStep: Sendable {
  private let plan: FusionPlan
  /// The engine once its stages have been run.
  private let engine = Mutex<FusionEngine?>(nil)

  init(_ plan: FusionPlan) {
    self.plan = plan
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
      let local = module.isEmpty ? tensor.info.name : String(tensor.info.name.dropFirst(module.count + 1))
      return TensorInfo(name: local, elementType: tensor.info.elementType, shape: tensor.info.shape).map {
        info in
        ModelSource.Tensor(
          module: module,
          stored: StoredTensor(info: info, storage: Storage(step: self, tensor: index), path: name))
      }
    }
    return plan.reference.replacing(tensors: tensors, path: name)
  }

  /// One fused tensor.
  private struct Storage: TensorStorage {
    let step: FusionStep
    let tensor: Int

    func read(_ range: Range<Int>, into bytes: inout MutableSpan<UInt8>) throws(EmbedFuseError) {
      guard let engine = step.engine.withLock({ $0 }) else {
        throw EmbedFuseError(.internalError, "the step is read before it was prepared")
      }
      let info = step.plan.tensors[tensor].info
      let grid = BlockGrid(info)
      var block = grid.index(startingAt: range.lowerBound)
      if block >= grid.count || grid[block].lowerBound > range.lowerBound { block -= 1 }
      var written = 0
      while block < grid.count, grid[block].lowerBound < range.upperBound {
        let made = try engine.bytes(ofBlock: grid[block], of: tensor)
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

  /// The output bytes of one block of a tensor.
  func bytes(ofBlock range: Range<Int>, of tensor: Int) throws(EmbedFuseError) -> [UInt8] {
    var worker = takeWorker()
    defer { shelf.put(worker) }
    let planned = variants[0].tensors[tensor]
    let size = planned.info.elementType.byteCount(ofElements: range.count)
    if worker.outputs[0].count < size { worker.outputs[0] = Array(repeating: 0, count: size) }
    try worker.read(range, of: sources(of: tensor))
    _ = try fill(range, of: planned, variant: 0, tensor: tensor, at: 0, with: &worker)
    return Array(worker.outputs[0][..<size])
  }
}
