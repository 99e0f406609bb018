import TensorCore

/// The key-value pairs of a GGUF file, to be written into another one.
public struct GGUFMetadata: Sendable, Hashable {
  /// The keys in order, each with the number of its type and its value as they stand in a file.
  private(set) var pairs: [Pair] = []
  /// What every tensor's offset is a multiple of: 32, or what `general.alignment` says.
  private(set) var alignment = 32

  struct Pair: Sendable, Hashable {
    let key: String
    let value: [UInt8]
  }

  /// The pairs of a file that has none but its architecture, without which no program opens it.
  public init(architecture: String) {
    self["general.architecture"] = architecture
  }

  /// The pairs of a GGUF file: tokenizer, hyperparameters and all else that its tensors need.
  ///
  /// What tells of the tensors' types is left out, since the writer knows it.
  ///
  /// - Throws: `EmbedFuseError`: missing input if it isn't there; bad data for what the format forbids.
  public init(ofFile path: String) throws(EmbedFuseError) {
    let file = try InputFile(path)
    let header = try GGUFHeader(of: file)
    alignment = header.alignment
    for pair in header.keyValues where !Self.ownKeys.contains(pair.key) {
      pairs.append(Pair(key: pair.key, value: try file.bytes(pair.range)))
    }
  }

  /// Keys that tell of the types of the tensors.
  private static let ownKeys = ["general.file_type", "general.quantization_version"]

  /// Sets or reads a text; nil where the key is missing or holds something else.
  public subscript(key: String) -> String? {
    get {
      guard let value = pairs.first(where: { $0.key == key })?.value,
        value.starts(with: GGUFScanner.ValueType.string.rawValue.littleEndianBytes)
      else { return nil }
      return String(decoding: value.dropFirst(12), as: UTF8.self)
    }
    set {
      let value = newValue.map {
        GGUFScanner.ValueType.string.rawValue.littleEndianBytes + UInt64($0.utf8.count).littleEndianBytes
          + Array($0.utf8)
      }
      set(value, for: key)
    }
  }

  /// Sets a number of 32 bits.
  mutating func set(number: UInt32, for key: String) {
    set(GGUFScanner.ValueType.u32.rawValue.littleEndianBytes + number.littleEndianBytes, for: key)
  }

  private mutating func set(_ value: [UInt8]?, for key: String) {
    let place = pairs.firstIndex { $0.key == key }
    switch (place, value) {
    case (let place?, let value?): pairs[place] = Pair(key: key, value: value)
    case (let place?, nil): pairs.remove(at: place)
    case (nil, let value?): pairs.append(Pair(key: key, value: value))
    case (nil, nil): break
    }
  }
}

extension FixedWidthInteger {
  /// The bytes, lowest first.
  var littleEndianBytes: [UInt8] {
    (0..<Self.bitWidth / 8).map { UInt8(truncatingIfNeeded: self >> (8 * $0)) }
  }
}
