import Foundation
import Glibc
import TestSupport
import Testing

/// What a person at a terminal sees.
@Suite struct TerminalTests {
  /// A run whose messages go to a terminal: how it ends, and what it shows.
  private static func run(
    _ arguments: [String], in folder: String, interrupting mark: String? = nil
  ) throws -> (code: Int32, shown: String) {
    var (terminal, line): (Int32, Int32) = (-1, -1)
    try #require(unsafe openpty(&terminal, &line, nil, nil, nil) == 0)
    let process = Process()
    process.executableURL = URL(fileURLWithPath: Command.path)
    process.arguments = arguments
    process.currentDirectoryURL = URL(fileURLWithPath: folder)
    process.standardError = FileHandle(fileDescriptor: line, closeOnDealloc: false)
    process.standardOutput = FileHandle.nullDevice
    try process.run()
    close(line)
    var shown: [UInt8] = []
    var buffer = [UInt8](repeating: 0, count: 4096)
    // Once nobody has the terminal open any more, reading fails.
    while case let count = unsafe read(terminal, &buffer, buffer.count), count > 0 {
      shown += buffer[..<count]
      if let mark, String(decoding: shown, as: UTF8.self).contains(mark) { process.interrupt() }
    }
    close(terminal)
    process.waitUntilExit()
    return (process.terminationStatus, String(decoding: shown, as: UTF8.self))
  }

  private static let names = ["base.safetensors", "first.safetensors", "second.safetensors"]
  /// The slowest method, which takes a second or so.
  private static let merge =
    ["merge", "--method", "pcb", "--threads", "1", "-o", "fused.safetensors", "--no-sync", "--base"] + names

  private static func models() throws -> TemporaryFolder {
    let folder = try TemporaryFolder()
    for (seed, name) in names.enumerated() {
      var generator = SeededGenerator(seed: UInt64(seed))
      let bytes = (0..<200_000).flatMap { _ in
        let bits = Float(generator.normal()).bitPattern
        return (0..<4).map { UInt8(truncatingIfNeeded: bits >> (8 * $0)) }
      }
      try SafetensorsBuilder.write(
        [("encoder.layer.0.weight", .f32, [500, 400], bytes)], to: folder(name))
    }
    return folder
  }

  private static let erasure = "\r\u{1B}[K"

  @Test func aLineTellsHowFarAFusionHasCome() throws {
    let folder = try Self.models()
    let (code, shown) = try Self.run(Self.merge, in: folder.path)
    #expect(code == 0, "\(shown)")
    let lines = shown.components(separatedBy: Self.erasure)
    let line = try #require(lines.dropLast().last { !$0.isEmpty }, "\(shown)")
    let form = /\[#*\.*\] \d+ %  [\d.]+ [KMi]*B of [\d.]+ [KMi]*B  [\d.]+ [KMi]*B\/s  \d+ s left/
    #expect(line.wholeMatch(of: form) != nil && line.prefix { $0 != "]" }.count == 25, "\(line)")
    // It is gone once the run is through.
    #expect(lines.last?.hasPrefix("fused.safetensors: 1 tensor fused") == true, "\(shown)")
  }

  @Test(arguments: ["--quiet", "--json"]) func noLineIsShownToWhoDoesNotWantIt(option: String) throws {
    let folder = try Self.models()
    let (code, shown) = try Self.run(Self.merge + [option], in: folder.path)
    #expect(folder.names.contains("fused.safetensors"))
    #expect(code == 0 && !shown.contains("\u{1B}"), "\(shown)")
  }

  @Test func anInterruptionClearsTheLine() throws {
    let folder = try Self.models()
    let (code, shown) = try Self.run(Self.merge, in: folder.path, interrupting: " s left")
    #expect(code == 130, "\(shown)")
    let last = shown.components(separatedBy: Self.erasure).last ?? ""
    #expect(last.hasPrefix("embedfuse: interrupted; no output was written"), "\(shown)")
    #expect(folder.names == Self.names)
  }
}
