import ArgumentParser
import EmbedFuse

/// `embedfuse methods`: what there is to fuse with.
struct MethodsCommand: AsyncParsableCommand {
  static let configuration = CommandConfiguration(
    commandName: "methods", abstract: "List the methods of fusion, or describe one.")

  @Argument(help: "The method to describe; all are listed if none is named.")
  var name: String?

  @Flag(help: "Print them as JSON.")
  var json = false

  func run() async throws {
    let all =
      try name.map { [try MethodSettings(named: $0).description] } ?? FusionMethods.all.map { $0.description }
    if json {
      try Console.print(JSON.array(all.map(\.json)).prettyText)
    } else if name == nil {
      try Console.print(
        Table.text(
          all.map { [$0.name, $0.mergeSpace.rawValue, $0.summary] },
          header: ["method", "combines", "what it does"]))
    } else {
      try describe(all[0])
    }
  }

  private func describe(_ method: MethodDescription) throws(EmbedFuseError) {
    let names = ([method.name] + method.aliases).joined(separator: ", ")
    try Console.print("\(names): \(method.summary)")
    try Console.print("  source: \(method.reference)")
    try Console.print("  combines: \(method.mergeSpace.rawValue)")
    if method.parameters.isEmpty { try Console.print("  no parameters") }
    for parameter in method.parameters {
      let scope =
        switch parameter.scope {
        case .method: "for all tensors"
        case .tensor: "by tensor"
        case .model: "by model and tensor"
        }
      let standard = parameter.standard.map { "default \($0)" } ?? "required"
      try Console.print("  \(parameter.name): \(parameter.summary)")
      try Console.print("    \(parameter.expectation); \(scope); \(standard)")
    }
  }
}

extension MethodDescription {
  /// The method for programs.
  var json: JSON {
    [
      "name": .string(name), "aliases": .array(aliases.map { .string($0) }), "summary": .string(summary),
      "reference": .string(reference), "combines": .string(mergeSpace.rawValue),
      "parameters": .array(
        parameters.map {
          [
            "name": .string($0.name), "summary": .string($0.summary), "values": .string($0.expectation),
            "default": $0.standard.map { .string($0) } ?? .null,
          ]
        }),
    ]
  }
}
