import Foundation
import TestSupport
import Testing

/// The process that describes an HDF5 file to the command: signals that go to both, limits, and what the command says
/// where there can be none.
@Suite struct HDF5ChildTests {
  /// A file that takes the library four seconds of computing.
  private static let slow = Fixtures.path("samples/hdf5/damaged_hang.h5")

  /// As a terminal does it, and a scheduler: the process is no damage of the file.
  @Test(arguments: [SIGINT, SIGTERM, SIGHUP], ["convert", "verify"])
  func aSignalToTheGroupEndsARun(signal: Int32, command: String) throws {
    let folder = try TemporaryFolder()
    let output = command == "convert" ? ["-o", folder("out.safetensors")] : []
    let group = try ProcessGroup([Command.path, command, Self.slow] + output)
    _ = try group.child()
    let clock = ContinuousClock()
    let start = clock.now
    kill(-group.leader, signal)
    let end = group.end()
    #expect(end.code == 128 + signal && end.signal == 0, "\(end)")
    #expect(end.error.contains("interrupted; no output was written"), "\(end.error)")
    // The limit is one second; a machine may be busy.
    #expect(clock.now - start < .seconds(2))
    #expect(folder.names.isEmpty)
    #expect(group.isEmpty)
  }

  /// Commands that write nothing end by the signal itself.
  @Test(arguments: [SIGINT, SIGTERM, SIGHUP]) func aSignalToTheGroupEndsALook(signal: Int32) throws {
    let group = try ProcessGroup([Command.path, "inspect", Self.slow])
    _ = try group.child()
    kill(-group.leader, signal)
    let end = group.end()
    #expect(end.signal == signal && end.error.isEmpty, "\(end)")
    #expect(group.isEmpty)
  }

  /// As the kernel does it to the largest process when memory is short.
  @Test func aProcessThatIsKilledIsNoDamage() throws {
    let group = try ProcessGroup([Command.path, "inspect", Self.slow])
    kill(try group.child(), SIGKILL)
    let end = group.end()
    #expect(end.code == 74, "\(end)")
    #expect(end.error.contains("was killed: probably memory is short"), "\(end.error)")
  }

  @Test func aFileThatTakesTooMuchMemoryIsStoppedUnderway() throws {
    let group = try ProcessGroup([Command.path, "inspect", Fixtures.path("samples/hdf5/bomb_texts.h5")])
    let end = group.end()
    #expect(end.code == 65, "\(end)")
    #expect(end.error.contains("(it takes too much memory)"), "\(end.error)")
    // It would take 584 MiB; sanitizers take some themselves.
    // What this process holds counts as the command's own until it starts, so that only less than that can be told.
    var own = rusage()
    unsafe getrusage(__rusage_who_t(RUSAGE_SELF.rawValue), &own)
    #expect(end.peakMemory < 540 << 20 || end.peakMemory <= Int(own.ru_maxrss) << 10, "\(end.peakMemory)")
  }

  /// With too few files there is no pipe to such a process; the command doesn't do what it is there for itself.
  @Test func withoutAProcessNothingIsDescribed() throws {
    var refusals = 0
    for limit in 5..<64 {
      let group = try ProcessGroup([
        "/bin/sh", "-c", #"ulimit -n "$1" && exec "$2" inspect "$3""#, "sh", "\(limit)", Command.path,
        Fixtures.path("samples/hdf5/damaged_crash.h5"),
      ])
      let end = group.end()
      #expect(end.signal != SIGSEGV, "\(limit): \(end)")
      if end.error.contains("no process can be started to look at it: Too many open files") {
        #expect(end.code == 74 && end.error.contains("ulimit -n"), "\(limit): \(end)")
        refusals += 1
      }
      // Now it has enough.
      if end.error.contains("(it crashes with signal") { break }
    }
    #expect(refusals > 0)
  }
}

/// A command in a process group of its own.
private final class ProcessGroup {
  /// How a command ended.
  struct End {
    let code: Int32
    /// The signal that ended it; 0 if none did.
    let signal: Int32
    let error: String
    /// The most memory that it, or a process that it waited for, held, in bytes.
    let peakMemory: Int
  }

  /// The command's process, and the number of the group.
  let leader: pid_t
  private let error = Pipe()

  init(_ arguments: [String]) throws {
    var attributes = posix_spawnattr_t()
    unsafe posix_spawnattr_init(&attributes)
    unsafe posix_spawnattr_setflags(
      &attributes, Int16(POSIX_SPAWN_SETPGROUP | POSIX_SPAWN_SETSIGDEF | POSIX_SPAWN_SETSIGMASK))
    var signals = sigset_t()
    unsafe sigemptyset(&signals)
    unsafe posix_spawnattr_setsigmask(&attributes, &signals)
    unsafe sigfillset(&signals)
    unsafe posix_spawnattr_setsigdefault(&attributes, &signals)
    var files = unsafe posix_spawn_file_actions_t()
    unsafe posix_spawn_file_actions_init(&files)
    unsafe posix_spawn_file_actions_addopen(&files, 0, "/dev/null", O_RDWR, 0)
    unsafe posix_spawn_file_actions_addopen(&files, 1, "/dev/null", O_RDWR, 0)
    unsafe posix_spawn_file_actions_adddup2(&files, error.fileHandleForWriting.fileDescriptor, 2)
    var words: [UnsafeMutablePointer<CChar>?] = unsafe arguments.map { unsafe strdup($0) } + [nil]
    var started: pid_t = 0
    let status = unsafe posix_spawn(&started, arguments[0], &files, &attributes, &words, environ)
    unsafe words.forEach { unsafe free($0) }
    unsafe posix_spawn_file_actions_destroy(&files)
    unsafe posix_spawnattr_destroy(&attributes)
    try #require(status == 0)
    leader = started
    try error.fileHandleForWriting.close()
  }

  /// The group and the parent of a process; nil if there is none, or one that has ended.
  private static func place(of process: pid_t) -> (parent: pid_t, group: pid_t)? {
    // The name may hold anything, also brackets.
    guard let text = try? String(contentsOfFile: "/proc/\(process)/stat", encoding: .utf8),
      let end = text.lastIndex(of: ")")
    else { return nil }
    let fields = text[end...].split(separator: " ")
    guard fields.count > 3, fields[1] != "Z", let parent = pid_t(fields[2]), let group = pid_t(fields[3])
    else { return nil }
    return (parent, group)
  }

  private var members: [pid_t] {
    let all = (try? FileManager.default.contentsOfDirectory(atPath: "/proc")) ?? []
    return all.compactMap { pid_t($0) }.filter { Self.place(of: $0)?.group == leader }
  }

  /// Waits for the process that the command starts.
  func child() throws -> pid_t {
    for _ in 0..<3000 {
      if let child = members.first(where: { Self.place(of: $0)?.parent == leader }) { return child }
      usleep(10_000)
    }
    throw CancellationError()
  }

  /// True once no process of the group is there; it waits three seconds for that, less than the file takes.
  var isEmpty: Bool {
    for _ in 0..<300 where !members.isEmpty { usleep(10_000) }
    return members.isEmpty
  }

  /// Waits for the end of the command.
  func end() -> End {
    let text = String(decoding: error.fileHandleForReading.readDataToEndOfFile(), as: UTF8.self)
    var (status, usage): (Int32, rusage) = (0, rusage())
    while unsafe wait4(leader, &status, 0, &usage) < 0 && errno == EINTR {}
    return End(
      code: status >> 8 & 0xFF, signal: status & 0x7F, error: text, peakMemory: Int(usage.ru_maxrss) << 10)
  }
}
