import Foundation
import TestSupport
import Testing

/// The HDF5 library is loaded by those runs that need it, and only they fail where there is none.
@Suite struct HDF5LoadingTests {
  /// A folder of libraries that the loader finds before the system's own.
  private struct Libraries {
    let folder: TemporaryFolder
    let environment: [String: String]

    /// Puts `make`'s result in the place of the HDF5 library, whatever its version.
    init(_ make: (_ path: String) throws -> Void) throws {
      folder = try TemporaryFolder()
      try make(folder("stand-in"))
      for name in ["libhdf5_serial.so", "libhdf5.so"] {
        for interface in ["", ".103", ".200", ".310", ".320"] {
          try FileManager.default.createSymbolicLink(
            atPath: folder(name + interface), withDestinationPath: "stand-in")
        }
      }
      let inherited = ProcessInfo.processInfo.environment["LD_LIBRARY_PATH"].map { ":" + $0 } ?? ""
      environment = ["LD_LIBRARY_PATH": folder.path + inherited]
    }

    func run(_ arguments: [String], in work: Workspace) throws -> Command.Outcome {
      try Command.outcome(
        of: Command.start(arguments, in: work.folder.path, environment: environment))
    }
  }

  private static let merge = ["merge", "--base", "base", "retrieval", "similarity", "--quiet", "-o"]

  @Test func theProgramNeedsNeitherHDF5NorWhatComesWithIt() throws {
    // Lets the loader print what it would load, as ldd does.
    let outcome = try Command.outcome(
      of: Command.start([], environment: ["LD_TRACE_LOADED_OBJECTS": "1"]))
    #expect(outcome.output.contains("libzstd"))
    for library in ["hdf5", "curl", "krb5", "libcrypto"] { #expect(!outcome.output.contains(library)) }
  }

  @Test func withoutTheHDF5LibraryOnlyItsFilesAreRefused() throws {
    let work = try Workspace()
    #expect(try Command.run(Self.merge + ["with.h5"], in: work.folder.path).code == 0)
    let libraries = try Libraries { try Data("not a library".utf8).write(to: URL(fileURLWithPath: $0)) }
    #expect(try libraries.run(Self.merge + ["fused.safetensors"], in: work).code == 0)
    #expect(try libraries.run(["inspect", "fused.safetensors"], in: work).code == 0)
    for arguments in [
      Self.merge + ["fused.h5"], ["convert", "base", "-o", "fused.h5"], ["inspect", "with.h5"],
    ] {
      let outcome = try libraries.run(arguments, in: work)
      #expect(outcome.code == 69)
      #expect(outcome.error.contains("the HDF5 library can't be loaded"), "\(outcome.error)")
      #expect(outcome.error.contains("file too short"), "\(outcome.error)")
      #expect(outcome.error.contains("install it"), "\(outcome.error)")
    }
    #expect(work.added == ["fused.safetensors", "with.h5"])
  }

  @Test(arguments: [
    (
      """
      int H5dont_atexit(void) { return 0; }
      int H5get_libversion(unsigned *a, unsigned *b, unsigned *c) { *a = 1; *b = 8; *c = 4; return 0; }
      """,
      " is of HDF5 1.8, not "
    ),
    ("int unrelated;", " lacks H5dont_atexit"),
  ])
  func aLibraryOfAnotherVersionIsRefused(code: String, message: String) throws {
    let work = try Workspace()
    let libraries = try Libraries { path in
      let source = path + ".c"
      try Data(code.utf8).write(to: URL(fileURLWithPath: source))
      let compiler = Process()
      compiler.executableURL = URL(fileURLWithPath: "/usr/bin/env")
      compiler.arguments = ["clang", "-shared", "-fPIC", "-o", path, source]
      try compiler.run()
      compiler.waitUntilExit()
      #expect(compiler.terminationStatus == 0)
    }
    let outcome = try libraries.run(Self.merge + ["fused.h5"], in: work)
    #expect(outcome.code == 69)
    #expect(outcome.error.contains(message), "\(outcome.error)")
    #expect(work.added.isEmpty)
  }
}
