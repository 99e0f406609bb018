import TensorCore

/// A checkpoint being written: blocks of tensor bytes arrive in any order from several workers at once.
///
/// A writer is given all tensors when it is created; nothing that it writes carries a final name before the
/// `Publication` that it writes into is published.
public protocol CheckpointWriter: Sendable {
  /// The tensors being written, in the order of the file.
  var tensors: [TensorInfo] { get }

  /// The elements of this tensor that one worker brings together: a `BlockGrid.runLength`. The runs of a
  /// tensor are `BlockGrid(shape).runs(of: runLength)`.
  func runLength(of tensor: Int) -> Int

  /// Takes the bytes of some blocks of a run: little-endian, the tensor's element type, row-major. The worker that has
  /// taken the run brings all its blocks, in order.
  ///
  /// Workers may call it at the same time. They take runs in the order of tensors and runs, so a writer that
  /// must commit in order has to hold back only as many as there are workers.
  func write(_ bytes: Span<UInt8>, of tensor: Int, at range: Range<Int>) throws(EmbedFuseError)

  /// Lets workers that wait in `write` for an earlier run fail: to be called by a worker that will not bring a run
  /// that it took, because reading or computing it failed.
  func abandon()

  /// Completes the files once every run has been written.
  func finish() throws(EmbedFuseError)
}

extension CheckpointWriter {
  /// Runs of about 256 KiB.
  public func runLength(of tensor: Int) -> Int {
    BlockGrid(tensors[tensor]).runLength(target: (256 << 10) * 8 / tensors[tensor].elementType.bitWidth)
  }

  /// Nothing, for a writer in which nobody waits.
  public func abandon() {}
}

extension EmbedFuseError {
  /// What to do about a tensor that would have another's name in an output, or a name that means something else there.
  static let repeatedName = "rename the tensor in the checkpoint that it comes from"
}
