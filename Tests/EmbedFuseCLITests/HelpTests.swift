import EmbedFuse
import Testing

/// What the command says of itself: help, and the scripts and pages that are made of it.
@Suite struct HelpTests {
  @Test func everyElementTypeThatHelpOffersIsTaken() throws {
    let help = try Command.run("merge", "--help").output
    let start = try #require(help.range(of: "--dtype <dtype>"))
    let entry = help[start.upperBound...].prefix { $0 != ")" }
    let values = entry.split(separator: "(values: ").last.map {
      $0.split { $0 == "," || $0.isWhitespace }.map(String.init)
    }
    let expected = ElementType.allCases.filter(\.isFusable).map { $0.name.lowercased() }
    #expect(values == expected)
    for type in expected {
      let outcome = try Command.run(
        "merge", "--method", "soup", "--dtype", type, "missing-input", "-o", "unwritten")
      #expect(outcome.code == 66, "\(type): \(outcome.error)")
    }
  }

  @Test func completionOffersElementTypesByName() throws {
    for shell in ["bash", "zsh", "fish"] {
      let script = try Command.run("--generate-completion-script", shell).output
      #expect(script.contains("f32") && script.contains("bf16"), "\(shell)")
    }
  }
}
