import EmbedFuse
import Foundation
import TestSupport
import Testing

/// What people get wrong in their first hour: each ends in a message that says what to do instead.
@Suite struct EverydayMistakeTests {
  /// Runs the command, which must fail with two lines at least, the second of which says what to do.
  private func fails(
    _ work: Workspace, _ arguments: [String], _ code: EmbedFuseError.Code, _ problem: String,
    _ remedy: String
  ) throws {
    let before = work.added
    let outcome = try Command.run(arguments, in: work.folder.path)
    #expect(outcome.code == code.rawValue, "\(outcome.error)")
    #expect(outcome.output.isEmpty)
    let lines = outcome.error.split(separator: "\n")
    #expect(lines.count >= 2 && lines[0].contains(problem), "\(outcome.error)")
    #expect(lines.dropFirst().contains { $0.hasPrefix("  ") && $0.contains(remedy) }, "\(outcome.error)")
    #expect(work.added == before && work.inputsAreUntouched)
  }

  @Test(arguments: [
    ("sentence-transformers/all-MiniLM-L6-v2", "hf download sentence-transformers/all-MiniLM-L6-v2 "),
    ("bge-small-en-v1.5", "hf download bge-small-en-v1.5 "), ("~/base", "only shells expand '~'"),
  ])
  func aModelThatIsElsewhere(base: String, remedy: String) throws {
    try fails(
      try Workspace(), ["merge", "--base", base, "retrieval", "-o", "x"], .missingInput,
      "\(base): there is no such file or directory", remedy)
  }

  /// No model of the hub ends like a file, or stands in a folder that is there.
  @Test(arguments: ["model.safetensors", "base/modle", "./base2", "nowhere/in/particular"])
  func aPathThatIsMistyped(path: String) throws {
    let work = try Workspace()
    let outcome = try work.run("inspect", path)
    #expect(outcome.code == 66)
    #expect(
      outcome.error
        == "embedfuse: error: \(path): there is no such file or directory\n  check the name and where you are\n"
    )
  }

  @Test(arguments: ["base/fused", "retrieval/1_Pooling/fused.h5", "base/../retrieval/x.safetensors"])
  func anOutputWithinAnInput(output: String) throws {
    for arguments in [
      ["merge", "--base", "base", "retrieval"],
      ["convert", output.hasPrefix("base/f") ? "base" : "retrieval"],
    ] {
      try fails(
        try Workspace(), arguments + ["-o", output], .cannotCreate,
        "\(output): the output would stand in the input",
        "choose a place outside of it")
    }
  }

  @Test(arguments: [
    ("x.safetensor", "would be a directory", "end the name in .safetensors"),
    ("x.Safetensors", "would be a directory", "end the name in .safetensors"),
    ("x.HDF5", "would be a directory", "end the name in .hdf5"),
    ("x.hdf", ".hdf files can't be written", ".h5"),
    ("", "the output has no name", "name a file or directory"),
    ("-", "'-' would be a directory", "standard output"),
  ])
  func anOutputThatIsMistyped(output: String, problem: String, remedy: String) throws {
    for arguments in [["merge", "--base", "base", "retrieval"], ["convert", "base"]] {
      try fails(try Workspace(), arguments + ["-o", output], .usage, problem, remedy)
    }
  }

  @Test(arguments: ["bge-v1.5", "gguf", "model.test", "v2.h55"]) func aDirectoryWithAPointInItsName(
    name: String
  ) throws {
    let work = try Workspace()
    #expect(try work.run("convert", "base", "-o", name, "--no-sync").code == 0)
    #expect(FileManager.default.fileExists(atPath: work.folder("\(name)/model.safetensors")))
  }

  /// The Hugging Face cache has a folder for each version of a model, and others keep models side by side.
  @Test(arguments: ["models--org--name/snapshots/abc123", "models--org--name/abc123"])
  func aFolderOfModels(place: String) throws {
    let work = try Workspace()
    let folder = URL(fileURLWithPath: work.folder(place)).deletingLastPathComponent()
    try FileManager.default.createDirectory(at: folder, withIntermediateDirectories: true)
    try FileManager.default.copyItem(atPath: work.folder("base"), toPath: work.folder(place))
    try fails(work, ["inspect", "models--org--name"], .missingInput, "holds no weights", "such as \(place)")
  }

  @Test(arguments: ["model.safetensors", "pytorch_model.bin", "w.h5"]) func aPointerOfGitLFS(name: String)
    throws
  {
    let work = try Workspace()
    try Data("version https://git-lfs.github.com/spec/v1\noid sha256:4d7a\nsize 12345\n".utf8)
      .write(to: URL(fileURLWithPath: work.folder(name)))
    try fails(
      work, ["inspect", name], .badData, "\(name): is a pointer of Git LFS in the place of the file",
      "git lfs pull")
  }

  @Test func aLinkToNothing() throws {
    let work = try Workspace()
    for link in ["m", "m/model.safetensors"] {
      if link != "m" {
        try FileManager.default.removeItem(atPath: work.folder("m"))
        try FileManager.default.createDirectory(atPath: work.folder("m"), withIntermediateDirectories: true)
      }
      try FileManager.default.createSymbolicLink(atPath: work.folder(link), withDestinationPath: "nowhere")
      try fails(
        work, ["inspect", "m"], .missingInput, "\(link): is a symbolic link to something that isn't there",
        link == "m" ? "check the name" : "cp -L")
    }
  }

  @Test func aConfigurationThatWasEditedByHand() throws {
    let work = try Workspace()
    try FileManager.default.copyItem(atPath: work.folder("retrieval"), toPath: work.folder("edited"))
    try Data("{\"model_type\": \"bert\",}".utf8).write(
      to: URL(fileURLWithPath: work.folder("edited/config.json")))
    try fails(
      work, ["merge", "--base", "base", "edited", "-o", "x"], .badData,
      "edited/config.json: byte 22: invalid JSON", "edited by hand")
  }

  @Test(arguments: [
    (["verify", "base"], 66, "base: has no manifest", "verify checks what merge has written"),
    (["verify", "base", "retrieval"], 64, "inputs are read only by --rerun", ""),
    (["merge", "-o", "x"], 64, "there is nothing to fuse", "name at least one fine-tuned checkpoint"),
    (["merge", "base", "-o", "x", "--lenient"], 64, "--lenient is for recipe files", "leave it out"),
    (
      ["merge", "--base", "base", "retrieval", "-o", "x", "--method", "ties", "--set", "density"], 64,
      "--set density is not of the form KEY=VALUE", "--set density=VALUE"
    ),
    (
      ["merge", "--base", "base", "retrieval", "-o", "x", "--set", "power=1", "--set", "power=2"], 64,
      "--set gives power twice", "once"
    ),
    (
      ["merge", "--base", "base", "retrieval", "-o", "x", "--set", "power=1", "--power", "2"], 64,
      "power is given by --power and by --set", "once"
    ),
    (
      ["merge", "--base", "base", "retrieval", "-o", "x.h5", "--compression-level", "23"], 64,
      "--compression-level must be 1 to 22", ""
    ),
    (
      ["merge", "retrieval", "-o", "x", "--method", "soup", "--nonfinite", "base"], 64, "there is no base",
      "name one with --base"
    ),
    (
      ["merge", "retrieval", "similarity", "-o", "x", "--method", "geometric-median", "--weights=1,-1"], 64,
      "must be 0 or more, and not all 0", "choose other weights"
    ),
    (
      [
        "merge", "--base", "base", "retrieval", "-o", "x", "--method", "fisher", "--fisher", "base",
        "--weights=-1",
      ],
      64, "must be 0 or more, and not all 0", "choose other weights"
    ),
  ])
  func aRequestThatCanNotBeMeant(arguments: [String], code: Int32, problem: String, remedy: String) throws {
    let work = try Workspace()
    let outcome = try Command.run(arguments, in: work.folder.path)
    #expect(outcome.code == code, "\(outcome.error)")
    #expect(
      outcome.error.contains(problem) && (remedy.isEmpty || outcome.error.contains(remedy)),
      "\(outcome.error)")
    #expect(work.added.isEmpty && work.inputsAreUntouched)
  }

  @Test(arguments: ["tf_model.h5", "flax_model.msgpack", "pytorch_model.pt"])
  func aModelOfAnotherFramework(weights: String) throws {
    let work = try Workspace()
    try FileManager.default.createDirectory(atPath: work.folder("m"), withIntermediateDirectories: true)
    try Data([1]).write(to: URL(fileURLWithPath: work.folder("m/\(weights)")))
    try fails(
      work, ["inspect", "m"], .missingInput, "m: holds its weights as \(weights), which can't be read",
      "save the model as safetensors")
  }

  @Test func aModuleOfAModelThatWasNotCopied() throws {
    let work = try Workspace()
    try FileManager.default.createDirectory(atPath: work.folder("m"), withIntermediateDirectories: true)
    try Data(#"[{"path": "0_Transformer", "type": "x.Transformer"}]"#.utf8)
      .write(to: URL(fileURLWithPath: work.folder("m/modules.json")))
    try fails(
      work, ["inspect", "m"], .missingInput, "m/0_Transformer: there is no such directory",
      "copy the whole model")
  }

  @Test func aManifestThatIsNone() throws {
    try fails(
      try Workspace(), ["merge", "--locked", "base/config.json", "-o", "x"], .badData,
      "base/config.json: is no manifest of a fusion", "its embedfuse.json")
  }
}
