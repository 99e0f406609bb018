import ArgumentParser
import EmbedFuse

@main
struct EmbedFuseCommand: AsyncParsableCommand {
  static let configuration = CommandConfiguration(
    commandName: "embedfuse",
    abstract: "Fuses checkpoints of text-embedding models.",
    version: embedFuseVersion)
}
