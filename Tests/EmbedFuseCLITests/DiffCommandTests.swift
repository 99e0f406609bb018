import EmbedFuse
import Foundation
import TestSupport
import Testing

@Suite struct DiffCommandTests {
  @Test func tellsLayersByModelsInEightyColumns() throws {
    let work = try Workspace()
    let diff = try work.run("diff", "base", "retrieval", "similarity")
    #expect(diff.code == 0, "\(diff.error)")
    for text in ["encoder.layer.1", "A  retrieval", "cos AB", "conflicts", "[CLS]", "rows that moved most"] {
      #expect(diff.output.contains(text), "\(text)")
    }
    #expect(diff.output.split(separator: "\n").allSatisfy { $0.count <= 100 })
    #expect(work.added.isEmpty && work.inputsAreUntouched)
  }

  @Test func listsTensorsWhenAsked() throws {
    let work = try Workspace()
    #expect(!(try work.run("diff", "base", "retrieval").output.contains("encoder.layer.0.output.dense.bias")))
    let diff = try work.run("diff", "base", "retrieval", "--tensors", "--rows", "0")
    #expect(diff.output.contains("encoder.layer.0.output.dense.bias"))
    #expect(!diff.output.contains("rows that moved most"))
  }

  @Test func rowsThatDidNotMoveAreNotListed() throws {
    let work = try Workspace()
    try FileManager.default.copyItem(atPath: work.folder("base"), toPath: work.folder("same"))
    let diff = try work.run("diff", "base", "same")
    #expect(diff.code == 0 && !diff.output.contains("rows that moved most"), "\(diff.output)")
  }

  @Test func printsJSONAlone() throws {
    let work = try Workspace()
    let diff = try work.run("diff", "base", "retrieval", "similarity", "--json")
    let json = try JSON.parse(Array(diff.output.utf8).span, path: "-")
    #expect(json["models"] == ["retrieval", "similarity"])
    #expect(json["tensors"]?.arrayValue?.count == 39)
  }

  @Test func writesAPageOnceUnlessForced() throws {
    let work = try Workspace()
    #expect(try work.run("diff", "base", "retrieval", "--html", "page.html", "--quiet").output.isEmpty)
    #expect(work.added == ["page.html"])
    let again = try work.run("diff", "base", "retrieval", "--html", "page.html")
    #expect(again.code == 73 && again.error.contains("page.html"))
    #expect(try work.run("diff", "base", "retrieval", "--html", "page.html", "--force").code == 0)
    let inside = try work.run("diff", "base", "retrieval", "--html", "base/config.json", "--force")
    #expect(inside.code == 73 && work.inputsAreUntouched)
  }

  @Test func namesCantSteerTheTerminal() throws {
    let work = try Workspace()
    for (file, value) in [("a", UInt8(0)), ("b", 1)] {
      try SafetensorsBuilder.write(
        [("x\u{1B}[2J.word_embeddings\n.weight", .f8E4M3, [1, 1], [value])],
        to: work.folder("\(file).safetensors"))
    }
    let diff = try work.run("diff", "a.safetensors", "b.safetensors", "--tensors")
    #expect(diff.code == 0, "\(diff.error)")
    #expect(diff.output.contains("x\\u{1b}[2J.word_embeddings\\u{a}.weight"))
    #expect(!diff.output.contains("\u{1B}"))
  }

  @Test(arguments: [["--tensors"], ["--html", "page.html"], ["--json"]])
  func numbersWhoseSquaresLeaveBinary64AreTold(options: [String]) throws {
    let work = try Workspace()
    for (file, value) in [("a", 1e200), ("b", -1e300), ("c", 1.7e308)] {
      let bytes = [value, 1, 0, 2].flatMap { value in
        (0..<8).map { UInt8(truncatingIfNeeded: value.bitPattern >> (8 * $0)) }
      }
      try SafetensorsBuilder.write([("w", .f64, [2, 2], bytes)], to: work.folder("\(file).safetensors"))
    }
    let arguments = ["diff", "a.safetensors", "b.safetensors", "c.safetensors"] + options
    let diff = try Command.run(arguments, in: work.folder.path)
    #expect(diff.code == 0 && diff.output.contains("inf"), "\(diff.code) \(diff.error)")
  }

  @Test func moreRowsThanThereAreAreAllRows() throws {
    let work = try Workspace()
    let all = try work.run("diff", "base", "retrieval", "--rows", "40")
    let more = try work.run("diff", "base", "retrieval", "--rows", "\(Int.max)")
    #expect(more.code == 0 && more.output == all.output, "\(more.error)")
  }

  static let wrong: [[String]] = [
    ["diff", "base"], ["diff", "base", "nowhere"], ["diff", "base", "retrieval", "--nonfinite", "allow"],
    ["diff", "base", "retrieval", "--rows", "-1"],
  ]

  @Test(arguments: zip(wrong, [Int32(64), 66, 64, 64]))
  func wrongRequestsAreRefused(arguments: [String], code: Int32) throws {
    let work = try Workspace()
    let diff = try Command.run(arguments, in: work.folder.path)
    #expect(diff.code == code && !diff.error.isEmpty)
  }
}
