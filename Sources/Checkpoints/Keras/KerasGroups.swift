import TensorCore

/// What the groups of an HDF5 file say of Keras's layers.
struct KerasGroups: Sendable {
  /// The group within which older files keep the layers of a whole model; weights alone are at the root.
  private static let modelWeights = ["model_weights"]

  /// The group that lists the layers, and their names in order; nil if none does.
  private(set) var layers: (root: [String], names: [String])?
  /// The names of the weights that groups of layers list, or what is wrong with the list, by the group's path.
  private(set) var weightNames: [[String]: Result<[String], EmbedFuseError>] = [:]
  /// The user's names of the layers whose variables stand in a group `vars`, by the layer's path.
  private(set) var layerNames: [String: String] = [:]
  /// What the file says of its making: Keras's version and backend.
  private(set) var metadata: [String: String] = [:]

  /// Takes note of a group.
  mutating func visit(_ group: HDF5Object, at components: [String]) throws(EmbedFuseError) {
    if components.isEmpty || components == Self.modelWeights, layers == nil {
      if let names = try group.splitList("layer_names") {
        layers = (components, names)
        for key in ["keras_version", "backend"] { metadata[key] = group.text(key) }
      }
    }
    if layers != nil {
      // Of groups that are no layers, nobody asks.
      do throws(EmbedFuseError) {
        weightNames[components] = try group.splitList("weight_names").map { .success($0) }
      } catch {
        weightNames[components] = .failure(error)
      }
    }
    if components.last == KerasWeights.variables {
      layerNames[components.dropLast().joined(separator: "/")] = group.text("name")
    }
  }
}
