import Foundation
import TestSupport
import Testing

/// Files on which the HDF5 library itself crashes, or not, as the heap happens to be laid out: the command never does.
@Suite struct HDF5CrashTests {
  @Test(arguments: [
    "damaged_heap_1.keras", "damaged_heap_2.keras", "damaged_crash.h5", "damaged_hang.h5", "damaged_list.h5",
    "damaged_root.h5",
  ])
  func theCommandNeverEndsByASignal(name: String) throws {
    let folder = try TemporaryFolder()
    for ending in ["h5", "keras"] {
      let path = folder("m.\(ending)")
      try FileManager.default.copyItem(atPath: Fixtures.path("samples/hdf5/\(name)"), toPath: path)
      for filling in ["", "85", "170", "255"] {
        let outcome = try Command.outcome(
          of: Command.start(
            ["inspect", path], environment: filling.isEmpty ? [:] : ["MALLOC_PERTURB_": filling]))
        // Read as far as the library comes, or refused.
        #expect([0, 65].contains(outcome.code), "\(outcome.code) \(outcome.error)")
      }
    }
  }
}
