import CLinux
import Glibc

/// The memory of the process that a fusion runs in, for a program that has it to itself.
package enum ProcessMemory {
  /// Buffers from this size on go back to the system when they are freed. Those that are larger than the blocks of a
  /// fusion are mostly kept and used again, so that this costs little.
  private static let returnedBytes: Int32 = 512 << 10
  /// Room for code and tables that have not been touched when a program starts, half of it for the HDF5 library, which is
  /// loaded when it is needed.
  private static let untouchedBytes = 21 << 20

  /// Keeps glibc from holding on to large buffers in a heap for each thread. To be called before there are any.
  package static func returnLargeBuffers() { clinux_return_allocations_from(returnedBytes) }

  /// Bytes that are resident when this is first asked, which should be when the program starts, with what code and
  /// libraries will need: `OutputOptions.reservedMemory` for a program that is to stay within a limit as a whole. If the
  /// system doesn't tell, 32 MiB.
  package static let reservedBytes: Int = {
    let file = unsafe open("/proc/self/statm", O_RDONLY | O_CLOEXEC)
    guard file >= 0 else { return 32 << 20 }
    defer { close(file) }
    var text = [UInt8](repeating: 0, count: 128)
    let count = unsafe read(file, &text, text.count)
    // Sizes in pages: all, resident, shared, ...
    let fields = text.prefix(max(0, count)).split(separator: UInt8(ascii: " "))
    guard fields.count > 1, let pages = Int(String(decoding: fields[1], as: UTF8.self)) else {
      return 32 << 20
    }
    return pages * Int(sysconf(Int32(_SC_PAGESIZE))) + untouchedBytes
  }()
}
