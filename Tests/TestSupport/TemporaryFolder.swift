import Foundation

/// A folder that is removed with the object.
public final class TemporaryFolder: Sendable {
  /// Its path.
  public let path: String

  /// Makes a folder of a new name.
  public init() throws {
    let url = FileManager.default.temporaryDirectory.appendingPathComponent(
      "embedfuse-test-\(UUID().uuidString)")
    try FileManager.default.createDirectory(at: url, withIntermediateDirectories: true)
    path = url.path
  }

  deinit { try? FileManager.default.removeItem(atPath: path) }

  /// The path of something in the folder.
  public func callAsFunction(_ name: String) -> String { path + "/" + name }

  /// The names in the folder, hidden ones too.
  public var names: [String] {
    ((try? FileManager.default.contentsOfDirectory(atPath: path)) ?? []).sorted()
  }
}

/// Runs `body` with the path of a new folder, which is removed with all that it holds once `body` is done.
public func withTemporaryFolder<Result>(_ body: (String) throws -> Result) throws -> Result {
  let folder = try TemporaryFolder()
  defer { withExtendedLifetime(folder) {} }
  return try body(folder.path)
}
