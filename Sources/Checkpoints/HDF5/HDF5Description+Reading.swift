import CHDF5
import TensorCore

extension HDF5Description {
  /// Reads a description; `CHDF5/Description.h` has its form.
  ///
  /// - Parameter path: the file's, for messages.
  /// - Throws: bad data for a file that the library can't open, and for a description that breaks the form, which the
  ///   library comes to on some damaged and hostile files.
  init(_ bytes: RawSpan, path: String) throws(EmbedFuseError) {
    var scanner = HDF5DescriptionScanner(path: path)
    var objects: [Object] = []
    let file = try scanner.outcome(in: bytes) { scanner throws(EmbedFuseError) in
      (
        userblock: try scanner.outcome(in: bytes) { scanner throws(EmbedFuseError) in
          try scanner.number(upTo: .max, in: bytes)
        }, root: try Self.target(&scanner, bytes, depth: 0, &objects)
      )
    }
    guard try scanner.tag(in: bytes) == "." else { throw scanner.malformed }
    try scanner.end(in: bytes)
    switch file {
    case .success((.success(let userblock), let root)):
      (self.userblock, self.root, self.objects) = (userblock, root, objects)
    case .success((.failure(let failure), _)):
      throw HDF5Library.error(.badData, "its userblock can't be read", failure.text, path: path)
    case .failure(let failure):
      var error = HDF5Library.error(.badData, "it can't be opened as HDF5", failure.text, path: path)
      error.remedy = error.remedy ?? "it is of another kind, or damaged: download or copy it again"
      throw error
    }
  }

  /// What a link leads to. Calls itself for what a group holds, as deep as the limits allow.
  private static func target(
    _ scanner: inout HDF5DescriptionScanner, _ bytes: RawSpan, depth: Int, _ objects: inout [Object]
  ) throws(EmbedFuseError) -> Target {
    let kind = try scanner.tag(in: bytes)
    switch kind {
    case "o": return .other
    case "^": return .tooDeep
    case "-": return .unreadable(Failure(text: try scanner.text(in: bytes)))
    case "s": return .object(try scanner.number(upTo: objects.count - 1, in: bytes))
    case "d", "g":
      guard kind == "d" || depth < limits.depth else { throw scanner.malformed }
      let number = objects.count
      objects.append(
        Object(
          address: try scanner.number(in: bytes), attributes: try attributes(&scanner, bytes),
          contents: .group(.success([]))))
      objects[number].contents =
        kind == "d"
        ? .dataset(
          try scanner.outcome(in: bytes) { scanner throws(EmbedFuseError) in try dataset(&scanner, bytes) })
        : .group(
          try scanner.outcome(in: bytes) { scanner throws(EmbedFuseError) in
            try links(&scanner, bytes, depth: depth, &objects)
          })
      return .object(number)
    default: throw scanner.malformed
    }
  }

  private static func links(
    _ scanner: inout HDF5DescriptionScanner, _ bytes: RawSpan, depth: Int, _ objects: inout [Object]
  ) throws(EmbedFuseError) -> [Link] {
    var links: [Link] = []
    for _ in 0..<(try scanner.count(of: 9, in: bytes)) {
      let kind = try scanner.tag(in: bytes)
      guard kind == "h" || kind == "s" else { throw scanner.malformed }
      let (name, isText) = try scanner.name(in: bytes)
      // Stands for what is read below.
      links.append(Link(name: name, isText: isText, target: kind == "h" ? .other : nil))
    }
    for index in links.indices where links[index].target != nil {
      links[index].target = try target(&scanner, bytes, depth: depth + 1, &objects)
    }
    return links
  }

  private static func attributes(
    _ scanner: inout HDF5DescriptionScanner, _ bytes: RawSpan
  ) throws(EmbedFuseError) -> [String: Attribute] {
    var attributes: [String: Attribute] = [:]
    for _ in 0..<(try scanner.count(of: 9, in: bytes)) {
      let name = try scanner.text(in: bytes)
      attributes[name] = try attribute(&scanner, bytes)
    }
    return attributes
  }

  private static func attribute(
    _ scanner: inout HDF5DescriptionScanner, _ bytes: RawSpan
  ) throws(EmbedFuseError) -> Attribute {
    switch try scanner.tag(in: bytes) {
    case "t": return .text(try scanner.text(in: bytes))
    case "l":
      var texts: [String] = []
      for _ in 0..<(try scanner.count(of: 8, in: bytes)) { texts.append(try scanner.text(in: bytes)) }
      return .texts(texts)
    case "i": return .integers(try scanner.numbers(scanner.count(of: 8, in: bytes), in: bytes))
    case "o": return .other
    case "-": return .unreadable(Failure(text: try scanner.text(in: bytes)))
    default: throw scanner.malformed
    }
  }
}

// MARK: - Datasets

extension HDF5Description {
  private static func dataset(
    _ scanner: inout HDF5DescriptionScanner, _ bytes: RawSpan
  ) throws(EmbedFuseError) -> Dataset {
    let type = try Self.type(&scanner, bytes)
    let rank = try scanner.number(in: bytes)
    guard rank <= 32 || rank == .max else { throw scanner.malformed }
    let dimensions = rank == .max ? nil : try scanner.numbers(Int(rank), in: bytes)
    let storage = try scanner.outcome(in: bytes) { scanner throws(EmbedFuseError) in
      try Self.storage(&scanner, bytes, size: type.size, rank: dimensions?.count ?? 0)
    }
    return Dataset(type: type, dimensions: dimensions, storage: storage)
  }

  private static func type(
    _ scanner: inout HDF5DescriptionScanner, _ bytes: RawSpan
  ) throws(EmbedFuseError) -> ef_h5_type {
    let kind = H5T_class_t(Int32(truncatingIfNeeded: try scanner.number(in: bytes)))
    func number() throws(EmbedFuseError) -> Int { try scanner.number(upTo: 1 << 32, in: bytes) }
    func flag() throws(EmbedFuseError) -> Int32 { try scanner.number(in: bytes) == 0 ? 0 : 1 }
    return ef_h5_type(
      kind: kind, size: try number(), big_endian: try flag(), other_order: try flag(), is_signed: try flag(),
      sign: try number(), exponent_at: try number(), exponent: try number(), mantissa_at: try number(),
      mantissa: try number(), bias: try number(), precision: try number(), is_complex: try flag())
  }

  private static func storage(
    _ scanner: inout HDF5DescriptionScanner, _ bytes: RawSpan, size: Int, rank: Int
  ) throws(EmbedFuseError) -> Storage {
    let layout: Layout =
      switch try scanner.tag(in: bytes) {
      case "c": .contiguous
      case "i": .compact
      case "h": .chunked(try scanner.numbers(rank, in: bytes))
      case "o": .elsewhere
      default: throw scanner.malformed
      }
    let filterCount = try scanner.number(in: bytes)
    var filters: [Filter] = []
    for _ in 0..<min(filterCount, 8) {
      filters.append(
        Filter(
          number: Int32(truncatingIfNeeded: try scanner.number(in: bytes)),
          parameter: UInt32(truncatingIfNeeded: try scanner.number(in: bytes)),
          name: try scanner.text(in: bytes)))
    }
    var storage = Storage(layout: layout, filterCount: filterCount, filters: filters)
    switch try scanner.tag(in: bytes) {
    case "o": break
    case "+": storage.values = try values(&scanner, bytes, of: layout, size: size, rank: rank)
    default: throw scanner.malformed
    }
    return storage
  }

  private static func values(
    _ scanner: inout HDF5DescriptionScanner, _ bytes: RawSpan, of layout: Layout, size: Int, rank: Int
  ) throws(EmbedFuseError) -> Values {
    let fillValue = try scanner.outcome(in: bytes) { scanner throws(EmbedFuseError) -> [UInt8]? in
      let value = try scanner.bytes(in: bytes)
      guard value.isEmpty || value.count == size else { throw scanner.malformed }
      return value.isEmpty ? nil : value
    }
    let place: Place =
      switch layout {
      case .contiguous: .offset(try scanner.number(in: bytes))
      case .compact:
        .values(
          try scanner.outcome(in: bytes) { scanner throws(EmbedFuseError) in try scanner.bytes(in: bytes) })
      case .chunked:
        .chunks(
          try scanner.outcome(in: bytes) { scanner throws(EmbedFuseError) in
            try chunks(&scanner, bytes, rank: rank)
          })
      case .elsewhere: .elsewhere
      }
    return Values(fillValue: fillValue, place: place)
  }

  private static func chunks(
    _ scanner: inout HDF5DescriptionScanner, _ bytes: RawSpan, rank: Int
  ) throws(EmbedFuseError) -> (count: UInt64, list: Outcome<[Chunk]>?) {
    let count = try scanner.number(in: bytes)
    guard count <= limits.chunks else { return (count, nil) }
    var list: [Chunk] = []
    for _ in 0..<count {
      let chunk = try scanner.outcome(in: bytes) { scanner throws(EmbedFuseError) in
        let mask = UInt32(truncatingIfNeeded: try scanner.number(in: bytes))
        let (address, byteCount) = (try scanner.number(in: bytes), try scanner.number(in: bytes))
        return Chunk(
          corner: try scanner.numbers(rank, in: bytes), mask: mask, address: address, byteCount: byteCount)
      }
      switch chunk {
      case .success(let chunk): list.append(chunk)
      case .failure(let failure): return (count, .failure(failure))
      }
    }
    return (count, .success(list))
  }
}
