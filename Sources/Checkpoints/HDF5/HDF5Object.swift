import CHDF5
import Glibc
import TensorCore

/// An object of an HDF5 file that is open in the library.
struct HDF5Object: ~Copyable {
  /// What an object is.
  enum Kind: Sendable {
    case group
    case dataset
    case other
  }

  /// Bytes of a text attribute at most.
  static let textLimit = 64 << 20
  /// Chunks that are listed at most: the library takes time in the square of their number.
  static let listedChunks: UInt64 = 4096

  let kind: Kind
  /// Where the object's header stands, the same for every path that leads to it.
  let address: UInt64
  private let file: HDF5File
  private let components: [String]
  private var id: hid_t

  private var name: String { components.joined(separator: "/") }

  /// Opens the object at a path from the root, which no components name.
  init(_ components: [String], in file: HDF5File) throws(EmbedFuseError) {
    let name = components.isEmpty ? "/" : components.joined(separator: "/")
    (id, kind, address) = try HDF5Library.locked { () throws(EmbedFuseError) in
      let id = unsafe ef_h5_open_object(file.id, name)
      guard id >= 0 else {
        var error = HDF5Library.lastError(.badData, "it can't be opened", path: file.path, tensor: name)
        error.remedy = "if a newer HDF5 wrote the file, save it again with libver='v110'"
        throw error
      }
      var address: UInt64 = 0
      switch unsafe UInt8(bitPattern: ef_h5_object_kind(id, &address)) {
      case UInt8(ascii: "g"): return (id, .group, address)
      case UInt8(ascii: "d"): return (id, .dataset, address)
      default: return (id, .other, address)
      }
    }
    self.file = file
    self.components = components
  }

  deinit {
    let id = id
    if id >= 0 { try? HDF5Library.locked { _ = ef_h5_close_object(id) } }
  }

  /// Closes the object.
  mutating func close() {
    let id = id
    self.id = -1
    try? HDF5Library.locked { _ = ef_h5_close_object(id) }
  }

  private func check<Value: SignedInteger>(_ value: Value, _ action: String) throws(EmbedFuseError) {
    try HDF5Library.check(value, .badData, action, path: file.path, tensor: name)
  }

  private func refuse(_ problem: String, remedy: String? = nil) -> EmbedFuseError {
    EmbedFuseError(.badData, problem, path: file.path, tensor: name, remedy: remedy)
  }
}

// MARK: - Groups

extension HDF5Object {
  /// The names of a group's links, in the order of their bytes.
  func links() throws(EmbedFuseError) -> [String] {
    let links = try unsafe names { unsafe ef_h5_links(id, $0) }
    if let soft = links.first(where: { $0.kind != UInt8(ascii: "h") }) {
      throw refuse(
        "the link \(soft.name.printable) leads elsewhere by name; only what the file itself holds is read")
    }
    return links.map(\.name)
  }

  /// The texts of an attribute that holds a row of them; nil if there is none of this name.
  func list(_ attribute: String) throws(EmbedFuseError) -> [String]? {
    let id = id
    return try HDF5Library.locked { () throws(EmbedFuseError) in
      var names = unsafe ef_h5_names()
      let status = unsafe ef_h5_read_texts(id, attribute, Self.textLimit, &names)
      defer { unsafe free(names.bytes) }
      try check(status, "its attribute \(attribute) is no list of names")
      return status == 0 ? nil : unsafe Self.texts(names).map(\.name)
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
  func texts() throws(EmbedFuseError) -> [String: String] {
    var result: [String: String] = [:]
    for (_, name) in try unsafe names({ unsafe ef_h5_attributes(id, $0) }) {
      if let text = try text(name) { result[HDF5Name.decoded(name)] = text }
    }
    return result
  }

  /// A text attribute; nil if there is none of this name.
  func text(_ attribute: String) throws(EmbedFuseError) -> String? {
    let id = id
    return try HDF5Library.locked {
      var length = 0
      guard let text = unsafe ef_h5_read_text(id, attribute, Self.textLimit, &length) else { return nil }
      defer { unsafe free(text) }
      let bytes = unsafe UnsafeRawBufferPointer(start: text, count: length)
      return unsafe String(decoding: bytes, as: UTF8.self)
    }
  }

  /// The kinds and names that an iteration gathers.
  private func names(
    _ gather: (UnsafeMutablePointer<ef_h5_names>) -> herr_t
  ) throws(EmbedFuseError) -> [(kind: UInt8, name: String)] {
    try HDF5Library.locked { () throws(EmbedFuseError) in
      var names = unsafe ef_h5_names()
      let status = unsafe gather(&names)
      defer { unsafe free(names.bytes) }
      try check(status, "its names can't be listed")
      return unsafe Self.texts(names)
    }
  }

  private static func texts(_ names: ef_h5_names) -> [(kind: UInt8, name: String)] {
    unsafe Array(UnsafeRawBufferPointer(start: names.bytes, count: names.count)).split(separator: 0)
      .map { ($0.first!, String(decoding: $0.dropFirst(), as: UTF8.self)) }
  }
}

// MARK: - Datasets

extension HDF5Object {
  /// What a dataset is: one that a tensor can be read from, or what it holds instead.
  enum Contents {
    case tensor(HDF5Dataset)
    case other(String)
  }

  /// The description of a dataset.
  func dataset() throws(EmbedFuseError) -> Contents {
    var type = ef_h5_type()
    var storage = ef_h5_storage()
    var extents = [hsize_t](repeating: 0, count: 32)
    let rank = try HDF5Library.locked { () throws(EmbedFuseError) in
      try unsafe check(ef_h5_describe_type(id, &type), "its type can't be read")
      try unsafe check(ef_h5_describe_storage(id, &storage), "its storage can't be read")
      return Int(unsafe ef_h5_extents(id, &extents))
    }
    guard rank >= 0 else { return .other("no values") }
    let kind = HDF5ElementKind(type)
    let dtype = try text("dtype")
    if let foreign = kind.foreignKind, type.kind != H5T_OPAQUE || dtype == nil { return .other(foreign) }
    let filters = ChunkFilter.pipeline(storage)
    return .tensor(
      HDF5Dataset(
        components: components, type: kind, dimensions: Array(extents.prefix(rank)),
        layout: try layout(storage, rank: rank, isDirect: filters != nil), filters: filters,
        missingFilter: filters == nil ? try missingFilter(storage) : nil,
        fillValue: try fillValue(byteCount: type.size), dtype: dtype, name: try text("name"),
        shape: try integers("shape", limit: 1024), delta: try delta()))
  }

  /// The first filter that the library lacks, by number and name; nil if it has all.
  private func missingFilter(_ storage: ef_h5_storage) throws(EmbedFuseError) -> String? {
    try HDF5Library.locked {
      for place in 0..<min(Int(storage.filters), 8) {
        let number = unsafe withUnsafeBytes(of: storage.filter) {
          unsafe $0.load(fromByteOffset: 4 * place, as: Int32.self)
        }
        guard ef_h5_has_filter(number) <= 0 else { continue }
        let name = unsafe withUnsafeBytes(of: storage.filter_names) {
          unsafe String(decoding: $0[(64 * place)..<(64 * place + 64)].prefix { $0 != 0 }, as: UTF8.self)
        }
        return "\(number)\(name.isEmpty ? "" : " (\(name))")"
      }
      return nil
    }
  }

  /// The element that stands for what was never written; nil if there is none.
  private func fillValue(byteCount: Int) throws(EmbedFuseError) -> [UInt8]? {
    // Elements of tensors are small; what isn't is refused for its type.
    guard byteCount <= 16 else { return nil }
    let id = id
    return try HDF5Library.locked { () throws(EmbedFuseError) in
      var value = [UInt8](repeating: 0, count: byteCount)
      let status = unsafe ef_h5_fill_value(id, byteCount, &value)
      try check(status, "its fill value can't be read")
      return status > 0 ? value : nil
    }
  }

  /// What is said of the base of a dataset of differences.
  private func delta() throws(EmbedFuseError) -> DeltaRecord? {
    guard let type = try text("delta_of") else { return nil }
    guard let digest = try text("base_digest"),
      let blocks = try integers("base_blocks", limit: file.input.byteCount / 8)
    else {
      throw refuse(
        "it holds differences (delta_of \(type.printable)), but the digests of its base are missing")
    }
    return DeltaRecord(elementType: type, digest: digest, blocks: blocks)
  }

  /// An attribute of unsigned integers; nil if there is none, or more than `limit` of them.
  private func integers(_ attribute: String, limit: Int) throws(EmbedFuseError) -> [UInt64]? {
    let id = id
    return try HDF5Library.locked {
      let count = unsafe ef_h5_count_integers(id, attribute)
      guard count >= 0, count <= limit else { return nil }
      var values = [UInt64](repeating: 0, count: Int(count))
      return unsafe ef_h5_read_integers(id, attribute, &values, hsize_t(count)) < 0 ? nil : values
    }
  }

  private func layout(
    _ storage: ef_h5_storage, rank: Int, isDirect: Bool
  ) throws(EmbedFuseError) -> HDF5Dataset.Layout {
    switch UInt8(bitPattern: storage.layout) {
    case UInt8(ascii: "c"):
      let id = id
      let offset = try HDF5Library.locked { ef_h5_offset(id) }
      return .contiguous(offset: Int(exactly: offset))
    case UInt8(ascii: "h"):
      let extents = unsafe withUnsafeBytes(of: storage.chunk) {
        unsafe Array($0.bindMemory(to: hsize_t.self).prefix(rank))
      }
      return .chunked(extents, try chunks(rank: rank, isDirect: isDirect))
    case UInt8(ascii: "i"):
      return .compact
    default:
      throw refuse(
        "its values are in other files", remedy: "copy the file with h5repack, which brings them together")
    }
  }

  /// Where the chunks that were written stand, checked against the file's size.
  private func chunks(rank: Int, isDirect: Bool) throws(EmbedFuseError) -> HDF5Dataset.ChunkPlaces {
    let id = id
    return try HDF5Library.locked { () throws(EmbedFuseError) in
      let space = ef_h5_space(id)
      defer { ef_h5_close_space(space) }
      var count: hsize_t = 0
      try unsafe check(ef_h5_chunk_count(id, space, &count), "its chunks can't be counted")
      guard isDirect, count <= Self.listedChunks else { return .onDemand(count: Int(clamping: count)) }
      var result: [HDF5Dataset.Chunk] = []
      var corner = [hsize_t](repeating: 0, count: rank)
      for index in 0..<count {
        var (mask, address, size) = (UInt32(0), haddr_t(0), hsize_t(0))
        try unsafe check(
          ef_h5_chunk_info(id, space, index, &corner, &mask, &address, &size), "its chunks can't be located")
        let (offset, overflow) = UInt64(address).addingReportingOverflow(UInt64(file.userblock))
        let range = try file.check(
          offset: overflow ? .max : offset, byteCount: UInt64(size), of: "a chunk", in: name)
        result.append(
          HDF5Dataset.Chunk(
            corner: corner, mask: mask, offset: range.lowerBound, byteCount: range.count))
      }
      return .listed(result)
    }
  }
}
