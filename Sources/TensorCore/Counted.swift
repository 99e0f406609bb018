extension Int {
  /// So many things of a kind, for messages: `1 tensor`, `2 tensors`. The noun forms its plural by an s.
  package func counted(_ noun: String) -> String { "\(self) \(noun)\(self == 1 ? "" : "s")" }
}
