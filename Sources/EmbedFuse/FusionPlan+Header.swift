import Checkpoints
import TensorCore

extension FusionPlan {
  /// Checks that a safetensors file can hold what is to be said of all tensors in its header, before any work is done: the
  /// entries of the tensors, and the manifest as a text among them.
  ///
  /// - Throws: `EmbedFuseError` (bad data) if the format doesn't allow a header as long as this must be.
  func checkHeader(ofFileAt path: String, limit: Int = SafetensorsWriter.headerLimit) throws(EmbedFuseError) {
    let least = leastHeaderBytes
    guard least > limit else { return }
    throw EmbedFuseError(
      .badData,
      "the header would take at least \(least) bytes, for \(tensors.count) tensors and the manifest, but safetensors allows \(limit)",
      path: path,
      remedy:
        "name a model directory instead, where the manifest is a file of its own (and --max-shard-size makes several files, with shorter headers)"
    )
  }

  /// Bytes that no header with these tensors and their manifest falls short of.
  var leastHeaderBytes: Int {
    let entry = "\"\":{\"dtype\":\"F4\",\"shape\":[],\"data_offsets\":[0,0]},".utf8.count
    let digest = String(repeating: "0", count: 32)
    // In a text every quote is preceded by a backslash.
    let output = "\\\"\\\":{\\\"dtype\\\":\\\"F4\\\",\\\"shape\\\":[],\\\"digest\\\":\\\"\(digest)\\\"},".utf8
      .count
    let input = "\\\"\\\":\\\"\(digest)\\\",".utf8.count
    // With slices a tensor of an input may be read for several of the output, and is listed once. Steps aren't listed.
    let countsSources = recipe.slices.isEmpty && recipe.steps.isEmpty
    return tensors.reduce(0) { sum, tensor in
      let shape = max(0, 2 * tensor.info.shape.rank - 1)
      let own = 2 * tensor.info.name.utf8.count + entry + output + 2 * shape
      guard countsSources else { return sum + own }
      return tensor.sources.reduce(sum + own) { $0 + $1.tensor.info.name.utf8.count + input }
    }
  }
}
