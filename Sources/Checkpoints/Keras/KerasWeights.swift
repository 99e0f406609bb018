import TensorCore

/// The weights among the datasets of a Keras file, under the names that line them up with those of other files.
///
/// Keras 3 stores a layer's variables by their places, `layers/dense/vars/0`: those are the names here, since they are
/// the same in every save of a model, while layers get other names each time a program makes them. Older files name
/// each weight: `proj/kernel`.
struct KerasWeights {
  /// The group that holds a layer's variables.
  static let variables = "vars"

  /// Where the names come from.
  let naming: Checkpoint.Naming
  /// The weights in Keras's order: their names, and their numbers among the datasets.
  private(set) var weights: [(name: String, dataset: Int)] = []
  /// How many arrays are an optimizer's state, or anything else that is no weight.
  private(set) var leftOut = 0
  /// What should be told about layers, by their names here.
  private(set) var metadata: [String: String]
}

extension KerasWeights {
  /// The weights of a file in which every array is a variable, as Keras 3 writes it; nil for other files.
  init?(variablesOf directory: HDF5Directory) {
    naming = .kerasVariables
    metadata = [:]
    for (number, dataset) in directory.datasets.enumerated() where dataset.components[0] != HDF5Name.files {
      guard let index = dataset.components.last, dataset.components.dropLast().last == Self.variables,
        !index.isEmpty, index.utf8.allSatisfy({ (48...57).contains($0) })
      else { return nil }
      guard dataset.components[0] != "optimizer" else {
        leftOut += 1
        continue
      }
      weights.append((dataset.path, number))
      let layer = dataset.components.dropLast(2).joined(separator: "/")
      if !layer.isEmpty { metadata[layer] = directory.keras.layerNames[layer] }
    }
    guard !weights.isEmpty || leftOut > 0 else { return nil }
    sortByPlace(directory)
  }

  /// Layers in the order in which they were made in the file, which is that of the model; variables by their numbers.
  private mutating func sortByPlace(_ directory: HDF5Directory) {
    let keyed = weights.map { weight in
      let dataset = directory.datasets[weight.dataset]
      return (
        layer: dataset.components.dropLast().joined(separator: "/"), number: dataset.components.last ?? "",
        position: directory.headerAddresses[weight.dataset], weight: weight
      )
    }
    let starts = Dictionary(keyed.map { ($0.layer, $0.position) }, uniquingKeysWith: min)
    weights = keyed.sorted { first, second in
      if first.layer != second.layer {
        let (one, other) = (starts[first.layer] ?? .max, starts[second.layer] ?? .max)
        return one != other ? one < other : first.layer < second.layer
      }
      // Longer numbers are greater.
      let (one, other) = (first.number, second.number)
      return one.utf8.count != other.utf8.count ? one.utf8.count < other.utf8.count : one < other
    }.map(\.weight)
  }
}

extension KerasWeights {
  /// The weights of a file that lists its layers, and in each layer's group its weights.
  ///
  /// - Throws: bad data for a list that names what isn't there, or something twice.
  init(
    layersOf directory: HDF5Directory, in file: HDF5File, root: [String], names layers: [String]
  ) throws(EmbedFuseError) {
    naming = .kerasLayers
    metadata = directory.keras.metadata
    func refuse(_ problem: String) -> EmbedFuseError {
      EmbedFuseError(
        .badData, problem, path: file.path, remedy: "the file is damaged: save or download it again")
    }
    let numbers = Dictionary(directory.datasets.enumerated().map { ($1.components, $0) }) { first, _ in first
    }
    var listed: [(layer: String, weight: String, dataset: Int)] = []
    var taken: Set<Int> = []
    // The weights of a model itself, outside of its layers, have a group of their own that isn't listed.
    let own = "top_level_model_weights"
    let isThere = directory.groups.contains(root + [own])
    for layer in layers + (isThere && !layers.contains(own) ? [own] : []) {
      let group = root + Self.components(layer)
      guard directory.groups.contains(group) else {
        throw refuse("it lists the layer \(layer.printable), which isn't there")
      }
      for weight in try directory.keras.weightNames[group]?.get() ?? [] {
        guard let number = numbers[group + Self.components(weight)], taken.insert(number).inserted else {
          throw refuse(
            "the layer \(layer.printable) lists the weight \(weight.printable), which isn't there or is listed twice"
          )
        }
        listed.append((layer, Self.withoutNumber(weight), number))
      }
    }
    // Layers of a model within the model may share their weights' names with others: then the layer tells them apart.
    let counts = Dictionary(listed.map { ($0.weight, 1) }, uniquingKeysWith: +)
    weights = listed.map { (counts[$0.weight] == 1 ? $0.weight : "\($0.layer)/\($0.weight)", $0.dataset) }
    guard Set(weights.map(\.name)).count == weights.count else {
      throw refuse("two of its weights have the same name in the same layer")
    }
    leftOut = directory.datasets.count(where: { $0.components[0] != HDF5Name.files }) - weights.count
  }

  private static func components(_ name: String) -> [String] {
    name.utf8.split(separator: 47).map { String(decoding: $0, as: UTF8.self) }
  }

  /// The name of a weight without the number that TensorFlow puts behind it: `proj/kernel:0`.
  private static func withoutNumber(_ name: String) -> String {
    guard let colon = name.utf8.lastIndex(of: 58), colon > name.startIndex,
      name[colon...].utf8.dropFirst().allSatisfy({ (48...57).contains($0) })
    else { return name }
    return String(name[..<colon])
  }
}

extension StoredTensor {
  /// True for the state of a random generator, which Keras keeps among a model's variables (for dropout).
  public var isRandomState: Bool { info.name.contains("seed_generator/vars/") }
}
