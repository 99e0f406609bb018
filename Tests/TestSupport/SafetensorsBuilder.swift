import Foundation
import TensorCore

/// Writes safetensors files for tests, without the writer that they test.
public enum SafetensorsBuilder {
  /// A tensor with its values: little-endian, row-major.
  public typealias Tensor = (name: String, type: ElementType, shape: [UInt], bytes: [UInt8])

  /// The file's bytes: the tensors one after the other in the order given, whatever their alignment.
  public static func file(_ tensors: [Tensor], metadata: [String: String]? = nil) -> [UInt8] {
    var members: [String] = []
    if let metadata {
      let strings = metadata.sorted { $0.key < $1.key }.map { "\(quoted($0.key)):\(quoted($0.value))" }
      members.append("\"__metadata__\":{\(strings.joined(separator: ","))}")
    }
    var data: [UInt8] = []
    for tensor in tensors {
      let shape = tensor.shape.map(String.init).joined(separator: ",")
      let offsets = "[\(data.count),\(data.count + tensor.bytes.count)]"
      members.append(
        "\(quoted(tensor.name)):{\"dtype\":\"\(tensor.type.name)\",\"shape\":[\(shape)],\"data_offsets\":\(offsets)}"
      )
      data += tensor.bytes
    }
    return file(header: "{\(members.joined(separator: ","))}", data: data)
  }

  /// The bytes of a file with any text for a header.
  public static func file(header: String, data: [UInt8] = []) -> [UInt8] {
    let text = Array(header.utf8)
    return (0..<8).map { UInt8(truncatingIfNeeded: text.count >> (8 * $0)) } + text + data
  }

  /// Writes a file of these tensors to `path`.
  public static func write(
    _ tensors: [Tensor], to path: String, metadata: [String: String]? = nil
  ) throws {
    try Data(file(tensors, metadata: metadata)).write(to: URL(fileURLWithPath: path))
  }

  /// Writes the index of a checkpoint in shards to `path`.
  public static func writeIndex(
    _ weightMap: [String: String], to path: String, metadata: String = "{\"total_size\":0}"
  ) throws {
    let map = weightMap.sorted { $0.key < $1.key }.map { "\(quoted($0.key)):\(quoted($0.value))" }
    let text = "{\"metadata\":\(metadata),\"weight_map\":{\(map.joined(separator: ","))}}"
    try Data(text.utf8).write(to: URL(fileURLWithPath: path))
  }

  /// The text as a JSON string; control characters, quotes and backslashes escaped.
  private static func quoted(_ text: String) -> String {
    let escaped = text.unicodeScalars.map { scalar in
      scalar.value < 0x20 || scalar == "\"" || scalar == "\\"
        ? String(format: "\\u%04x", scalar.value) : String(scalar)
    }
    return "\"\(escaped.joined())\""
  }
}
