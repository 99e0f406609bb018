import CHDF5
import TensorCore

/// An HDF5 file being written, for one caller at a time: what is created in the same order gives the same bytes.
struct HDF5FileBuilder: ~Copyable {
  let path: String
  private var file: hid_t
  private var groups: Set<ExactString> = []

  /// Creates a file that isn't there yet.
  init(path: String) throws(EmbedFuseError) {
    self.path = path
    file = try HDF5Library.locked { () throws(EmbedFuseError) in
      try HDF5Library.check(
        unsafe ef_h5_create_file(path), .cannotCreate, "the file can't be created", path: path)
    }
  }

  deinit {
    // A file that wasn't closed is on its way to being removed, so a failure to complete it doesn't matter.
    let file = file
    if file >= 0 { try? HDF5Library.locked { _ = ef_h5_close_file(file) } }
  }

  /// Completes the file.
  mutating func close() throws(EmbedFuseError) {
    let (file, path) = (file, path)
    self.file = -1
    try HDF5Library.locked { () throws(EmbedFuseError) in
      let flushed = ef_h5_flush_file(file)
      let failure =
        flushed < 0 ? HDF5Library.lastError(.inputOutput, "the file can't be completed", path: path) : nil
      let closed = ef_h5_close_file(file)
      if let failure { throw failure }
      try HDF5Library.check(closed, .inputOutput, "the file can't be completed", path: path)
    }
  }

  /// Creates the dataset of a tensor, with its attributes; chunked as its layout says.
  ///
  /// Differences are unsigned integers, whose attributes `attach(_:to:of:)` writes when the base has been read.
  mutating func createDataset(
    _ components: [String], for info: TensorInfo, layout: ChunkLayout, compression: ChunkCompression,
    isDelta: Bool
  ) throws(EmbedFuseError) -> hid_t {
    let integers: [Int: ElementType] = [1: .u8, 2: .u16, 4: .u32, 8: .u64]
    let dataset = try create(
      components, type: isDelta ? integers[layout.width] ?? .u8 : info.elementType,
      dimensions: layout.dimensions, chunk: layout.chunkDimensions,
      width: layout.width, level: compression.nominalLevel, name: info.name)
    // Readers that know nothing of differences must not take them for values.
    if !isDelta { try attach(info.elementType.name, as: "dtype", to: dataset, of: info.name) }
    if components.joined(separator: "/") != info.name {
      try attach(info.name, as: "name", to: dataset, of: info.name)
    }
    if layout.isReshaped {
      let extents = info.shape.dimensions.map(UInt64.init)
      try call("its shape can't be recorded", of: info.name) {
        unsafe ef_h5_write_integers(dataset, "shape", extents, hsize_t(extents.count))
      }
    }
    return dataset
  }

  /// Says of a dataset of differences what they are and to what.
  func attach(_ delta: DeltaRecord, to dataset: hid_t, of name: String) throws(EmbedFuseError) {
    try attach(delta.elementType, as: "delta_of", to: dataset, of: name)
    try attach(delta.digest, as: "base_digest", to: dataset, of: name)
    try call("the digests of its base can't be recorded", of: name) {
      unsafe ef_h5_write_integers(dataset, "base_blocks", delta.blocks, hsize_t(delta.blocks.count))
    }
  }

  /// Creates a dataset of bytes in one chunk size, or in one piece.
  mutating func createBytes(
    _ components: [String], count: Int, chunk: Int?, level: Int
  ) throws(EmbedFuseError) -> hid_t {
    try create(
      components, type: .u8, dimensions: [UInt64(count)], chunk: chunk.map { [UInt64($0)] }, width: 1,
      level: level, name: components.joined(separator: "/"))
  }

  /// Writes the whole of a dataset that is in one piece.
  func write(_ values: [UInt8], to dataset: hid_t, of name: String) throws(EmbedFuseError) {
    guard !values.isEmpty else { return }
    try call("it can't be written", of: name) {
      unsafe ef_h5_write(dataset, values)
    }
  }

  /// Writes the chunk whose first element is at `corner`, and returns where in the file it stands.
  @discardableResult
  func write(
    _ chunk: StoredChunk, to dataset: hid_t, at corner: [UInt64], of name: String
  ) throws(EmbedFuseError) -> Range<Int> {
    let corner = corner.map { hsize_t($0) }
    var address = haddr_t(0)
    try call("a chunk can't be written", of: name) {
      unsafe ef_h5_write_chunk(dataset, chunk.mask, corner, chunk.count, chunk.bytes, &address)
    }
    return Int(address)..<Int(address) + chunk.count
  }

  /// Ends the use of a dataset.
  func close(_ dataset: hid_t, of name: String) throws(EmbedFuseError) {
    try call("it can't be completed", of: name) { ef_h5_close_dataset(dataset) }
  }

  /// Attaches texts to a group at the file's root, in the order of their keys.
  mutating func attach(_ texts: [String: String], toGroup name: String) throws(EmbedFuseError) {
    guard !texts.isEmpty else { return }
    try createGroup([name])
    let (file, path) = (file, path)
    let group = try HDF5Library.locked { () throws(EmbedFuseError) in
      try HDF5Library.check(
        unsafe ef_h5_open_group(file, name), .inputOutput, "group \(name) can't be opened", path: path)
    }
    for (key, text) in texts.sorted(by: { $0.key.utf8.lexicographicallyPrecedes($1.key.utf8) }) {
      try attach(text, as: HDF5Name.component(key), to: group, of: name)
    }
    try call("it can't be completed", of: name) { ef_h5_close_group(group) }
  }

  private mutating func create(
    _ components: [String], type: ElementType, dimensions: [UInt64], chunk: [UInt64]?, width: Int, level: Int,
    name: String
  ) throws(EmbedFuseError) -> hid_t {
    try createGroup(Array(components.dropLast()))
    let (file, path) = (file, path)
    let link = components.joined(separator: "/")
    return try HDF5Library.locked { () throws(EmbedFuseError) in
      let stored = type.makeHDF5Type()
      defer { ef_h5_close_type(stored) }
      let extents = dimensions.map { hsize_t($0) }
      let chunk = chunk.map { $0.map { hsize_t($0) } }
      return try HDF5Library.check(
        unsafe ef_h5_create_dataset(
          file, link, stored, Int32(extents.count), extents, chunk, width > 1 ? 1 : 0, Int32(level)),
        .inputOutput, "its dataset can't be created", path: path, tensor: name)
    }
  }

  /// Creates the groups that these components lead through, where they aren't there yet.
  private mutating func createGroup(_ components: [String]) throws(EmbedFuseError) {
    for count in 1..<(components.count + 1) {
      let link = components[..<count].joined(separator: "/")
      guard groups.insert(ExactString(link)).inserted else { continue }
      let file = file
      try call("its group can't be created", of: link) {
        let group = unsafe ef_h5_create_group(file, link)
        return group < 0 ? -1 : ef_h5_close_group(group)
      }
    }
  }

  private func attach(
    _ text: String, as attribute: String, to object: hid_t, of name: String
  ) throws(EmbedFuseError) {
    let bytes = text.utf8.map { CChar(bitPattern: $0) }
    try call("its attribute \(attribute) can't be written", of: name) {
      unsafe ef_h5_write_text(object, attribute, bytes, bytes.count)
    }
  }

  private func call(_ action: String, of name: String, _ body: () -> herr_t) throws(EmbedFuseError) {
    let path = path
    try HDF5Library.locked { () throws(EmbedFuseError) in
      _ = try HDF5Library.check(body(), .inputOutput, action, path: path, tensor: name)
    }
  }
}

extension ElementType {
  /// The stored type, to be closed by the caller: self-describing where HDF5 has an equal one, otherwise bytes.
  ///
  /// HDF5's own E4M3 has infinities, which the one of checkpoints hasn't, so that stays bytes as well.
  func makeHDF5Type() -> hid_t {
    switch self {
    case .f64: ef_h5_f64()
    case .f32: ef_h5_f32()
    case .f16: ef_h5_float_type(2, 5, 10, 15)
    case .bf16: ef_h5_float_type(2, 8, 7, 127)
    case .f8E5M2: ef_h5_float_type(1, 5, 2, 15)
    case .c64: ef_h5_complex_type()
    case .i8, .i16, .i32, .i64: ef_h5_integer_type(bitWidth / 8, 1)
    case .u16, .u32, .u64: ef_h5_integer_type(bitWidth / 8, 0)
    case .u8, .bool, .f4, .f6E2M3, .f6E3M2, .f8E4M3, .f8E8M0, .f8E4M3FNUZ, .f8E5M2FNUZ:
      ef_h5_integer_type(1, 0)
    }
  }
}
