import TensorCore

/// How names become paths inside an HDF5 file, and back.
///
/// A `/` separates groups, as in `2_Dense/linear.weight`. What HDF5 would collapse or cut (an empty component,
/// `.`, a NUL) is percent-encoded component by component, and `%` with it, so that different names never meet.
enum HDF5Name {
  /// The group that holds the model's other files.
  static let files = "__files__"
  /// The group whose attributes are the checkpoint's metadata.
  static let metadata = "__metadata__"

  /// The group whose attributes tell about the base of tensors that are stored as differences.
  static let delta = "__delta__"

  /// The path components of a tensor's dataset. With `flat` the name stays one component, its `/` encoded: for
  /// names that go on where another tensor's name ends.
  static func components(of name: String, flat: Bool = false) -> [String] {
    var result =
      flat
      ? [component(name)]
      : name.utf8.split(separator: 47, omittingEmptySubsequences: false)
        .map { component(String(decoding: $0, as: UTF8.self)) }
    if [files, metadata, delta].contains(result[0]) { result[0] = "%5F" + result[0].dropFirst() }
    return result
  }

  /// One path component or attribute name for `text`; never empty.
  static func component(_ text: String) -> String {
    switch text {
    case "": "%"
    case ".": "%2E"
    default:
      String(
        decoding: text.utf8.flatMap { byte -> [UInt8] in
          switch byte {
          case 0: Array("%00".utf8)
          case 37: Array("%25".utf8)
          case 47: Array("%2F".utf8)
          default: [byte]
          }
        }, as: UTF8.self)
    }
  }

  /// The text that `component` encoded; a `%` that starts no escape stands for itself.
  static func decoded(_ component: String) -> String {
    if component == "%" { return "" }
    let bytes = Array(component.utf8)
    var result: [UInt8] = []
    var index = 0
    while index < bytes.count {
      if bytes[index] == 37, index + 2 < bytes.count,
        let value = UInt8(String(decoding: bytes[(index + 1)...(index + 2)], as: UTF8.self), radix: 16)
      {
        result.append(value)
        index += 3
      } else {
        result.append(bytes[index])
        index += 1
      }
    }
    return String(decoding: result, as: UTF8.self)
  }
}

extension HDF5Name {
  /// The path components of each tensor's dataset, all different, none on the way to another.
  static func distinctPaths(of names: [String], in path: String) throws(EmbedFuseError) -> [[String]] {
    var all: Set<[String]> = []
    let paths = names.map { components(of: $0) }
    for (name, components) in zip(names, paths) {
      guard all.insert(components).inserted else {
        throw EmbedFuseError(.badData, "two tensors have this name", path: path, tensor: name)
      }
    }
    return zip(names, paths).map { name, components in
      let runsThroughTensor = (1..<components.count).contains { all.contains(Array(components[..<$0])) }
      return runsThroughTensor ? self.components(of: name, flat: true) : components
    }
  }
}
