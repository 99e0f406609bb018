import ArgumentParser
import EmbedFuse
import Glibc

/// The `embedfuse` command: argument parsing and printing only.
@main
struct EmbedFuseCommand: AsyncParsableCommand {
  static let configuration = CommandConfiguration(
    commandName: "embedfuse",
    abstract: "Fuses checkpoints of text-embedding models.",
    discussion: """
      Takes a pretrained checkpoint and models fine-tuned from it, derives from how far every parameter moved how \
      much each fine-tune contributes, and writes one fused checkpoint.

        embedfuse merge --base minilm retrieval/ similarity/ -o fused/
        embedfuse merge --base minilm retrieval/ similarity/ -o fused.h5
      """,
    version: embedFuseVersion,
    subcommands: [
      MergeCommand.self, FinalizeCommand.self, PlanCommand.self, InspectCommand.self, ConvertCommand.self,
      DiffCommand.self, VerifyCommand.self,
      MethodsCommand.self,
    ])

  /// The command that the arguments name.
  ///
  /// The parser takes less time for one subcommand than for the tree of them. What asks for help, or fails, goes through
  /// the tree, whose messages know the whole command.
  private static func command(_ arguments: [String]) throws -> sending any ParsableCommand {
    guard let name = arguments.first,
      let type = configuration.subcommands.first(where: { $0.configuration.commandName == name }),
      let command = try? type.parseAsRoot(Array(arguments.dropFirst())), Swift.type(of: command) == type
    else { return try parseAsRoot(arguments) }
    return command
  }

  /// What the parser says of arguments that it refuses. It quotes them as they are, so they are parsed once more with
  /// their line breaks escaped, which would pass for lines of the message.
  private static func message(for error: any Error) -> String {
    do {
      _ = try command(CommandLine.arguments.dropFirst().map(\.printable))
    } catch let escaped {
      return fullMessage(for: escaped)
    }
    return fullMessage(for: error)
  }

  /// Runs the command that the arguments name and ends with the exit code of what went wrong.
  static func main() async {
    ProcessMemory.returnLargeBuffers()
    Console.openStandardStreams()
    // Beyond `ulimit -f` a write is to fail with its message, not the process to die.
    signal(SIGXFSZ, SIG_IGN)
    // In this order, so that the memory that is left doesn't depend on how far loading a library has come.
    _ = ProcessMemory.reservedBytes
    for argument in CommandLine.arguments { OutputKind(path: argument).prepare() }
    var resumes = false
    do {
      try InstructionSet.useThatOfEnvironment()
      let arguments = Array(CommandLine.arguments.dropFirst())
      try ArgumentCheck.checkCommand(arguments)
      var command = try command(arguments)
      try ArgumentCheck.checkRepetitions(arguments, of: command)
      resumes = (command as? MergeCommand)?.target.resume == true
      if var command = command as? any AsyncParsableCommand {
        try await command.run()
      } else {
        try command.run()
      }
      try Console.flush()
    } catch  where Self.exitCode(for: error).isSuccess {
      showHelp(error)
    } catch {
      fail(error, resumes: resumes)
    }
  }

  /// Prints what was asked for instead of a command: help, the version, a script for completion.
  private static func showHelp(_ request: any Error) {
    do throws(EmbedFuseError) {
      try Console.text(Self.fullMessage(for: request) + "\n")
      try Console.flush()
    } catch {
      fail(error, resumes: false)
    }
  }

  /// Says what went wrong and ends with its exit code.
  private static func fail(_ error: any Error, resumes: Bool) -> Never {
    switch error {
    case let error as EmbedFuseError:
      Console.error("embedfuse: error: \(error)")
      Self.exit(withError: ExitCode(error.code.rawValue))
    case is CancellationError:
      Console.error(
        "embedfuse: interrupted; no output was written\(resumes ? ", finished files stay for --resume" : "")")
      Self.exit(withError: ExitCode(Interruption.exitCode))
    default:
      let message = message(for: error)
      Console.error("embedfuse: error: \(message.trimmingPrefix("Error: "))")
      Self.exit(withError: Self.exitCode(for: error))
    }
  }
}
