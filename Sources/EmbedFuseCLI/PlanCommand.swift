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
    let description = try FusionPlan(try recipe.recipe()).description()
    guard !json else {
      Console.print(description.json.prettyText)
      return
    }
    Console.print("method: \(description.method)")
    for (name, value) in description.parameters { Console.print("  \(name): \(value)") }
    Console.print("inputs:")
    for input in description.inputs {
      Console.print(
        "  \(input.path.printable): \(input.role), \(input.tensorCount) tensors, \(Readable.bytes(input.byteCount))"
      )
    }
    for note in description.notes { Console.print("note: \(note)") }
    Console.print(
      "tensors: \(description.tensors.count), \(Readable.bytes(description.byteCount)) to be written")
    Console.print(
      Table.text(
        description.tensors.map { tensor in
          [
            tensor.name.printable, tensor.making, tensor.elementType.name, "\(tensor.shape)",
            tensor.layer.printable,
            tensor.weights.map { String($0) }.joined(separator: ","),
          ]
        }, header: ["name", "making", "type", "shape", "layer", "weights"]))
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
