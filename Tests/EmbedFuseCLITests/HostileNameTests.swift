import EmbedFuse
import Foundation
import TestSupport
import Testing

/// Names from files that would steer a terminal or pass for other lines: every command shows them escaped.
@Suite struct HostileNameTests {
  /// A line break with a false message, clearing the screen, an escape of one character, right-to-left writing,
  /// and the separators of lines and paragraphs.
  static let name = "layers.0.w\nerror: all is well\u{1B}[2J\u{9B}31m\u{202E}\u{7}\u{2028}\u{2029}"
  static let forbidden: [Unicode.Scalar] = [
    "\u{1B}", "\u{9B}", "\u{202E}", "\u{7}", "\r", "\u{2028}", "\u{2029}",
  ]

  /// The bytes of four elements.
  private static func four(_ value: Float) -> [UInt8] {
    (0..<16).map { UInt8(truncatingIfNeeded: value.bitPattern >> (8 * ($0 % 4))) }
  }

  private let folder: TemporaryFolder

  init() throws {
    folder = try TemporaryFolder()
    for (number, model) in ["base", "a", "b"].enumerated() {
      let bytes = Self.four(Float(number))
      try SafetensorsBuilder.write(
        [(Self.name, .f32, [4], bytes), ("layers.1.w", .f32, [4], bytes)],
        to: folder("\(model).safetensors"),
        metadata: ["no\u{1B}[1mte\n\(number)": "\u{1B}]0;title\u{7}\nvalue"])
    }
  }

  private func shows(_ arguments: [String], code: Int32 = 0) throws -> Command.Outcome {
    let outcome = try Command.run(arguments, in: folder.path)
    #expect(outcome.code == code, "\(arguments): \(outcome.error)")
    for text in [outcome.output, outcome.error] {
      #expect(
        !text.unicodeScalars.contains(where: Self.forbidden.contains),
        "\(arguments): \(text.debugDescription)")
      #expect(!text.contains("\nerror: all is well"), "\(arguments): \(text)")
    }
    return outcome
  }

  @Test func inspect() throws {
    #expect(try shows(["inspect", "a.safetensors"]).output.contains("w\\u{a}error: all is well\\u{1b}[2J"))
    let json = try JSON.parse(try shows(["inspect", "--json", "a.safetensors"]).output)
    #expect(json["tensors"]?.arrayValue?.first?["name"]?.stringValue == Self.name)
  }

  @Test func plan() throws {
    let inputs = ["--base", "base.safetensors", "a.safetensors", "b.safetensors"]
    #expect(try shows(["plan"] + inputs).output.contains("w\\u{a}error"))
    _ = try JSON.parse(try shows(["plan", "--json"] + inputs).output)
  }

  @Test(arguments: ["out.safetensors", "out.h5", "out.npz", "out.gguf", "out"]) func merge(output: String)
    throws
  {
    let inputs = ["--base", "base.safetensors", "a.safetensors", "b.safetensors"]
    let report =
      output.hasSuffix("npz") || output.hasSuffix("gguf") ? [] : ["--weights-report", "report.json"]
    let outcome = try Command.run(["merge"] + inputs + ["-o", output] + report, in: folder.path)
    _ = try shows(["merge"] + inputs + ["-o", output, "--force"] + report, code: outcome.code)
    guard outcome.code == 0 else { return }
    for file in ["report.json", "out/README.md", "out/embedfuse.json"] {
      guard let data = FileManager.default.contents(atPath: folder(file)) else { continue }
      let text = String(decoding: data, as: UTF8.self)
      #expect(!text.unicodeScalars.contains(where: Self.forbidden.contains), "\(file)")
    }
    _ = try shows(["inspect", output])
    if !output.hasSuffix("npz") && !output.hasSuffix("gguf") { _ = try shows(["verify", output]) }
  }

  @Test func errors() throws {
    // Missing there, of another shape, not finite, and a name that is refused.
    try SafetensorsBuilder.write([("layers.1.w", .f32, [0], [])], to: folder("missing.safetensors"))
    let nan = Self.four(.nan)
    try SafetensorsBuilder.write(
      // In one tensor alone: of several, the one that a worker meets first is named.
      [(Self.name, .f32, [4], nan), ("layers.1.w", .f32, [4], Self.four(1))], to: folder("nan.safetensors"))
    for other in ["missing", "nan"] {
      let arguments = ["merge", "--base", "base.safetensors", "\(other).safetensors", "-o", "out.h5"]
      #expect(try shows(arguments, code: 65).error.contains("w\\u{a}error: all is well\\u{1b}[2J"))
    }
    _ = try shows(
      ["merge", "--base", "base.safetensors", "missing.safetensors", "-o", "out", "--missing", "base"],
      code: 65)
    let header = "{\"x\\nerror: all is well\\u001b[2J\":{\"dtype\":\"\\u001b[2J\\nerror: all is well\"}}"
    try Data(SafetensorsBuilder.file(header: header)).write(
      to: URL(fileURLWithPath: folder("bad.safetensors")))
    _ = try shows(["inspect", "bad.safetensors"], code: 65)
    _ = try shows(["convert", "bad.safetensors", "-o", "x.h5"], code: 65)
  }

  @Test func pages() throws {
    _ = try shows(["diff", "base.safetensors", "a.safetensors", "--html", "page.html"])
    let page = try String(contentsOfFile: folder("page.html"), encoding: .utf8)
    #expect(page.contains("w\\u{a}error: all is well\\u{1b}[2J"))
    #expect(!page.unicodeScalars.contains(where: Self.forbidden.contains))
  }

  @Test func arguments() throws {
    let value = "f32\nerror: all is well\u{1B}[2J"
    for arguments in [
      ["--dtype", value], ["--dtype=\(value)"], ["--method", value], ["--missing", value],
      ["--memory", value],
      ["--threads", value], ["--no-such\(value)"], ["--granularity", value],
    ] {
      let error = try shows(["merge", "a.safetensors", "-o", "x.h5"] + arguments, code: 64).error
      #expect(error.contains("f32\\u{a}error: all is well\\u{1b}[2J"), "\(error)")
    }
  }

  @Test func recipes() throws {
    for text in [
      "method: soup\nmodels: [a.safetensors]\n\"x\\nerror: all is well\\e[2J\": 1\n",
      "method: \"x\\nerror: all is well\\e[2J\"\nmodels: [a.safetensors]\n",
      "method: soup\nmodels: [\"x\\nerror: all is well\\e[2J\"]\n",
      "name: \"x\\nerror: all is well\\e[2J\"\nmethod: soup\nmodels: [a.safetensors]\n---\nmethod: soup\nmodels: [b.safetensors]\n",
      "method: soup\nmodels: [a.safetensors]\nparameters: {weight: \"\\e[2J\\nerror: all is well\"}\n",
      "method: [\u{1}\n",
    ] {
      try Data(text.utf8).write(to: URL(fileURLWithPath: folder("r.yaml")))
      for lenient in [[], ["--lenient"]] {
        let arguments = ["plan", "r.yaml"] + lenient
        _ = try shows(arguments, code: try Command.run(arguments, in: folder.path).code)
      }
    }
  }
}
