import EmbedFuse

extension EmbedFuseError {
  /// The same error, of something that was to follow once outputs stood.
  func leaving(_ outputs: [String]) -> EmbedFuseError {
    var error = self
    let names = outputs.map(\.printable).joined(separator: ", ")
    error.remedy =
      "what was made stands, whole: \(names)" + (remedy.map { "; \($0)" } ?? "")
    return error
  }
}

extension DependencyFile {
  /// Writes the dependencies of outputs that stand already.
  ///
  /// - Throws: `EmbedFuseError`, which says so.
  static func write(
    to path: String, targets: [String], inputs: [String], synchronize: Bool
  ) throws(EmbedFuseError) {
    do {
      try DependencyFile(targets: targets, inputs: inputs).write(to: path, synchronize: synchronize)
    } catch {
      throw error.leaving(targets)
    }
  }
}
