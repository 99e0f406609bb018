import Glibc
import Synchronization
import TensorCore

/// The folder in which one run prepares one output, beside the output's final name so that a rename suffices.
///
/// Its name is `.NAME.embedfuse-PID-RANDOM.tmp`; NAME is cut to 200 bytes. It holds the output (`new`), what is known of
/// the parts of it that are finished (`finished`), what the output replaces where the file system can't exchange two
/// names (`old`), and `lock`, a file that is locked by
/// `flock(2)` as long as the run lives: the kernel gives the lock back however the run ends. A process number alone
/// would not do, because containers that share a folder don't share the numbers.
final class StagingFolder: Sendable {
  /// Where the output is prepared.
  let newPath: String
  /// Where the output that is replaced may be moved.
  let oldPath: String
  /// A folder for records of what is finished; made by whoever keeps some.
  let recordsPath: String

  private let target: String
  private let path: String
  private let lock: Atomic<Int32>

  /// The folder at `path`, whose lock the caller holds.
  private init(_ path: String, for target: String, lock descriptor: Int32) {
    self.target = target
    self.path = path
    newPath = FilePath.join(path, "new")
    oldPath = FilePath.join(path, "old")
    recordsPath = Self.records(in: path)
    lock = Atomic(descriptor)
  }

  /// Makes a folder for the output at `target` and locks it.
  ///
  /// - Throws: `EmbedFuseError`: cannot create if the folder can't be made.
  convenience init(for target: String) throws(EmbedFuseError) {
    while true {
      let random = String(UInt32.random(in: 0x1000_0000...UInt32.max), radix: 16)
      let path = FilePath.join(
        FilePath.folder(of: target), "\(Self.prefix(for: target))\(getpid())-\(random).tmp")
      guard unsafe mkdir(path, 0o700) == 0 else {
        if errno == EEXIST { continue }
        throw EmbedFuseError.system(.cannotCreate, "a folder beside it can't be made", path: target)
      }
      // A run that looks for leftovers may have come between; then a new folder is made.
      guard let descriptor = try Self.lock(path, target: target) else { continue }
      self.init(path, for: target, lock: descriptor)
      return
    }
  }

  deinit { remove() }

  /// Removes the folder with what is in it, and gives the lock back.
  ///
  /// - Returns: what should be told: what can't be removed.
  @discardableResult
  func remove() -> [String] {
    let descriptor = lock.exchange(-1, ordering: .relaxed)
    guard descriptor >= 0 else { return [] }
    return Self.remove(path, lock: descriptor, target: target) ? [] : [Self.note(onRemainsIn: path)]
  }

  /// Gives the lock back and leaves the folder to a run that continues this one.
  func keep() {
    let descriptor = lock.exchange(-1, ordering: .relaxed)
    if descriptor >= 0 { Self.unlock(descriptor) }
  }

  /// Gives a lock back and closes its file. Closing alone would leave it to a child process that was started meanwhile
  /// and hasn't closed what it inherited.
  private static func unlock(_ descriptor: Int32) {
    flock(descriptor, LOCK_UN)
    close(descriptor)
  }

  /// Says that the old output isn't needed any more, so that it is never brought back half removed.
  func discardOld() {
    unsafe rename(oldPath, FilePath.join(path, "discarded"))
  }

  /// Removes a staging folder that the caller has locked, and closes the lock.
  ///
  /// An old output that is still there was moved aside for a new one that never came: it returns to its name.
  /// It is removed only where something else has that name by now.
  ///
  /// - Returns: false if something can't be removed. The lock file stays with it, so that the next run tries again.
  private static func remove(_ folder: String, lock: Int32, target: String) -> Bool {
    let old = FilePath.join(folder, "old")
    if FilePath.kind(of: old) == .directory {
      try? OutputName.give(target, to: old, isDirectory: true)
    }
    var isRemoved = true
    for name in ["new", "finished", "discarded"] where !FileTree.remove(FilePath.join(folder, name)) {
      isRemoved = false
    }
    let keepsOld = FilePath.kind(of: old) != nil && FilePath.kind(of: target) == nil
    if !keepsOld, !FileTree.remove(old) { isRemoved = false }
    // NFS keeps a name for a file that is open, so the lock goes last.
    unlock(lock)
    return isRemoved && (keepsOld || FileTree.remove(folder))
  }

  /// What a user should know of a folder of which something is left.
  private static func note(onRemainsIn folder: String) -> String {
    "\(folder.printable) holds what is left of an earlier output or run and can't be removed: remove it yourself"
  }

  /// Makes and locks the lock file of a new folder; nil if another run has taken the folder away.
  ///
  /// Where the file system has no locks the folder stays unlocked, and nobody ever takes it for dead.
  private static func lock(_ folder: String, target: String) throws(EmbedFuseError) -> Int32? {
    var descriptor: Int32
    repeat {
      descriptor = unsafe open(FilePath.join(folder, "lock"), O_RDWR | O_CREAT | O_CLOEXEC, 0o600)
    } while descriptor < 0 && errno == EINTR
    guard descriptor >= 0 else {
      if errno == ENOENT { return nil }
      let error = EmbedFuseError.system(
        .cannotCreate, "a lock file beside it can't be made", path: target)
      FileTree.remove(folder)
      throw error
    }
    let isTaken = flock(descriptor, LOCK_EX | LOCK_NB) != 0 && errno == EWOULDBLOCK
    var info = stat()
    let isKnown = unsafe fstat(descriptor, &info) == 0
    if isTaken || (isKnown && info.st_nlink == 0) {
      close(descriptor)
      return nil
    }
    return descriptor
  }
}

// MARK: - Continuing a dead run

extension StagingFolder {
  private static func records(in folder: String) -> String { FilePath.join(folder, "finished") }

  /// Takes over the folder of a run for `target` that has ended: of several the one worth most.
  ///
  /// The lock alone tells whether a run has ended. (In containers the next run often has a process number of the last.)
  ///
  /// - Parameter worth: what the records in a folder are worth; nothing if 0.
  static func resuming(_ target: String, worth: (String) -> Int) -> StagingFolder? {
    var best: (path: String, lock: Int32, worth: Int)?
    for name in (try? FilePath.names(in: FilePath.folder(of: target))) ?? []
    where isName(name, for: target) {
      let path = FilePath.join(FilePath.folder(of: target), name)
      let lock = openLock(of: path)
      guard lock >= 0 else { continue }
      // Of a run that died once its output had its name only records are left.
      let isHeld = flock(lock, LOCK_EX | LOCK_NB) == 0 && FilePath.kind(of: FilePath.join(path, "new")) != nil
      let value = isHeld ? worth(records(in: path)) : 0
      guard value > best?.worth ?? 0 else {
        unlock(lock)
        continue
      }
      if let best { unlock(best.lock) }
      best = (path, lock, value)
    }
    guard let best else { return nil }
    let folder = StagingFolder(best.path, for: target, lock: best.lock)
    // An output that was moved aside for a new one that never came returns to its name.
    if FilePath.kind(of: folder.oldPath) == .directory {
      try? OutputName.give(target, to: folder.oldPath, isDirectory: true)
    }
    return folder
  }
}

// MARK: - What dead runs left behind

extension StagingFolder {
  private static func prefix(for target: String) -> String {
    ".\(String(decoding: FilePath.name(of: target).utf8.prefix(200), as: UTF8.self)).embedfuse-"
  }

  /// True for the name of a staging folder for `target`.
  private static func isName(_ name: String, for target: String) -> Bool {
    let prefix = prefix(for: target).utf8
    let parts = name.utf8.dropFirst(prefix.count).split(
      separator: UInt8(ascii: "-"), omittingEmptySubsequences: false)
    guard name.utf8.starts(with: prefix), parts.count == 2, let suffix = String(parts[1]),
      suffix.utf8.count == 12, suffix.hasSuffix(".tmp"), UInt32(suffix.prefix(8), radix: 16) != nil,
      let process = String(parts[0]).flatMap({ pid_t($0) })
    else { return false }
    return process > 0
  }

  /// Opens the lock file of a folder that another run has made; below 0, with `errno`, if there is none.
  private static func openLock(of folder: String) -> Int32 {
    guard !FilePath.isLink(folder) else {
      errno = ELOOP
      return -1
    }
    var descriptor: Int32
    repeat {
      descriptor = unsafe open(FilePath.join(folder, "lock"), O_RDWR | O_NOFOLLOW | O_CLOEXEC)
    } while descriptor < 0 && errno == EINTR
    return descriptor
  }

  /// The path as its user knows it: what stands in a staging folder has, or is to get, the output's name.
  static func published(_ path: String) -> String {
    var parts = path.split(separator: "/", omittingEmptySubsequences: false)
    guard
      let place = parts.firstIndex(where: {
        $0.hasPrefix(".") && $0.hasSuffix(".tmp") && $0.contains(".embedfuse-")
      }),
      let mark = parts[place].ranges(of: ".embedfuse-").last
    else { return path }
    parts[place] = parts[place][..<mark.lowerBound].dropFirst()
    if place + 1 < parts.count { parts.remove(at: place + 1) }
    return parts.drop { $0 == "." }.joined(separator: "/")
  }

  /// Removes the staging folders of runs for `target` that have ended. The lock alone tells, as in `resuming`.
  ///
  /// - Returns: what should be told: what can't be removed.
  @discardableResult
  static func removeDead(for target: String) -> [String] {
    let folder = FilePath.folder(of: target)
    var notes: [String] = []
    for name in (try? FilePath.names(in: folder)) ?? [] where isName(name, for: target) {
      let path = FilePath.join(folder, name)
      let lock = openLock(of: path)
      if lock >= 0 {
        if flock(lock, LOCK_EX | LOCK_NB) != 0 {
          close(lock)
        } else if !remove(path, lock: lock, target: target) {
          notes.append(note(onRemainsIn: path))
        }
      } else if errno == ENOENT, unsafe rmdir(path) != 0, errno == ENOTEMPTY || errno == EEXIST,
        FilePath.kind(of: FilePath.join(path, "lock")) == nil
      {
        // A run without a lock file died before it made it, or after it removed it. One that is about to make it
        // finds its empty folder gone, and makes another, or has made it meanwhile.
        notes.append(note(onRemainsIn: path))
      }
    }
    return notes
  }
}
