import Foundation

/// Paths of the committed fixtures.
public enum Fixtures {
  /// The repository's `fixtures` folder.
  public static let root = URL(fileURLWithPath: #filePath)
    .deletingLastPathComponent().deletingLastPathComponent().deletingLastPathComponent()
    .appendingPathComponent("fixtures")

  /// The path of a fixture, for example `golden/inputs/base.f32.safetensors`.
  public static func path(_ relative: String) -> String {
    root.appendingPathComponent(relative).path
  }
}
