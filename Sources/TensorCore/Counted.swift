extension Int {
  /// A number rounded towards zero; the least or greatest `Int` for one beyond them, 0 for NaN. `Int(_:)` of such a
  /// number ends the process.
  package init(limiting value: Double) {
    self = Int(exactly: value.rounded(.towardZero)) ?? (value > 0 ? .max : value < 0 ? .min : 0)
  }

  /// So many things of a kind, for messages: `1 tensor`, `2 tensors`. The noun forms its plural by an s.
  package func counted(_ noun: String) -> String { "\(self) \(noun)\(self == 1 ? "" : "s")" }
}
