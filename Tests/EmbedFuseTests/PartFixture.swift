import EmbedFuse
import Foundation
import TestSupport

/// A copy of the committed family, and its fusion into small shards.
struct PartFixture {
  let folder: TemporaryFolder

  init() throws {
    folder = try TemporaryFolder()
    for name in ["base", "retrieval", "similarity"] {
      try FileManager.default.copyItem(atPath: Fixtures.path("family/\(name)"), toPath: folder(name))
    }
  }

  /// The plan of a fusion of the family.
  func plan(_ method: MethodSettings = .deltaGuided(), dtype: ElementType? = nil) throws -> FusionPlan {
    var recipe = Recipe(
      base: folder("base"), models: [folder("retrieval"), folder("similarity")], method: method)
    recipe.elementType = dtype
    return try FusionPlan(recipe)
  }

  /// Six shards, nothing flushed.
  static func options(_ change: (inout OutputOptions) -> Void = { _ in }) -> OutputOptions {
    var options = OutputOptions(synchronize: false, threads: 2, maximumShardBytes: 5000)
    change(&options)
    return options
  }

  /// Makes a part of `out`.
  @discardableResult func make(
    _ part: Int, of count: Int, _ plan: FusionPlan? = nil,
    _ change: (inout OutputOptions) -> Void = { _ in }
  ) async throws -> PartResult {
    let plan = try plan ?? self.plan()
    return try await plan.run(
      part: try OutputPart(part, of: count), of: folder("out"), options: Self.options(change))
  }

  /// Puts the parts of `out` together.
  @discardableResult func finalize(
    verifies: Bool = true, _ change: (inout OutputOptions) -> Void = { _ in }
  ) async throws -> FusionResult {
    try await PartAssembly(of: folder("out")).run(options: Self.options(change), verifies: verifies)
  }

  /// All files below a path in the folder, by their relative paths.
  func contents(_ name: String) -> [String: Data] {
    let root = folder(name)
    return (FileManager.default.subpaths(atPath: root) ?? []).reduce(into: [:]) {
      $0[$1] = FileManager.default.contents(atPath: root + "/" + $1)
    }
  }

  /// Changes one byte of a file, counted from its end, and leaves the time of its last change as it was, unless told
  /// otherwise.
  func flip(_ name: String, fromEnd offset: Int = 1, changesTime: Bool = false) throws {
    let path = folder(name)
    let time = try FileManager.default.attributesOfItem(atPath: path)[.modificationDate]
    var data = try Data(contentsOf: URL(fileURLWithPath: path))
    data[data.count - offset] ^= 1
    try data.write(to: URL(fileURLWithPath: path))
    if !changesTime, let time {
      try FileManager.default.setAttributes([.modificationDate: time], ofItemAtPath: path)
    }
  }
}

/// What an operation throws, if it is an error of ours.
func embedFuseError(_ body: () async throws -> Void) async -> EmbedFuseError? {
  do { try await body() } catch { return error as? EmbedFuseError }
  return nil
}
