import EmbedFuse
import Foundation
import TestSupport
import Testing

/// Files of dependencies, as make itself reads them.
@Suite struct DependencyFileTests {
  /// Names that mean something else to make than to a file system, unless they are spelled its way.
  private static let names = [
    "lr=1e-5/model", "=", "a=", "=a", "a:=b", "a+=b", "a?=b", "a!=b", "a::=b", "x = y", "export=b", "c;d",
    ";", "a;",
    ";a", "a;b;c", "a\\;b", "a\\=b", "a\\\\;b", "a =;b", "a|b", "|", "a\\|b", "a |b", "$a", "a$", "a b",
    "a\\ b", "a\tb",
    "a#b", "#", "a:b", "a%b", "%", "a%=;|%", "a*b", "a?", "a[b]", "~a", "~;=", "a~", "a&b", "(a)", "a(b)c",
    "x (1).h5",
    "a,b", "'a'", "\"a\"", "`a`", "{a}", "-a", "@a", "+a", "!a", "<a>", "é", "θ=1",
  ]

  /// A folder in which a Makefile holds an output up to date with its file of dependencies.
  private struct Project {
    let folder: TemporaryFolder

    init(target: String, inputs: [String]) throws {
      folder = try TemporaryFolder()
      for (name, age) in inputs.map({ ($0, 2.0) }) + [(target, 1)] {
        try FileManager.default.createDirectory(
          atPath: (folder(name) as NSString).deletingLastPathComponent, withIntermediateDirectories: true)
        try put(name, age: age)
      }
      let file = try DependencyFile(targets: [target], inputs: inputs)
      try file.write(to: folder("made.d"), synchronize: false)
      // The rules spell the output as the file does.
      let goal = try DependencyFile(targets: ["all.h5"], inputs: [target]).text
      let rule = try DependencyFile(targets: [target], inputs: []).text
      try "\(goal)include made.d\n\(rule)\t@echo remade\n"
        .write(toFile: folder("Makefile"), atomically: true, encoding: .utf8)
    }

    /// Makes a file that was last changed some minutes ago.
    func put(_ name: String, age: Double) throws {
      try #require(
        FileManager.default.createFile(
          atPath: folder(name), contents: nil,
          attributes: [.modificationDate: Date(timeIntervalSinceNow: -60 * age)]))
      try FileManager.default.setAttributes(
        [.modificationDate: Date(timeIntervalSinceNow: -60 * age)], ofItemAtPath: folder(name))
    }

    func make() throws -> String {
      let (process, output) = (Process(), Pipe())
      process.executableURL = URL(fileURLWithPath: "/usr/bin/env")
      process.arguments = ["make", "-s"]
      process.currentDirectoryURL = URL(fileURLWithPath: folder.path)
      (process.standardOutput, process.standardError) = (output, output)
      try process.run()
      let text = output.fileHandleForReading.readDataToEndOfFile()
      process.waitUntilExit()
      return String(decoding: text, as: UTF8.self)
    }
  }

  @Test(arguments: names) func anInputOfThisName(name: String) throws {
    let project = try Project(target: "l=2.h5", inputs: ["first", name, "last"])
    #expect(try project.make() == "")
    for input in ["first", name, "last"] {
      try project.put(input, age: 0)
      #expect(try project.make() == "remade\n", "newer: \(input)")
      try FileManager.default.removeItem(atPath: project.folder(input))
      #expect(try project.make() == "remade\n", "removed: \(input)")
      try project.put(input, age: 2)
    }
  }

  @Test(arguments: names) func anOutputOfThisName(name: String) throws {
    let target = name + ".h5"
    let project = try Project(target: target, inputs: ["lr=1;2"])
    #expect(try project.make() == "")
    try project.put("lr=1;2", age: 0)
    #expect(try project.make() == "remade\n")
    try project.put(target, age: 0)
    try project.put("lr=1;2", age: 2)
    #expect(try project.make() == "")
  }

  @Test func variablesAreSetOnlyWhereNamesNeedThem() throws {
    #expect(try DependencyFile(targets: ["a.h5"], inputs: ["b"]).text == "a.h5: \\\n  b\n\nb:\n")
    #expect(
      try DependencyFile(targets: ["a=1.h5"], inputs: ["b"]).text
        == "embedfuse_equals := =\na$(embedfuse_equals)1.h5: \\\n  b\n\nb:\n")
  }

  @Test(arguments: ["a\nb", "a\rb", "$(a)", "x/(a)", "a\\", "a&", "a&&", "a(b)", "notes (1)"])
  func aNameThatMakeHasNoSpellingFor(name: String) throws {
    #expect { try DependencyFile(targets: ["out.h5"], inputs: ["base", name]) } throws: { error in
      let error = error as? EmbedFuseError
      return error?.code == .cannotCreate && error?.path == name
        && error?.problem.contains("which a file of dependencies can't hold") == true
    }
  }
}
