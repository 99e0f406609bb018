import TensorCore

extension EmbedFuseError {
  /// Refuses names that only differ in how their characters are composed: é as one character, and as e with an accent.
  ///
  /// To files they are two names, to Unicode, `String` and people they are one. Nobody means such a pair, some programs
  /// can't hold it, and a `Set` or `Dictionary` of names would keep one of the two. Names that are the same byte for byte
  /// are left to the caller.
  ///
  /// - Throws: `EmbedFuseError` (bad data) with both names, their characters spelled out.
  static func checkComposition(
    of names: some Sequence<String>, path: String, remedy: String = "rename one of the two"
  ) throws(EmbedFuseError) {
    // Names in ASCII alone, which most files have, are never composed in another way.
    guard names.contains(where: { !$0.utf8Span.isKnownASCII }) else { return }
    var seen: Set<String> = []
    for name in names {
      let (isNew, known) = seen.insert(name)
      guard isNew || known.hasSameBytes(as: name) else {
        throw differInComposition(known, name, path: path, remedy: remedy)
      }
    }
  }

  /// The error for two such names.
  static func differInComposition(
    _ first: String, _ second: String, path: String, remedy: String = "rename one of the two"
  ) -> EmbedFuseError {
    EmbedFuseError(
      .badData,
      "two names differ only in how their characters are composed (Unicode normalization): '\(first.spelledOut)' and '\(second.spelledOut)'",
      path: path, remedy: remedy)
  }
}

extension String {
  /// The text with every character beyond ASCII written as `\u{XX}`, in which names that look alike can be told apart.
  fileprivate var spelledOut: String {
    printable.unicodeScalars.map { $0.isASCII ? String($0) : "\\u{\(String($0.value, radix: 16))}" }.joined()
  }
}
