import Checkpoints
import TensorCore

extension ModelSource {
  /// The digest of every tensor.
  func tensorDigests(pool: WorkerPool) async throws -> [String: ContentDigest] {
    let digests = try await tensors.map(\.stored).digests(pool: pool)
    return zip(tensors, digests).reduce(into: [:]) { $0[$1.0.name] = $1.1 }
  }
}

extension [StoredTensor] {
  /// The digest of every tensor, in order.
  func digests(pool: WorkerPool) async throws -> [ContentDigest] {
    let tensors = self
    let grids = tensors.map { BlockGrid($0.info) }
    let jobs = tensors.indices.flatMap { tensor in
      (0..<grids[tensor].count).map { (tensor: tensor, block: $0) }
    }
    let gathered = try await pool.run(
      jobs.count,
      worker: { (bytes: [UInt8](), digests: [(job: Int, digest: ContentDigest)]()) },
      job: { index, state in
        let job = jobs[index]
        let range = grids[job.tensor][job.block]
        let size = tensors[job.tensor].info.elementType.byteCount(ofElements: range.count)
        if state.bytes.count < size { state.bytes = Array<UInt8>(repeating: 0, count: size) }
        var span = state.bytes.mutableSpan
        try tensors[job.tensor].storage.read(range, into: &span)
        state.digests.append((index, ContentDigest.of(state.bytes.span.extracting(0..<size))))
      }, gathered: { $0.digests })
    var builders = tensors.map { TensorDigestBuilder($0.info) }
    for (job, digest) in gathered.joined() {
      builders[jobs[job].tensor].set(digest, ofBlock: jobs[job].block)
    }
    return builders.map { $0.finish() }
  }
}
