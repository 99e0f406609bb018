import Checkpoints
import Fusion
import TensorCore

/// The buffers with which one worker reads blocks of the inputs and takes the method over them.
struct BlockWorker {
  /// Takes the method over a block.
  var runner: BlockRunner
  /// The stored bytes of each source of the block at hand; only the first elements may be in use.
  var bytes: [[UInt8]] = []
  /// The bytes of the output run at hand.
  var output: [UInt8] = []

  init(method: any FusionMethod, nonFinite: NonFinitePolicy) {
    runner = BlockRunner(method, nonFinite: nonFinite)
  }

  /// Reads a range of every source.
  mutating func read(
    _ range: Range<Int>, of tensor: PlannedTensor
  ) throws(EmbedFuseError) {
    while bytes.count < tensor.sources.count { bytes.append([]) }
    for (j, source) in tensor.sources.enumerated() {
      let size = source.tensor.info.elementType.byteCount(ofElements: range.count)
      if bytes[j].count < size { bytes[j] = Array(repeating: 0, count: size) }
      var span = bytes[j].mutableSpan
      try source.tensor.storage.read(range, into: &span)
    }
  }

  /// The block as the method sees it.
  func block(_ range: Range<Int>, of tensor: PlannedTensor, in context: TensorContext, hasBase: Bool)
    -> FusionBlock
  {
    FusionBlock(
      tensor: context, range: range,
      inputs: tensor.sources.map { source in
        BlockInput(
          path: source.tensor.path, tensor: source.tensor.info.name,
          elementType: source.tensor.info.elementType)
      }, hasBase: hasBase)
  }
}
