import ArgumentParser
import EmbedFuse

/// `embedfuse plan`: what a merge would do, from headers and configuration alone.
struct PlanCommand: AsyncParsableCommand {
  static let configuration = CommandConfiguration(
    commandName: "plan", abstract: "Show what merge would do; reads no tensor.")

  @OptionGroup(title: "What to fuse") var recipe: RecipeOptions

  @Flag(help: "Print the plan as JSON.")
  var json = false

  func run() async throws {
    let request = try recipe.request()
    for warning in request.warnings { Console.error("warning: \(warning)") }
    let plans = try FusionPlan.plans(for: request.outputs.map(\.recipe))
    let descriptions = plans.map { $0.description() }
    guard !json else {
      let values = descriptions.map(\.json)
      try Console.print((values.count == 1 ? values[0] : .array(values)).prettyText)
      return
    }
    for (output, description) in zip(request.outputs, descriptions) {
      if let path = output.path { try Console.print("output: \(path.printable)") }
      try show(description)
    }
  }

  private func show(_ description: PlanDescription) throws(EmbedFuseError) {
    try Console.print("method: \(description.method)")
    for (name, value) in description.parameters { try Console.print("  \(name): \(value)") }
    try Console.print("inputs:")
    for input in description.inputs {
      try Console.print(
        "  \(input.path.printable): \(input.role), \(input.tensorCount.counted("tensor")), \(Readable.bytes(input.byteCount))"
      )
    }
    for note in description.notes { try Console.print("note: \(note)") }
    try Console.print(
      "tensors: \(description.tensors.count), \(Readable.bytes(description.byteCount)) to be written")
    let names = description.tensors.first { !$0.parameters.isEmpty }?.parameters.map(\.name) ?? []
    try Console.print(
      Table.text(
        description.tensors.map { tensor in
          let values = names.map { name in
            tensor.parameters.first { $0.name == name }?.summary ?? ""
          }
          return [
            tensor.name.printable, tensor.making, tensor.elementType.name, "\(tensor.shape)",
            tensor.layer.printable,
          ] + values
        }, header: ["name", "making", "type", "shape", "layer"] + names))
    let origins = Set(
      description.tensors.flatMap { tensor in
        tensor.parameters.flatMap { parameter in
          zip(parameter.texts, parameter.origins).filter { $0.1 != "default" }.map {
            "\(parameter.name) = \($0.0) from \($0.1)"
          }
        }
      }
    ).sorted()
    guard !origins.isEmpty else { return }
    try Console.print("where values come from (all others are defaults; --json says so for every tensor):")
    for origin in origins.prefix(100) { try Console.print("  \(origin.printable)") }
    if origins.count > 100 { try Console.print("  and \(origins.count - 100) more") }
  }
}

/// Rows of text in columns.
enum Table {
  static func text(_ rows: [[String]], header: [String]) -> String {
    let widths = header.indices.map { column in
      ([header] + rows).map { $0[column].count }.max() ?? 0
    }
    return ([header] + rows).map { row in
      var line = "  "
      for (cell, width) in zip(row, widths) {
        line += cell + String(repeating: " ", count: width - cell.count + 2)
      }
      while line.hasSuffix(" ") { line.removeLast() }
      return line
    }.joined(separator: "\n")
  }
}
