import TensorCore

/// Where the header and the tensors of a GGUF file stand.
struct GGUFLayout {
  /// The header with the padding after it.
  let bytes: [UInt8]
  /// How each tensor is stored, in the order given.
  let types: [GGMLType]
  /// The file's byte at which each tensor starts.
  let offsets: [Int]
  /// The file's size.
  let byteCount: Int

  /// Lays out a file.
  ///
  /// - Throws: `EmbedFuseError` (bad data) listing the tensors that GGUF can't hold.
  init(tensors: [TensorInfo], metadata: GGUFMetadata, quantizes: Bool) throws(EmbedFuseError) {
    let types = try Self.types(of: tensors, quantizes: quantizes)
    let alignment = metadata.alignment
    func aligned(_ position: Int) -> Int { (position + alignment - 1) / alignment * alignment }
    let metadata = Self.completed(metadata, tensors: tensors, types: types)
    var header = UInt32(0x4655_4747).littleEndianBytes + UInt32(3).littleEndianBytes
    header += UInt64(tensors.count).littleEndianBytes + UInt64(metadata.pairs.count).littleEndianBytes
    for pair in metadata.pairs { header += Self.string(pair.key) + pair.value }
    var position = 0
    var starts: [Int] = []
    for (info, type) in zip(tensors, types) {
      header += Self.string(info.name) + UInt32(info.shape.rank).littleEndianBytes
      for extent in info.shape.dimensions.reversed() { header += UInt64(extent).littleEndianBytes }
      header += type.rawValue.littleEndianBytes + UInt64(position).littleEndianBytes
      starts.append(position)
      position = aligned(position + type.byteCount(ofElements: info.shape.elementCount)!)
    }
    header += Array(repeating: 0, count: aligned(header.count) - header.count)
    bytes = header
    self.types = types
    offsets = starts.map { $0 + header.count }
    byteCount = header.count + position
  }

  private static func string(_ text: String) -> [UInt8] {
    UInt64(text.utf8.count).littleEndianBytes + Array(text.utf8)
  }

  /// The type in which each tensor is stored.
  private static func types(of tensors: [TensorInfo], quantizes: Bool) throws(EmbedFuseError) -> [GGMLType] {
    var types: [GGMLType] = []
    var names: Set<ExactString> = []
    var problems: [String] = []
    for info in tensors {
      guard names.insert(ExactString(info.name)).inserted else {
        throw EmbedFuseError(
          .badData, "stands in the output twice", tensor: info.name, remedy: EmbedFuseError.repeatedName)
      }
      if info.shape.rank > 4 {
        problems.append("\(info.name.printable) has \(info.shape.rank) dimensions")
      } else if let type = GGMLType(info.elementType) {
        types.append(quantizes && isQuantizable(info) ? .q8Zero : type)
      } else {
        problems.append("\(info.name.printable) is of type \(info.elementType)")
      }
    }
    guard problems.isEmpty else {
      throw EmbedFuseError(
        .badData,
        "GGUF can't hold \(problems.count) of the tensors:" + problems.messageLines,
        remedy:
          "GGUF has up to 4 dimensions, and the types F32, F16, BF16, F64, I8, I16, I32 and I64; write .safetensors, .h5 or .npz instead"
      )
    }
    return types
  }

  /// True for the matrices whose rows are whole blocks; llama.cpp keeps vectors as they are, too.
  private static func isQuantizable(_ info: TensorInfo) -> Bool {
    info.shape.rank >= 2 && info.shape.rowLength % Q8Block.length == 0
      && [.f32, .f16, .bf16].contains(info.elementType)
  }

  /// The pairs with those that tell of the tensors' types: `general.file_type` is that of most elements.
  private static func completed(
    _ metadata: GGUFMetadata, tensors: [TensorInfo], types: [GGMLType]
  ) -> GGUFMetadata {
    var elements: [GGMLType: Int] = [:]
    for (info, type) in zip(tensors, types) { elements[type, default: 0] += info.shape.elementCount }
    let numbers: [(type: GGMLType, number: UInt32)] = [(.f32, 0), (.f16, 1), (.q8Zero, 7), (.bf16, 32)]
    var metadata = metadata
    if let most = numbers.max(by: { elements[$0.type] ?? 0 < elements[$1.type] ?? 0 }) {
      metadata.set(number: most.number, for: "general.file_type")
    }
    if types.contains(.q8Zero) { metadata.set(number: 2, for: "general.quantization_version") }
    return metadata
  }
}
