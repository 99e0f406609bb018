import ArgumentParser
import EmbedFuse

/// `embedfuse convert`: another format, or another element type.
struct ConvertCommand: AsyncParsableCommand {
  static let configuration = CommandConfiguration(
    commandName: "convert", abstract: "Write a checkpoint in another format or element type.",
    discussion: """
      The output's ending chooses its kind: .safetensors, .h5, .npz or .gguf one file, anything else a model \
      directory. Values stay bit for bit what they are unless --dtype asks for another type. A model that was \
      packed into one .h5 comes back as the directory it was.

        embedfuse convert model/ -o model.h5
        embedfuse convert model.h5 -o model/
        embedfuse convert pytorch_model.bin -o model.safetensors --dtype bf16
      """)

  @Argument(help: "A model directory or a checkpoint file.")
  var path: String

  @Option(name: [.short, .customLong("output")], help: "Where the converted checkpoint goes.")
  var output: String

  @Option(help: "Element type of the learned tensors; their own if not given.")
  var dtype: ElementType?

  @Option(help: "For .gguf: store matrices as q8_0.")
  var quantize: Quantization?

  @OptionGroup(title: "How it is read") var opening: OpeningArguments

  @OptionGroup(title: "How it is written") var writing: WritingArguments

  /// The quantised types that can be written.
  enum Quantization: String, ExpressibleByArgument, CaseIterable {
    /// Blocks of 32 elements with a scale.
    case q8Zero = "q8_0"
  }

  func validate() throws {
    try writing.validate(outputs: [output])
    if quantize != nil, OutputKind(path: output) != .gguf {
      throw ValidationError("--quantize is for .gguf outputs only")
    }
  }

  func run() async throws {
    let (path, output, dtype, quantizes) = (path, output, dtype, quantize != nil)
    let options = writing.options()
    let opening = opening.options(cacheBytes: writing.memory.cacheBytes(inputs: 1))
    let clock = ContinuousClock()
    let start = clock.now
    let result = try await Interruption.cancelling {
      try await ProgressLine.showing(writing.showsProgress) { progress in
        let conversion = try Conversion(of: path, options: opening, elementType: dtype, quantizes: quantizes)
        return try await conversion.run(to: output, options: options, progress: progress)
      }
    }
    let seconds = (clock.now - start) / .seconds(1)
    if writing.json {
      try Console.report(result.json.prettyText, on: [output])
    } else if !writing.quiet {
      for note in result.notes { Console.error("note: \(note)") }
      for warning in result.rounding.warnings { Console.error("warning: \(warning)") }
      Console.error(
        "\(output.printable): \(result.tensorCount.counted("tensor")), \(result.castTensors) of them cast, "
          + "\(result.fileCount.counted("file")), \(Readable.bytes(result.bytesRead)) read, "
          + "\(Readable.bytes(result.bytesWritten)) of tensors written in \(Readable.decimal(seconds, places: 2)) s"
      )
      if let rounding = result.rounding.summary { Console.error("  \(rounding)") }
    }
  }
}
