import TensorCore

extension HDF5Reader {
  /// The weights of a file that Keras wrote; nil for other files.
  func kerasWeights() throws(EmbedFuseError) -> KerasWeights? {
    if let layers = directory.keras.layers {
      return try KerasWeights(layersOf: directory, in: file, root: layers.root, names: layers.names)
    }
    return KerasWeights(variablesOf: directory)
  }

  /// The checkpoint of a Keras file, in Keras's order.
  func checkpoint(of weights: KerasWeights) throws(EmbedFuseError) -> Checkpoint {
    var tensors: [StoredTensor] = []
    var names: [Int: String] = [:]
    for (name, dataset) in weights.weights {
      tensors.append(try tensor(dataset, name: name))
      names[dataset] = name
    }
    guard !tensors.isEmpty else {
      throw EmbedFuseError(
        .badData, "is a Keras file without weights", path: file.path,
        remedy: "save the model after it was built: model.save_weights(…)")
    }
    var aliases: [String: String] = [:]
    for (components, dataset) in directory.aliases {
      if let name = names[dataset] { aliases[components.joined(separator: "/")] = name }
    }
    let leftOut = weights.leftOut
    return Checkpoint(
      path: file.path, format: .hdf5, tensors: tensors,
      metadata: directory.metadata.merging(weights.metadata) { first, _ in first }, aliases: aliases,
      files: [(file.path, file.input.byteCount)],
      notes: leftOut == 0
        ? []
        : [
          "\(file.path.printable): \(leftOut) \(leftOut == 1 ? "array" : "arrays") of the optimizer's state or beside the weights \(leftOut == 1 ? "is" : "are") left out"
        ], naming: weights.naming)
  }
}
