import ArgumentParser
import EmbedFuse

/// `embedfuse inspect`: what a checkpoint holds.
struct InspectCommand: AsyncParsableCommand {
  static let configuration = CommandConfiguration(
    commandName: "inspect", abstract: "List the tensors, types, shapes and metadata of a checkpoint.")

  @Argument(help: "A model directory or a checkpoint file.")
  var path: String

  @Flag(help: "Print it as JSON.")
  var json = false

  @OptionGroup var opening: OpeningArguments

  func run() async throws {
    var options = opening.options
    options.describing = true
    let source = try ModelSource.open(path, options: options)
    guard !json else {
      try Console.print(source.json().prettyText)
      return
    }
    let elements = source.tensors.reduce(0) { $0 + $1.stored.info.shape.elementCount }
    let bytes = source.tensors.reduce(0) { $0 + $1.stored.info.byteCount }
    try Console.print(
      "\(path.printable): \(source.format.rawValue), \(source.tensors.count.counted("tensor")), \(elements.counted("element")), \(Readable.bytes(bytes))"
    )
    for type in source.typeSummaries {
      try Console.print(
        "type: \(type.elementType), \(type.tensorCount.counted("tensor")), \(type.elementCount.counted("element")), \(Readable.bytes(type.byteCount))"
      )
    }
    for file in source.weightFiles {
      try Console.print("weights: \(file.path.printable), \(Readable.bytes(file.byteCount))")
    }
    for module in source.modules {
      try Console.print(
        "module: \(module.type.printable)\(module.path.isEmpty ? "" : " in \(module.path.printable)")")
    }
    for (key, value) in source.metadata.sorted(by: { $0.key < $1.key }) {
      let text = value.printable
      try Console.print(
        "metadata: \(key.printable) = \(text.count > 100 ? "\(text.prefix(100))… (\(text.count) characters)" : text)"
      )
    }
    for (name, stored) in source.aliases.sorted(by: { $0.key < $1.key }) {
      try Console.print("alias: \(name.printable) stands for \(stored.printable)")
    }
    for note in source.notes { try Console.print("note: \(note)") }
    try Console.print(
      Table.text(
        source.tensors.map {
          [
            $0.name.printable, $0.stored.info.elementType.name, "\($0.stored.info.shape)",
            Readable.bytes($0.stored.info.byteCount),
          ]
        }, header: ["name", "type", "shape", "size"]))
    try list("files", (source.companions + source.ownFiles).map(\.relativePath))
    try list("ignored", source.ignoredFiles())
  }

  private func list(_ title: String, _ names: [String]) throws(EmbedFuseError) {
    if !names.isEmpty { try Console.print("\(title): \(names.map(\.printable).joined(separator: ", "))") }
  }
}
