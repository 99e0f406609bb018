import EmbedFuse
import Foundation
import TestSupport
import Testing

/// Files under the name of another kind, and outputs of kinds that aren't written.
@Suite struct WrongNameTests {
  @Test(arguments: [
    ("torch/state_dict.pt", "m.h5", "a PyTorch file", ".pt"),
    ("torch/state_dict_legacy.pt", "m.npz", "a PyTorch file", ".pt"),
    ("hdf5/chunked.h5", "m.safetensors", "an HDF5 file", ".h5"),
    ("hdf5/chunked.h5", "m.bin", "an HDF5 file", ".h5"),
    ("gguf/t.gguf", "m.npz", "a GGUF file", ".gguf"),
    ("npz/w.npz", "m.pt", "a NumPy archive", ".npz"), ("npz/a.npy", "m.npz", "a NumPy array", ".npy"),
    ("keras/model.keras", "m.npz", "a Keras archive", ".keras"),
    ("safetensors/good/scalar_empty.safetensors", "m.ckpt", "a safetensors file", ".safetensors"),
    ("safetensors/good/scalar_empty.safetensors", "noending", "a safetensors file", ".safetensors"),
  ])
  func isRecognized(sample: String, name: String, kind: String, ending: String) throws {
    let work = try Workspace()
    try FileManager.default.copyItem(atPath: Fixtures.path("samples/\(sample)"), toPath: work.folder(name))
    let inspect = try work.run("inspect", name)
    #expect([65, 66].contains(inspect.code))
    #expect(
      inspect.error
        == "embedfuse: error: \(name): is \(kind) under another name\n  give it the ending \(ending)\n")
  }

  /// A zip archive of something else, or bytes without any meaning, are what their names don't say.
  @Test(arguments: ["m.h5", "m.npz", "m.gguf", "m.pt", "m.safetensors", "m.keras"])
  func isRefusedIfItIsNothing(name: String) throws {
    let work = try Workspace()
    try Data("neither this nor that, but long enough for a header\n".utf8)
      .write(to: URL(fileURLWithPath: work.folder(name)))
    let inspect = try work.run("inspect", name)
    #expect(inspect.code == 65)
    let lines = inspect.error.split(separator: "\n")
    #expect(lines.count == 2 && !lines[0].hasSuffix(": "), "\(inspect.error)")
  }

  /// A directory of such a name would be taken for a file.
  @Test(arguments: ["out.pt", "out.bin", "out.keras", "out.npy", "out.safetensors.index.json"])
  func isNotWritten(output: String) throws {
    let work = try Workspace()
    for arguments in [["convert", "base"], ["merge", "--base", "base", "retrieval"]] {
      let run = try Command.run(arguments + ["-o", output], in: work.folder.path)
      #expect(run.code == 64)
      #expect(run.error.contains("files can't be written"))
    }
    #expect(work.added.isEmpty)
  }

  @Test func anAdaptersConfigurationIsNotIgnored() throws {
    let path = Fixtures.path("samples/peft/lora")
    let json = try JSON.parse(try Command.run("inspect", path, "--json").output)
    let ignored = json["ignored"]?.arrayValue?.compactMap(\.stringValue) ?? []
    #expect(!ignored.contains("adapter_config.json") && ignored.contains("merged_expected.safetensors"))
  }
}
