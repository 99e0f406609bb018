import TensorCore

/// The tensors of an adapter's file, sorted by what they are.
struct AdapterParts {
  /// The tensors of one update.
  private struct Module {
    var a: StoredTensor?
    var b: StoredTensor?
    var magnitudes: StoredTensor?
    var isEmbedding = false
  }

  /// The names of the modules that are updated, in the file's order.
  private var order: [String] = []
  private var modules: [ExactString: Module] = [:]
  /// Tensors that take the place of the base's, by name.
  private(set) var replacements: [(name: String, stored: StoredTensor)] = []

  /// What PEFT puts before the names of the wrapped model.
  private static let wrapper = "base_model.model."

  /// Sorts the tensors.
  ///
  /// - Throws: `EmbedFuseError` (bad data) for tensors of kinds that aren't known.
  init(_ tensors: [StoredTensor], path: String) throws(EmbedFuseError) {
    for tensor in tensors {
      let full = tensor.info.name
      let name = full.hasPrefix(Self.wrapper) ? String(full.dropFirst(Self.wrapper.count)) : full
      let parts = name.split(separator: ".", omittingEmptySubsequences: false).map(String.init)
      if let place = parts.firstIndex(where: { $0.hasPrefix("lora_") || $0.hasPrefix("trainable_tokens_") }) {
        let module = parts[..<place].joined(separator: ".")
        // Saved without PEFT's renaming, the adapter's name stands in the middle.
        let rest = parts[(place + 1)...].filter { $0 != "default" && $0 != "weight" }
        guard rest.isEmpty, add(tensor, part: parts[place], to: module) else {
          throw EmbedFuseError(
            .badData, "is no part of a LoRA adapter that is known here", path: path, tensor: full,
            remedy: "merge the adapter into its base with peft (merge_and_unload), and name the merged model")
        }
      } else {
        // A module that is wrapped keeps its own tensors one level down.
        let plain = parts.filter { $0 != "base_layer" && $0 != "modules_to_save" }.joined(separator: ".")
        replacements.append((plain, tensor))
      }
    }
    let names = replacements.map(\.name)
    guard Set(names).count == names.count else {
      throw EmbedFuseError(
        .badData, "holds two tensors for one of the base's", path: path,
        remedy: "save the adapter again with peft, or download it again")
    }
  }

  /// Adds a tensor to the update of a module; false if there is no such part, or two of it.
  private mutating func add(_ tensor: StoredTensor, part: String, to name: String) -> Bool {
    let key = ExactString(name)
    if modules[key] == nil { order.append(name) }
    var module = modules[key, default: Module()]
    defer { modules[key] = module }
    switch part {
    case "lora_A" where module.a == nil: module.a = tensor
    case "lora_B" where module.b == nil: module.b = tensor
    case "lora_embedding_A" where module.a == nil:
      module.a = tensor
      module.isEmbedding = true
    case "lora_embedding_B" where module.b == nil:
      module.b = tensor
      module.isEmbedding = true
    case "lora_magnitude_vector" where module.magnitudes == nil: module.magnitudes = tensor
    default: return false
    }
    return true
  }

  /// The updates that the tensors make up.
  ///
  /// - Throws: `EmbedFuseError` (bad data) for tensors that don't fit each other or the configuration, and for layers
  ///   whose updates can't be merged right.
  func updates(
    _ configuration: AdapterConfiguration, path: String
  ) throws(EmbedFuseError) -> [(module: String, update: LowRankUpdate)] {
    var result: [(module: String, update: LowRankUpdate)] = []
    for name in order {
      let module = modules[ExactString(name)]!
      func failure(_ problem: String, remedy: String? = nil) -> EmbedFuseError {
        EmbedFuseError(.badData, "the update of \(name.printable) \(problem)", path: path, remedy: remedy)
      }
      guard let a = module.a, let b = module.b else {
        throw failure("lacks its \(module.a == nil ? "A" : "B")", remedy: "copy the adapter again")
      }
      let (rank, scale) = configuration.settings(ofModule: name)
      guard a.info.shape.rank == 2, b.info.shape.rank == 2 else {
        throw failure(
          "is for a convolution or another layer that isn't linear: A is \(a.info.shape), B \(b.info.shape)",
          remedy: "merge the adapter into its base with peft (merge_and_unload), and name the merged model")
      }
      guard a.info.shape.dimensions[0] == UInt(rank), b.info.shape.dimensions[1] == UInt(rank) else {
        throw failure(
          "has rank \(rank) by adapter_config.json, but A is \(a.info.shape) and B \(b.info.shape)",
          remedy: "r and rank_pattern must belong to these tensors; copy both files again")
      }
      guard a.info.elementType.isFusable, b.info.elementType.isFusable else {
        throw failure(
          "is of types that can't be computed with: \(a.info.elementType) and \(b.info.elementType)")
      }
      guard configuration.isDecomposed == (module.magnitudes != nil) else {
        throw failure(
          configuration.isDecomposed
            ? "lacks the magnitudes of DoRA (use_dora)" : "has magnitudes of DoRA, but use_dora isn't set",
          remedy: "adapter_config.json must belong to these tensors; copy both files again")
      }
      let isTransposed = module.isEmbedding || configuration.isTransposed
      if let magnitudes = module.magnitudes {
        guard !isTransposed else {
          throw failure(
            "is DoRA on \(module.isEmbedding ? "an embedding" : "a transposed layer (fan_in_fan_out)"), which can't be merged right here",
            remedy: "merge the adapter into its base with peft (merge_and_unload), and name the merged model")
        }
        guard magnitudes.info.shape.elementCount == Int(b.info.shape.dimensions[0]),
          magnitudes.info.elementType.isFusable
        else {
          throw failure(
            "has magnitudes \(magnitudes.info.elementType) \(magnitudes.info.shape), but B is \(b.info.shape)"
          )
        }
      }
      result.append(
        (
          name,
          LowRankUpdate(
            a: a, b: b, rank: rank, scale: scale, isTransposed: isTransposed, magnitudes: module.magnitudes)
        ))
    }
    return result
  }
}
