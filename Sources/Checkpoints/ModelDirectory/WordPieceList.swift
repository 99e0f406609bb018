import TensorCore

/// A `vocab.txt` that says nothing which the tokenizer beside it doesn't: one token a line, in the order of their
/// numbers. Checkpoints of one file leave it out and make it again.
public enum WordPieceList {
  /// The path of the tokenizer that a file can be made from; nil if it is no `vocab.txt`.
  public static func tokenizer(of path: String) -> String? {
    guard FilePath.name(of: path) == "vocab.txt" else { return nil }
    return path.dropLast("vocab.txt".count) + "tokenizer.json"
  }

  /// The lines that a `tokenizer.json` gives; nil unless it numbers its tokens 0, 1, 2, …
  public static func bytes(fromTokenizer json: [UInt8]) -> [UInt8]? {
    guard let tokenizer = try? JSON.parse(json.span, duplicateKeys: .lastWins),
      let vocabulary = tokenizer["model"]?["vocab"]?.objectValue?.members
    else { return nil }
    var tokens = [String?](repeating: nil, count: vocabulary.count)
    for member in vocabulary {
      guard let number = member.value.intValue, tokens.indices.contains(number) else { return nil }
      tokens[number] = member.key
    }
    guard !tokens.contains(nil) else { return nil }
    return tokens.flatMap { Array(($0 ?? "").utf8) + [0x0A] }
  }

  /// The files without those that `bytes(fromTokenizer:)` makes again, byte for byte.
  public static func withoutDerived(
    _ files: [(path: String, bytes: [UInt8])]
  ) -> [(path: String, bytes: [UInt8])] {
    files.filter { file in
      guard let tokenizer = tokenizer(of: file.path),
        let json = files.first(where: { $0.path == tokenizer })?.bytes
      else { return true }
      return bytes(fromTokenizer: json) != file.bytes
    }
  }

  /// The files with those that a manifest lists and that can be made from a tokenizer among them.
  ///
  /// - Throws: `EmbedFuseError` (bad data) if what is made isn't what the manifest says.
  static func restoring(
    _ files: [(path: String, bytes: [UInt8])], path: String
  ) throws(EmbedFuseError) -> [(path: String, bytes: [UInt8])] {
    guard let manifest = files.first(where: { $0.path == "embedfuse.json" })?.bytes,
      let listed = try JSON.parse(manifest.span, path: path)["output"]?["files"]?.objectValue?.members
    else { return files }
    var result = files
    for member in listed where !files.contains(where: { $0.path == member.key }) {
      guard let tokenizer = tokenizer(of: member.key),
        let json = files.first(where: { $0.path == tokenizer })?.bytes
      else { continue }
      guard let bytes = bytes(fromTokenizer: json),
        ContentDigest.of(bytes).description == member.value.stringValue
      else {
        throw EmbedFuseError(
          .badData, "\(member.key.printable) can't be made again from \(tokenizer.printable)", path: path,
          remedy: "one of the two, or the manifest, is damaged; copy the file again")
      }
      result.append((member.key, bytes))
    }
    return result.sorted { $0.path.utf8.lexicographicallyPrecedes($1.path.utf8) }
  }
}
