import Checkpoints
import TensorCore

extension ModelSource {
  /// The tensors of one element type, taken together.
  public struct TypeSummary: Sendable {
    /// The element type.
    public let elementType: ElementType
    /// How many tensors are of this type.
    public let tensorCount: Int
    /// Elements of all of them.
    public let elementCount: Int
    /// Bytes of all of them, uncompressed.
    public let byteCount: Int
  }

  /// The element types, those that take most bytes first.
  public var typeSummaries: [TypeSummary] {
    Dictionary(grouping: tensors.map(\.stored.info), by: \.elementType).map { type, infos in
      TypeSummary(
        elementType: type, tensorCount: infos.count,
        elementCount: infos.reduce(0) { $0 + $1.shape.elementCount },
        byteCount: infos.reduce(0) { $0 + $1.byteCount })
    }.sorted {
      $0.byteCount != $1.byteCount
        ? $0.byteCount > $1.byteCount : $0.elementType.rawValue < $1.elementType.rawValue
    }
  }

  /// The model for programs to look at.
  ///
  /// - Throws: `EmbedFuseError` (missing input) if its directory can't be read any more.
  public func json() throws(EmbedFuseError) -> JSON {
    let ignored = try ignoredFiles()
    return [
      "path": .string(path),
      "format": .string(format.rawValue),
      "relative_to": relativeTo.map { .string($0) } ?? .null,
      "metadata": Self.strings(metadata),
      "aliases": Self.strings(aliases),
      "modules": .array(modules.map { ["path": .string($0.path), "type": .string($0.type)] }),
      "types": .array(
        typeSummaries.map {
          [
            "dtype": .string($0.elementType.name), "tensors": .number($0.tensorCount),
            "elements": .number($0.elementCount), "bytes": .number($0.byteCount),
          ]
        }),
      "tensors": .array(
        tensors.map {
          [
            "name": .string($0.name), "dtype": .string($0.stored.info.elementType.name),
            "shape": .array($0.stored.info.shape.dimensions.map { .number(String($0)) }),
            "bytes": .number($0.stored.info.byteCount), "file": .string($0.stored.path),
          ]
        }),
      "weight_files": .array(
        weightFiles.map { ["path": .string($0.path), "bytes": .number($0.byteCount)] }),
      "files": .array((companions + ownFiles).map { .string($0.relativePath) }),
      "ignored": .array(ignored.map { .string($0) }),
      "notes": .array(notes.map { .string($0) }),
    ]
  }

  private static func strings(_ values: [String: String]) -> JSON {
    var strings = JSON.Object()
    for (key, value) in values.sorted(by: { $0.key < $1.key }) { strings[key] = .string(value) }
    return .object(strings)
  }
}
