import ArgumentParser
import EmbedFuse

/// `embedfuse merge`: fuses and publishes.
struct MergeCommand: AsyncParsableCommand {
  static let configuration = CommandConfiguration(
    commandName: "merge", abstract: "Fuse checkpoints into one.",
    discussion: """
      The output's ending chooses its kind: .safetensors, .npz or .gguf one file, .h5 a compressed HDF5 checkpoint, \
      anything else a model directory. It appears only when it is whole.
      """)

  @OptionGroup(title: "What to fuse") var recipe: RecipeOptions

  @OptionGroup(title: "What to write") var target: TargetArguments

  @OptionGroup(title: "How it is written") var writing: WritingArguments

  @OptionGroup(title: "What it depends on") var dependencies: DependencyArguments

  func validate() throws {
    try writing.validate(outputs: target.output.map { [$0] } ?? [])
  }

  func run() async throws {
    var options = writing.options(weightsReport: target.weightsReport)
    options.resumes = target.resume
    let part = try target.part.map { text throws(EmbedFuseError) in try OutputPart(text) }
    let clock = ContinuousClock()
    let start = clock.now
    let log = InputLog()
    let pins = try dependencies.manifests()
    let request = writing.limitingCaches(
      of: try log.noting { () throws(EmbedFuseError) in try recipe.request(lockedTo: pins) })
    let paths = try outputPaths(of: request)
    for path in paths { OutputKind(path: path).prepare() }
    if !writing.quiet { for warning in request.warnings { Console.error("warning: \(warning)") } }
    let manifests = dependencies.locked.map(FusionManifest.file(of:))
    if let part {
      return try await make(part, of: request, noting: log, at: paths, lockedTo: pins, options)
    }
    let written = WrittenPaths(
      outputs: paths, weightsReport: target.weightsReport, dependencyFile: dependencies.depfile)
    let results = try await Interruption.cancelling { [options] in
      let results = try await InputLog.$current.withValue(log) {
        try await ProgressLine.showing(writing.showsProgress) { progress in
          var work = Work(
            plans: try FusionPlan.plans(for: request.outputs.map(\.recipe)), paths: paths, pins: pins)
          try written.check(keeping: log, manifests: manifests)
          // An output without it would be up to date for make whatever becomes of its inputs.
          if let path = dependencies.depfile {
            try DependencyFile.check(path, targets: paths, inputs: log.paths + manifests)
          }
          if dependencies.ifChanged {
            work = try await work.changed(options: options) { line in
              if !writing.quiet { Console.error(line) }
            }
          }
          guard !work.plans.isEmpty else { return [FusionResult]() }
          return try await FusionPlan.run(
            work.plans, to: work.paths, lockedTo: work.pins, options: options, progress: progress)
        }
      }
      if let path = dependencies.depfile {
        try DependencyFile.write(
          to: path, targets: paths, inputs: log.paths + manifests, synchronize: options.synchronize)
      }
      return results
    }
    let seconds = (clock.now - start) / .seconds(1)
    if writing.json {
      let values = paths.map { path -> JSON in
        results.first { $0.path == path }?.json(seconds: seconds)
          ?? ["output": .string(path), "unchanged": true]
      }
      try Console.report(
        (values.count == 1 ? values[0] : .array(values)).prettyText, on: paths)
    } else if !writing.quiet {
      for result in results { Summary.print(result, seconds: seconds) }
    }
  }

  /// Makes one part.
  private func make(
    _ part: OutputPart, of request: RecipeFile, noting log: InputLog, at paths: [String],
    lockedTo pins: [FusionManifest], _ options: OutputOptions
  ) async throws {
    guard !dependencies.ifChanged else {
      throw EmbedFuseError(
        .usage, "--if-changed compares whole outputs, but --part is given",
        remedy: "leave it out: a part that is there and intact isn't made again")
    }
    guard dependencies.depfile == nil else {
      throw EmbedFuseError(
        .usage, "--depfile is about whole outputs, but --part is given",
        remedy: "give it to `embedfuse finalize`")
    }
    guard pins.count <= 1 else {
      throw EmbedFuseError(
        .usage, "a part is of one output, but there are \(pins.count) manifests to hold it to",
        remedy: "name one with --locked")
    }
    guard paths.count == 1 else {
      throw EmbedFuseError(
        .usage, "--part is given, but the recipe writes \(paths.count) outputs",
        remedy: "make parts of one output at a time")
    }
    let clock = ContinuousClock()
    let start = clock.now
    let result = try await Interruption.cancelling {
      try await InputLog.$current.withValue(log) {
        try await ProgressLine.showing(writing.showsProgress) { progress in
          let plan = try FusionPlan(request.outputs[0].recipe)
          try WrittenPaths(outputs: paths).check(keeping: log, manifests: dependencies.locked)
          return try await plan.run(
            part: part, of: paths[0], lockedTo: pins.first, options: options, progress: progress)
        }
      }
    }
    if writing.json {
      try Console.report(result.json.prettyText, on: [result.path])
    } else if !writing.quiet {
      for note in result.notes { Console.error("note: \(note)") }
      let seconds = Readable.decimal((clock.now - start) / .seconds(1), places: 2)
      let done =
        result.wasThere
        ? "were there already, intact" : "written, \(Readable.bytes(result.bytesRead)) read in \(seconds) s"
      Console.error(
        "part \(part): \(result.shards.made) of \(result.shards.all) files, "
          + "\(Readable.bytes(result.byteCount)) of tensors, \(done): \(result.path.printable)")
    }
  }

  /// Where the outputs go: as the recipe says, or, for a single one, as the command says.
  private func outputPaths(of request: RecipeFile) throws -> [String] {
    if let output = target.output {
      guard request.outputs.count == 1 else {
        throw EmbedFuseError(
          .usage, "-o is given, but the recipe writes \(request.outputs.count) outputs to paths of its own",
          remedy: "leave -o out")
      }
      return [output]
    }
    return try request.outputs.map { output in
      guard let path = output.path else {
        throw EmbedFuseError(
          .usage, "there is no output", remedy: "name it with -o OUT, or in a recipe with 'output: OUT'")
      }
      return path
    }
  }
}

/// The fusions that a merge has to make.
private struct Work {
  /// The fusions.
  var plans: [FusionPlan]
  /// Where each goes.
  var paths: [String]
  /// The manifest that each is held to; none to hold them to nothing.
  var pins: [FusionManifest]

  /// Those whose output isn't what they would make. A line about each is told.
  func changed(options: OutputOptions, telling tell: (String) -> Void) async throws -> Work {
    // Too few manifests are refused by the run.
    guard pins.isEmpty || pins.count == plans.count else { return self }
    var rest = Work(plans: [], paths: [], pins: [])
    for (index, plan) in plans.enumerated() {
      guard
        let reason = try await plan.reasonToFuse(
          to: paths[index], lockedTo: pins.isEmpty ? nil : pins[index], options: options)
      else {
        tell("\(paths[index].printable): nothing changed since it was made")
        continue
      }
      tell("\(paths[index].printable): is made, since \(reason)")
      rest.plans.append(plan)
      rest.paths.append(paths[index])
      if !pins.isEmpty { rest.pins.append(pins[index]) }
    }
    return rest
  }
}

/// The arguments of `merge` about what is written.
struct TargetArguments: ParsableArguments {
  @Option(
    name: [.short, .customLong("output")],
    help: "Where the fused checkpoint goes, unless the recipe says so.")
  var output: String?

  @Option(
    name: .customLong("weights-report"), help: "Write the magnitudes and weights of every group as JSON.")
  var weightsReport: String?

  @Option(
    help: ArgumentHelp(
      "Make one part of a model directory's files, by bytes: 2/5, or SLURM_ARRAY_TASK_ID/5, JOB_COMPLETION_INDEX/5.",
      discussion:
        "Parts may be made at the same time on several machines; `embedfuse finalize OUT` joins them.",
      valueName: "i/n"))
  var part: String?

  @Flag(
    help:
      "Continue an interrupted merge into a model directory at its finished files; if interrupted, leave them."
  )
  var resume = false
}

/// The arguments of `merge` about what an output depends on.
struct DependencyArguments: ParsableArguments {
  @Option(
    help: ArgumentHelp(
      "Publish only what this manifest (or the one in this output) describes, from the same inputs.",
      discussion:
        "Without other settings its recipe is taken. For several outputs, one for each in the recipe's order.",
      valueName: "manifest"))
  var locked: [String] = []

  @Flag(
    name: .customLong("if-changed"),
    help: "Do nothing if the output is intact and recipe, inputs and version are those that it was made from."
  )
  var ifChanged = false

  @Option(help: "Write what the output was made from as a rule for make.")
  var depfile: String?

  /// The manifests named by `--locked`.
  func manifests() throws -> [FusionManifest] {
    try locked.map { path throws(EmbedFuseError) in try FusionManifest(of: path) }
  }
}

/// What a merge prints when it is done.
enum Summary {
  static func print(_ result: FusionResult, seconds: Double) {
    for note in result.notes { Console.error("note: \(note)") }
    for warning in result.rounding.warnings { Console.error("warning: \(warning)") }
    Console.error(
      "\(result.path.printable): \(result.fusedTensors.counted("tensor")) fused, \(result.copiedTensors) carried over, "
        + "\(Readable.bytes(result.bytesRead)) read, \(Readable.bytes(result.bytesWritten)) of tensors written "
        + "in \(Readable.decimal(seconds, places: 2)) s")
    if let rounding = result.rounding.summary { Console.error("  \(rounding)") }
    let models = result.models
    guard result.weightShares.count == models.count else { return }
    let width = models.map(\.count).max() ?? 0
    // Where a method sums without dividing, weights are no shares of anything.
    let areShares = abs(result.weightShares.reduce(0, +) - 1) < 1e-9
    for (model, share) in zip(models, result.weightShares) {
      let name = model.printable + String(repeating: " ", count: max(0, width - model.count))
      let text =
        areShares
        ? "\(Readable.decimal(share * 100, places: 1)) % of the weight"
        : "weight \(Readable.decimal(share, places: 3))"
      Console.error("  \(name)  \(text)")
    }
  }
}

extension FusionResult {
  /// The result for programs.
  func json(seconds: Double) -> JSON {
    [
      "output": .string(path),
      "fused_tensors": .number(fusedTensors),
      "copied_tensors": .number(copiedTensors),
      "bytes_read": .number(bytesRead),
      "bytes_written": .number(bytesWritten),
      "seconds": .number(seconds),
      "weight_shares": .array(weightShares.map { .number($0) }),
      "notes": .array(notes.map { .string($0) }),
      "warnings": .array(rounding.warnings.map { .string($0) }),
      "rounding": rounding.total.json,
      "manifest": manifest.json,
    ]
  }
}

/// A number of bytes as people write it: 64M, 1.5G and 512KiB count in powers of 1024, 5GB in powers of 1000.
struct ByteSize: ExpressibleByArgument, CustomStringConvertible {
  let bytes: Int
  let description: String

  init(bytes: Int, text: String) {
    self.bytes = bytes
    description = text
  }

  init?(argument: String) {
    let digits = argument.prefix { $0.isNumber || $0 == "." }
    let unit = argument.dropFirst(digits.count).trimmingPrefix(while: \.isWhitespace).uppercased()
    let factors: [String: Double] = [
      "": 1, "B": 1, "K": 1024, "KIB": 1024, "KB": 1000, "M": 1_048_576, "MIB": 1_048_576, "MB": 1_000_000,
      "G": 1_073_741_824, "GIB": 1_073_741_824, "GB": 1e9, "T": 1_099_511_627_776, "TIB": 1_099_511_627_776,
      "TB": 1e12,
    ]
    guard let number = Double(digits), let factor = factors[unit], number * factor >= 1,
      number * factor < 9e18
    else { return nil }
    self.init(bytes: Int(number * factor), text: argument)
  }
}
