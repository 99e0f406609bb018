import CHDF5
import TensorCore

/// An object of an HDF5 file, by one of the paths that lead to it: what the file's description says of it, or an error
/// that names it.
struct HDF5Object {
  private let object: HDF5Description.Object
  private let components: [String]
  private let userblock: Int
  private let file: HDF5File

  private var name: String { Self.name(components) }

  /// The object of a number, at a path from the root, which no components name.
  init(_ number: Int, of description: HDF5Description, at components: [String], in file: HDF5File) {
    object = description.objects[number]
    userblock = description.userblock
    self.components = components
    self.file = file
  }

  /// A path as it is written in messages.
  static func name(_ components: [String]) -> String {
    components.isEmpty ? "/" : components.joined(separator: "/")
  }

  private func value<Value>(
    _ outcome: HDF5Description.Outcome<Value>, _ action: String
  ) throws(EmbedFuseError) -> Value {
    switch outcome {
    case .success(let value): return value
    case .failure(let failure): throw error(action, failure)
    }
  }

  private func error(_ action: String, _ failure: HDF5Description.Failure) -> EmbedFuseError {
    HDF5Library.error(.badData, action, failure.text, path: file.path, tensor: name)
  }

  private func refuse(_ problem: String, remedy: String? = nil) -> EmbedFuseError {
    EmbedFuseError(.badData, problem, path: file.path, tensor: name, remedy: remedy)
  }
}

// MARK: - Groups

extension HDF5Object {
  /// The links of a group, in the order of their names' bytes, and what they lead to.
  func links(
    _ links: HDF5Description.Outcome<[HDF5Description.Link]>
  ) throws(EmbedFuseError) -> [(name: String, target: HDF5Description.Target)] {
    var result: [(name: String, target: HDF5Description.Target)] = []
    for link in try value(links, "its names can't be listed") {
      guard let target = link.target else {
        throw refuse(
          "the link \(link.name.printable) leads elsewhere by name; only what the file itself holds is read")
      }
      guard link.isText else { throw refuse("the name of its link \(link.name.printable) is not UTF-8") }
      result.append((link.name, target))
    }
    return result
  }

  /// The texts of an attribute that holds a row of them; nil if there is none of this name.
  func list(_ attribute: String) throws(EmbedFuseError) -> [String]? {
    let problem = "its attribute \(attribute) is no list of names"
    switch object.attributes[attribute] {
    case nil: return nil
    case .texts(let texts): return texts
    case .text(let text): return [String(decoding: text.utf8.prefix { $0 != 0 }, as: UTF8.self)]
    case .integers([]): return []
    case .integers, .other: throw refuse(problem)
    case .unreadable(let failure): throw error(problem, failure)
    }
  }

  /// The texts of a list that may be split over several attributes, `layer_names0`, `layer_names1` and so on; nil if
  /// there is none.
  func splitList(_ attribute: String) throws(EmbedFuseError) -> [String]? {
    if let list = try list(attribute) { return list }
    var (result, parts): ([String], Int) = ([], 0)
    while let part = try list("\(attribute)\(parts)") {
      result += part
      parts += 1
    }
    return parts == 0 ? nil : result
  }

  /// The text attributes, their names decoded.
  func texts() -> [String: String] {
    var result: [String: String] = [:]
    for name in object.attributes.keys {
      if let text = text(name) { result[HDF5Name.decoded(name)] = text }
    }
    return result
  }

  /// A text attribute; nil if there is none of this name.
  func text(_ attribute: String) -> String? {
    guard case .text(let text) = object.attributes[attribute] else { return nil }
    return text
  }
}

// MARK: - Datasets

extension HDF5Object {
  /// What a dataset is: one that a tensor can be read from, or what it holds instead.
  enum Contents {
    case tensor(HDF5Dataset)
    case other(String)
  }

  /// What a dataset holds.
  func dataset(
    _ dataset: HDF5Description.Outcome<HDF5Description.Dataset>
  ) throws(EmbedFuseError) -> Contents {
    let dataset = try value(dataset, "its type can't be read")
    let storage = try value(dataset.storage, "its storage can't be read")
    guard let dimensions = dataset.dimensions else { return .other("no values") }
    let kind = HDF5ElementKind(dataset.type)
    let dtype = text("dtype")
    if let foreign = kind.foreignKind, dataset.type.kind != H5T_OPAQUE || dtype == nil {
      return .other(foreign)
    }
    guard let values = storage.values else { throw HDF5File.failure(file.path) }
    let filters = ChunkFilter.pipeline(storage)
    return .tensor(
      HDF5Dataset(
        components: components, type: kind, dimensions: dimensions,
        layout: try layout(storage.layout, values.place, isDirect: filters != nil), filters: filters,
        missingFilter: filters == nil ? try missingFilter(storage) : nil,
        fillValue: try value(values.fillValue, "its fill value can't be read"), dtype: dtype,
        name: text("name"), shape: integers("shape", limit: 1024), delta: try delta()))
  }

  /// The first filter that the library lacks, by number and name; nil if it has all.
  private func missingFilter(_ storage: HDF5Description.Storage) throws(EmbedFuseError) -> String? {
    try HDF5Library.locked {
      storage.filters.first { ef_h5_has_filter($0.number) <= 0 }
        .map { "\($0.number)\($0.name.isEmpty ? "" : " (\($0.name))")" }
    }
  }

  /// What is said of the base of a dataset of differences.
  private func delta() throws(EmbedFuseError) -> DeltaRecord? {
    guard let type = text("delta_of") else { return nil }
    guard let digest = text("base_digest"),
      let blocks = integers("base_blocks", limit: file.input.byteCount / 8)
    else {
      throw refuse(
        "it holds differences (delta_of \(type.printable)), but the digests of its base are missing")
    }
    return DeltaRecord(elementType: type, digest: digest, blocks: blocks)
  }

  /// An attribute of unsigned integers; nil if there is none, or more than `limit` of them.
  private func integers(_ attribute: String, limit: Int) -> [UInt64]? {
    guard case .integers(let values) = object.attributes[attribute], values.count <= limit else { return nil }
    return values
  }

  private func layout(
    _ layout: HDF5Description.Layout, _ place: HDF5Description.Place, isDirect: Bool
  ) throws(EmbedFuseError) -> HDF5Dataset.Layout {
    switch (layout, place) {
    case (_, .offset(let offset)): return .contiguous(offset: Int(exactly: offset))
    case (_, .values(let values)): return .compact(values)
    case (.chunked(let extents), .chunks(let chunks)):
      let (count, list) = try value(chunks, "its chunks can't be counted")
      guard isDirect, let list else { return .chunked(extents, .onDemand(count: Int(clamping: count))) }
      return .chunked(extents, .listed(try located(try value(list, "its chunks can't be located"))))
    case (_, .chunks), (_, .elsewhere):
      throw refuse(
        "its values are in other files", remedy: "copy the file with h5repack, which brings them together")
    }
  }

  /// Where chunks stand, checked against the file's size.
  private func located(_ chunks: [HDF5Description.Chunk]) throws(EmbedFuseError) -> [HDF5Dataset.Chunk] {
    var result: [HDF5Dataset.Chunk] = []
    result.reserveCapacity(chunks.count)
    for chunk in chunks {
      let (offset, overflow) = chunk.address.addingReportingOverflow(UInt64(userblock))
      let range = try file.check(
        offset: overflow ? .max : offset, byteCount: chunk.byteCount, of: "a chunk", in: name)
      result.append(
        HDF5Dataset.Chunk(
          corner: chunk.corner, mask: chunk.mask, offset: range.lowerBound, byteCount: range.count))
    }
    return result
  }
}
