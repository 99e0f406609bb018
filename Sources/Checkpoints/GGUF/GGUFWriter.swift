import Kernels
import Synchronization
import TensorCore

/// Writes one GGUF file (version 3), of preallocated size, at positions known in advance.
///
/// Tensors keep their names and their order. llama.cpp opens files whose names follow its own scheme and have less
/// than 64 bytes; others are for programs that know them.
package final class GGUFWriter: CheckpointWriter {
  /// The tensors in the order given.
  package let tensors: [TensorInfo]

  private let file: OutputFile
  private let layout: GGUFLayout
  private let quantizes: Bool
  private let remaining: Atomic<Int>

  /// Creates the file.
  ///
  /// - Parameters:
  ///   - path: where; nothing may stand there.
  ///   - tensors: what is to be written; names must differ.
  ///   - metadata: the key-value pairs.
  ///   - quantizes: true to store matrices of F32, F16 or BF16 in Q8_0 if their rows are multiples of 32 elements,
  ///     quantised from F32 as ggml's reference does. All else stays as it is.
  /// - Throws: `EmbedFuseError`: cannot create; bad data listing the tensors that GGUF can't hold.
  package init(
    creating path: String, tensors: [TensorInfo], metadata: GGUFMetadata, quantizes: Bool = false
  ) throws(EmbedFuseError) {
    self.tensors = tensors
    self.quantizes = quantizes
    let layout = try GGUFLayout(tensors: tensors, metadata: metadata, quantizes: quantizes)
    file = try OutputFile(creating: path, byteCount: layout.byteCount)
    remaining = Atomic(tensors.reduce(0) { $0 + $1.byteCount })
    let bytes = layout.bytes
    try file.write(bytes.span, at: 0)
    self.layout = layout
  }

  /// Writes a run where it belongs.
  package func write(_ bytes: Span<UInt8>, of tensor: Int, at range: Range<Int>) throws(EmbedFuseError) {
    let type = tensors[tensor].elementType
    precondition(bytes.count == type.byteCount(ofElements: range.count), "a run is as long as its elements")
    if layout.types[tensor] == .q8Zero {
      // Runs are whole rows, or pieces of them of whole blocks.
      let blocks = Self.quantized(bytes, as: type)
      try file.write(
        blocks.span, at: layout.offsets[tensor] + range.lowerBound / Q8Block.length * Q8Block.byteCount)
    } else {
      try file.write(bytes, at: layout.offsets[tensor] + type.byteCount(ofElements: range.lowerBound))
    }
    remaining.subtract(bytes.count, ordering: .relaxed)
  }

  private static func quantized(_ bytes: Span<UInt8>, as type: ElementType) -> [UInt8] {
    let count = bytes.count / type.byteWidth!
    var wide = [Double](repeating: 0, count: count)
    var target = wide.mutableSpan
    _ = widen(bytes, as: type, into: &target)
    let values = wide.map { Float($0) }
    var blocks = [UInt8](repeating: 0, count: count / Q8Block.length * Q8Block.byteCount)
    var span = blocks.mutableSpan
    let source = values.span
    for block in 0..<count / Q8Block.length {
      Q8Block.quantize(source, at: block * Q8Block.length, into: &span, at: block * Q8Block.byteCount)
    }
    return blocks
  }

  /// Replaces the key-value pairs by others that take the same room.
  package func setMetadata(_ metadata: GGUFMetadata) throws(EmbedFuseError) {
    let replaced = try GGUFLayout(tensors: tensors, metadata: metadata, quantizes: quantizes).bytes
    precondition(replaced.count == layout.bytes.count, "metadata must keep its length")
    try file.write(replaced.span, at: 0)
  }

  /// Checks that every byte has been written, and closes the file.
  package func finish() throws(EmbedFuseError) {
    let missing = remaining.load(ordering: .acquiring)
    guard missing == 0 else {
      throw EmbedFuseError(.internalError, "\(missing) bytes of tensors were not written", path: file.path)
    }
    try file.close()
  }
}
