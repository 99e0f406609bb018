import ArgumentParser
import EmbedFuse

/// What the argument parser takes in silence, or says too little about.
enum ArgumentCheck {
  /// Options that may be given several times.
  private static let lists: Set<String> = ["--set", "--fisher", "--locked"]

  /// Checks that the first argument, if it is no option, is a command.
  ///
  /// - Throws: `EmbedFuseError` (usage) with the command that was probably meant.
  static func checkCommand(_ arguments: [String]) throws(EmbedFuseError) {
    let names =
      EmbedFuseCommand.configuration.subcommands.compactMap { $0.configuration.commandName } + ["help"]
    guard let name = arguments.first, !name.hasPrefix("-"), !names.contains(name) else { return }
    throw EmbedFuseError(
      .usage, "there is no command '\(name.printable)'",
      remedy: Suggestion.nearest(to: name, among: names).map { "did you mean '\($0)'?" }
        ?? "the commands are: \(names.joined(separator: ", "))")
  }

  /// Checks that no option that holds one value is given twice, of which the parser would take the last.
  ///
  /// - Throws: `EmbedFuseError` (usage) with both values.
  static func checkRepetitions(
    _ arguments: [String], of command: any ParsableCommand
  ) throws(EmbedFuseError) {
    var values: [String: String] = [:]
    for (place, argument) in arguments.enumerated() {
      if argument == "--" { return }
      guard argument.hasPrefix("--") || argument == "-o" else { continue }
      let parts = argument.split(separator: "=", maxSplits: 1).map(String.init)
      let name = parts[0] == "-o" ? "--output" : parts[0]
      let next = place + 1 < arguments.count ? arguments[place + 1] : ""
      let value = parts.count > 1 ? parts[1] : next
      guard let first = values.updateValue(value, forKey: name), !lists.contains(name),
        holdsValue(name, of: command)
      else { continue }
      throw EmbedFuseError(
        .usage, "\(name) is given twice: \(first.printable) and \(value.printable)",
        remedy: "give it once")
    }
  }

  /// True if an option has a value, which its help shows; false for a flag.
  private static func holdsValue(_ name: String, of command: any ParsableCommand) -> Bool {
    type(of: command).helpMessage(columns: 1000).split(separator: "\n").contains { line in
      line.contains("\(name) <")
    }
  }
}
