import EmbedFuse
import Foundation
import TestSupport
import Testing

@Suite struct ConvertCommandTests {
  @Test func convertsThereAndBack() throws {
    let work = try Workspace()
    let outcome = try work.run("convert", "base", "-o", "base.h5", "--no-sync")
    #expect(outcome.code == 0, "\(outcome.error)")
    #expect(outcome.output == "")
    #expect(outcome.error.contains("base.h5: 40 tensors, 0 of them cast, 8 files"))
    let json = try work.run(
      "convert", "base.h5", "-o", "again", "--json", "--memory", "256M", "--threads", "1")
    #expect(try JSON.parse(json.output)["tensors"] == 40)
    #expect(json.error == "")
    let difference = try Difference.of(work.folder("base"), work.folder("again"))
    #expect(difference == "")
    #expect(work.inputsAreUntouched)
  }

  @Test func quietIsQuiet() throws {
    let work = try Workspace()
    let outcome = try work.run("convert", "base", "-o", "base.npz", "-q", "--dtype", "bf16")
    #expect(outcome.code == 0 && outcome.output.isEmpty && outcome.error.isEmpty)
    let text = try work.run("inspect", "base.npz").output
    #expect(text.contains("type: BF16, 39 tensors, 5680 elements, 11.1 KiB"))
    #expect(text.contains("type: I64, 1 tensor, 16 elements, 128 B"))
    #expect(text.contains("weights: base.npz, "))
  }

  @Test func valuesTooLargeForTheTypeAreTold() throws {
    let work = try Workspace()
    let values: [Float] = [70_000, -1e30, 1e-9, 2]
    let bytes = values.flatMap { value in
      (0..<4).map { UInt8(truncatingIfNeeded: value.bitPattern >> (8 * $0)) }
    }
    try SafetensorsBuilder.write(
      [("w", .f32, [4], bytes), ("v", .f32, [1], [0, 0, 0x80, 0x3F])], to: work.folder("a.safetensors"))
    let outcome = try work.run("convert", "a.safetensors", "-o", "half.safetensors", "--dtype", "f16")
    #expect(outcome.code == 0)
    #expect(
      outcome.error.contains(
        "warning: values too large for F16 became infinite or NaN in 1 of 2 tensors (w 2); --dtype f32 holds")
    )
    #expect(outcome.error.contains("rounding to F16: 2 overflowed, 1 became 0"), "\(outcome.error)")
    let json = try JSON.parse(
      try work.run("convert", "a.safetensors", "-o", "again.h5", "--dtype", "f16", "--json").output)
    #expect(json["rounding"] == ["overflowed": 2, "underflowed": 1])
    #expect(json["warnings"]?.arrayValue?.count == 1)
    // In a type that holds them all there is nothing to tell.
    let wide = try work.run("convert", "a.safetensors", "-o", "wide.safetensors", "--dtype", "f64")
    #expect(wide.code == 0 && !wide.error.contains("warning") && !wide.error.contains("rounding"))
    let same = try work.run("convert", "a.safetensors", "-o", "same.safetensors", "--dtype", "f32")
    #expect(same.code == 0 && !same.error.contains("rounding"))
  }

  @Test func anExistingOutputNeedsForce() throws {
    let work = try Workspace()
    #expect(try work.run("convert", "base", "-o", "base.gguf", "-q").code == 0)
    let again = try work.run("convert", "base", "-o", "base.gguf")
    #expect(again.code == EmbedFuseError.Code.cannotCreate.rawValue)
    #expect(again.error.contains("use --force"))
    #expect(try work.run("convert", "base", "-o", "base.gguf", "-q", "--force").code == 0)
    #expect(work.added == ["base.gguf"])
  }

  @Test func quantizeIsForGGUFOnly() throws {
    let work = try Workspace()
    let outcome = try work.run("convert", "base", "-o", "base.h5", "--quantize", "q8_0")
    #expect(outcome.code == EmbedFuseError.Code.usage.rawValue)
    #expect(outcome.error.contains("--quantize is for .gguf outputs only"))
    #expect(work.added.isEmpty)
  }

  @Test func aModelAndAnAdapterAreOneModel() throws {
    let folder = try TemporaryFolder()
    let (base, adapter) = (Fixtures.path("samples/peft/base"), Fixtures.path("samples/peft/lora"))
    let outcome = try Command.run(
      ["convert", "\(base)+\(adapter)", "-o", "merged.safetensors", "-q"], in: folder.path)
    #expect(outcome.code == 0, "\(outcome.error)")
    #expect(try TensorValues(folder("merged.safetensors")).names == TensorValues(base).names)
  }

  @Test func pairsOfBytesAreBFloat16OnRequestOnly() throws {
    let folder = try TemporaryFolder()
    let source = Fixtures.path("samples/npz/bf16.npy")
    let refused = try Command.run(["convert", source, "-o", "x.safetensors"], in: folder.path)
    #expect(refused.code == EmbedFuseError.Code.badData.rawValue)
    #expect(refused.error.contains("--npy-bf16"))
    let outcome = try Command.run(
      ["convert", source, "-o", "x.safetensors", "--npy-bf16", "-q"], in: folder.path)
    #expect(outcome.code == 0)
    #expect(try TensorValues(folder("x.safetensors")).doubles("bf16") == [1, 2])
  }

  @Test func inspectTellsWhatIsIgnored() throws {
    let work = try Workspace()
    try FileManager.default.createDirectory(
      atPath: work.folder("base/onnx"), withIntermediateDirectories: true)
    for name in ["optimizer.pt", "README.md"] { try Data([1]).write(to: work.url("base/\(name)")) }
    let text = try work.run("inspect", "base").output
    #expect(text.contains("\nignored: onnx/, optimizer.pt\n"))
    #expect(text.contains(", vocab.txt, README.md\n"))
    let json = try JSON.parse(try work.run("inspect", "base/", "--json").output)
    #expect(json["ignored"]?.arrayValue == ["onnx/", "optimizer.pt"])
    #expect(json["weight_files"]?.arrayValue?.count == 1)
    #expect(json["types"]?.arrayValue?.first?["dtype"] == "F32")
  }
}

extension Workspace {
  /// The place of something in the folder.
  func url(_ name: String) -> URL { URL(fileURLWithPath: folder(name)) }
}

/// What differs between two folders.
enum Difference {
  /// The names of the files that differ or stand in one alone, separated by commas.
  static func of(_ first: String, _ second: String) throws -> String {
    let manager = FileManager.default
    let names = Set(try manager.subpathsOfDirectory(atPath: first)).union(
      try manager.subpathsOfDirectory(atPath: second))
    return names.sorted().filter {
      !manager.contentsEqual(atPath: "\(first)/\($0)", andPath: "\(second)/\($0)")
    }.joined(separator: ", ")
  }
}

/// What can't be read is refused where values are wanted, and told where a file is only described.
@Suite struct UnreadableTensorTests {
  @Test(arguments: [
    ("torch/sparse.pt", "d", "s is a sparse tensor"), ("torch/quantized.pt", "d", "q is a quantized tensor"),
    ("torch/all_dtypes.pt", "t_BF16", "t_C128 has a storage of the class torch.ComplexDoubleStorage"),
    ("npz/obj.npz", "", "o is of NumPy type |O"),
  ])
  func isToldByInspect(sample: String, readable: String, unreadable: String) throws {
    let work = try Workspace()
    let path = Fixtures.path("samples/\(sample)")
    let inspect = try work.run("inspect", path, "--json")
    #expect(inspect.code == 0, "\(inspect.error)")
    let json = try JSON.parse(inspect.output)
    let names = (json["tensors"]?.arrayValue ?? []).compactMap { $0["name"]?.stringValue }
    #expect(readable.isEmpty ? names.isEmpty : names.contains(readable))
    let notes = (json["notes"]?.arrayValue ?? []).compactMap(\.stringValue).joined(separator: "\n")
    #expect(notes.contains(unreadable))
    let convert = try work.run("convert", path, "-o", "out.safetensors")
    #expect(convert.code == 65)
    #expect(work.added.isEmpty)
  }
}
