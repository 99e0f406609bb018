import Foundation
import Glibc

/// Runs `body` as a user whom permissions bind, who owns `folder`: in containers tests are often root's, who may write
/// and remove anything.
///
/// Only this thread's access to files changes (`setfsuid(2)`), so `body` must do its work itself.
public func withoutPrivileges(in folder: TemporaryFolder, _ body: () throws -> Void) throws {
  guard geteuid() == 0 else { return try body() }
  guard let address = unsafe dlsym(nil, "setfsuid") else { throw CocoaError(.featureUnsupported) }
  let setUser = unsafe unsafeBitCast(address, to: (@convention(c) (uid_t) -> Int32).self)
  let nobody: uid_t = 65534
  guard unsafe chown(folder.path, nobody, nobody) == 0 else { throw CocoaError(.fileWriteNoPermission) }
  _ = setUser(nobody)
  defer { _ = setUser(0) }
  try body()
}
