import TensorCore

/// What an HDF5 file holds: its datasets and its metadata.
struct HDF5Directory: Sendable {
  /// All datasets, in the order of their names.
  private(set) var datasets: [HDF5Dataset] = []
  /// Where each dataset's header stands: ascending in the order in which they were made.
  private(set) var headerAddresses: [UInt64] = []
  /// Further paths that lead to a dataset: path components, and the dataset's index.
  private(set) var aliases: [(components: [String], dataset: Int)] = []
  /// The datasets that hold no tensors, with what they hold instead.
  private(set) var others: [(path: String, contents: String)] = []
  /// The texts attached to the checkpoint.
  private(set) var metadata: [String: String] = [:]
  /// The texts about the base of what is stored as differences; nil where nothing is.
  private(set) var delta: [String: String]?

  /// The paths of all groups.
  private(set) var groups: Set<[String]> = []
  /// What Keras says of its layers.
  private(set) var keras = KerasGroups()

  /// Reads the directory of a file.
  ///
  /// - Throws: bad data for links that lead out of the file or in circles, and for what the library refuses or fails on.
  init(of file: HDF5File) throws(EmbedFuseError) {
    let description = try file.withDescription { bytes throws(EmbedFuseError) in
      try HDF5Description(bytes, path: file.path)
    }
    try self.init(description, of: file)
  }

  /// The directory that a description amounts to.
  init(_ description: HDF5Description, of file: HDF5File) throws(EmbedFuseError) {
    var pending = [(components: [String](), target: description.root)]
    var visited: Set<Int> = []
    var known: [Int: Int] = [:]
    while let (components, target) = pending.popLast() {
      guard let number = try Self.number(target, at: components, in: file) else { continue }
      let object = HDF5Object(number, of: description, at: components, in: file)
      switch description.objects[number].contents {
      case .group(let links):
        guard visited.insert(number).inserted else { throw Self.circle(components, in: file) }
        if components == [HDF5Name.metadata] { metadata = object.texts() }
        if components == [HDF5Name.delta] { delta = object.texts() }
        groups.insert(components)
        try keras.visit(object, at: components)
        pending += try object.links(links).reversed().map { (components + [$0.name], $0.target) }
      case .dataset(let dataset):
        guard !components.isEmpty else {
          throw EmbedFuseError(.badData, "its root is a dataset, expected a group", path: file.path)
        }
        if let first = known[number] {
          aliases.append((components, first))
          continue
        }
        switch try object.dataset(dataset) {
        case .tensor(let dataset):
          known[number] = datasets.count
          datasets.append(dataset)
          headerAddresses.append(description.objects[number].address)
        case .other(let contents): others.append((components.joined(separator: "/"), contents))
        }
      }
    }
    try EmbedFuseError.checkComposition(
      of: datasets.map(\.path) + aliases.map { $0.components.joined(separator: "/") }, path: file.path)
  }

  /// The number of the group or dataset that a link leads to; nil if it is neither.
  private static func number(
    _ target: HDF5Description.Target, at components: [String], in file: HDF5File
  ) throws(EmbedFuseError) -> Int? {
    switch target {
    case .object(let number): return number
    case .other: return nil
    case .tooDeep: throw circle(components, in: file)
    case .unreadable(let failure):
      var error = HDF5Library.error(
        .badData, "it can't be opened", failure.text, path: file.path, tensor: HDF5Object.name(components))
      error.remedy = "if a newer HDF5 wrote the file, save it again with libver='v110'"
      throw error
    }
  }

  private static func circle(_ components: [String], in file: HDF5File) -> EmbedFuseError {
    EmbedFuseError(
      .badData, "the group \(components.joined(separator: "/").printable) leads in a circle or too deep",
      path: file.path)
  }
}

extension HDF5Directory {
  /// What the datasets without tensors hold, for a message.
  var othersText: String {
    others.map { "\($0.path) (\($0.contents))" }.printableList
  }
}

extension HDF5Dataset {
  /// Bytes of values that were never written, for which the fill value stands; `Int.max` for more than that.
  var unwrittenByteCount: Int {
    var (count, isTooMany) = (type.byteCount, false)
    for extent in dimensions where !isTooMany {
      (count, isTooMany) = count.multipliedReportingOverflow(by: Int(clamping: extent))
    }
    guard !dimensions.contains(0) else { return 0 }
    switch layout {
    case .contiguous(nil): return isTooMany ? .max : count
    case .chunked(let extents, let places):
      let written =
        switch places {
        case .listed(let chunks): chunks.count
        case .onDemand(let count): count
        }
      var bytes = written.multipliedReportingOverflow(by: type.byteCount)
      for extent in extents where !bytes.overflow {
        bytes = bytes.partialValue.multipliedReportingOverflow(by: Int(clamping: extent))
      }
      return bytes.overflow ? 0 : max(0, (isTooMany ? .max : count) - bytes.partialValue)
    case .contiguous, .compact: return 0
    }
  }
}

extension HDF5Directory {
  /// Bytes of values that were never written at most, for each byte of the file, and in any file.
  private static let unwrittenLimit = (ratio: 100, bytes: 1 << 30)

  /// Checks that the values that were never written are not out of all proportion: a small file would otherwise take
  /// any time to read.
  func checkUnwritten(in file: HDF5File) throws(EmbedFuseError) {
    let ratio = file.input.byteCount.multipliedReportingOverflow(by: Self.unwrittenLimit.ratio)
    var left = ratio.overflow ? .max : max(ratio.partialValue, Self.unwrittenLimit.bytes)
    for dataset in datasets {
      left -= dataset.unwrittenByteCount
      guard left >= 0 else {
        throw EmbedFuseError(
          .badData,
          "too much of it was never written for a file of \(file.input.byteCount) bytes: \(dataset.unwrittenByteCount) bytes",
          path: file.path, tensor: dataset.path, remedy: "the file is incomplete; save it again")
      }
    }
  }
}
