import CHDF5
import Glibc
import TensorCore

/// What an HDF5 file holds: its datasets and its metadata.
struct HDF5Directory: Sendable {
  /// Groups within groups at most.
  private static let depthLimit = 64

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
  /// - Throws: bad data for links that lead out of the file or in circles, and for what the library refuses.
  init(of file: HDF5File) throws(EmbedFuseError) {
    var pending: [[String]] = [[]]
    var visited: Set<UInt64> = []
    var known: [UInt64: Int] = [:]
    while let components = pending.popLast() {
      var object = try HDF5Object(components, in: file)
      switch object.kind {
      case .group:
        guard visited.insert(object.address).inserted, components.count < Self.depthLimit else {
          throw EmbedFuseError(
            .badData,
            "the group \(components.joined(separator: "/").printable) leads in a circle or too deep",
            path: file.path)
        }
        if components == [HDF5Name.metadata] { metadata = try object.texts() }
        if components == [HDF5Name.delta] { delta = try object.texts() }
        groups.insert(components)
        try keras.visit(object, at: components)
        pending += try object.links().reversed().map { components + [$0] }
      case .dataset:
        if let first = known[object.address] {
          aliases.append((components, first))
        } else {
          switch try object.dataset() {
          case .tensor(let dataset):
            known[object.address] = datasets.count
            datasets.append(dataset)
            headerAddresses.append(object.address)
          case .other(let contents): others.append((components.joined(separator: "/"), contents))
          }
        }
      case .other:
        break
      }
      object.close()
    }
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
